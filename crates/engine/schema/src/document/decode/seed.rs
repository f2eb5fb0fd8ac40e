//! The reader driven by a type: one pass over any serde source.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::context::{Context, Step};
use super::{leaf, shape};
use crate::catalog::Catalog;
use crate::types::{Field, Node, Scalar, Schema, Shape};

/// How a value is read.
#[derive(Clone, Copy)]
enum Mode<'a> {
    /// By a built-in type: wrong types are errors, unknown fields are dropped.
    Typed(&'a Schema, &'a Node),
    /// By a custom type: everything is kept, unknown fields are noted.
    Loose(&'a Schema, &'a Node),
    /// By none: everything is kept.
    Free,
}

pub(super) struct Seed<'a, 'c> {
    mode: Mode<'a>,
    context: &'c mut Context<'a>,
    root: bool,
}

impl<'a, 'c> Seed<'a, 'c> {
    pub(super) fn root(schema: &'a Schema, context: &'c mut Context<'a>) -> Self {
        let mode = match &schema.node().shape {
            Shape::Object { definition: Some(_), .. } => Mode::Typed(schema, schema.node()),
            Shape::Object { .. } | Shape::Any | Shape::Scalar(_) | Shape::List { .. } | Shape::Map { .. } => {
                Mode::Loose(schema, schema.node())
            }
        };
        Self { mode, context, root: true }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

const STOP: &str = "the value does not fit its type";

impl<'a> Seed<'a, '_> {
    /// A leaf as the type wants it.
    fn leaf<E: Error>(self, value: Value) -> Result<Value, E> {
        let Mode::Typed(schema, node) = self.mode else { return Ok(value) };
        let scalar = match &node.shape {
            Shape::Any => return Ok(value),
            Shape::Scalar(scalar) => *scalar,
            Shape::List { .. } | Shape::Map { .. } | Shape::Object { .. } => {
                self.context.wrong_type(shape::json_type(&value), &shape::go_type(schema, node));
                return Err(E::custom(STOP));
            }
        };
        match leaf::read(scalar, shape::width(node), value) {
            Ok(value) => Ok(value),
            Err(leaf::Wrong::Type(found)) => {
                self.context.wrong_type(&found, &shape::go_type(schema, node));
                Err(E::custom(STOP))
            }
            Err(leaf::Wrong::Text(reason)) => {
                self.context.wrong_leaf(reason);
                Err(E::custom(STOP))
            }
        }
    }

    fn wrong_container<E: Error>(self, found: &str) -> E {
        if let Mode::Typed(schema, node) = self.mode {
            self.context.wrong_type(found, &shape::go_type(schema, node));
        }
        E::custom(STOP)
    }

    /// How items of a list or values of a map are read; `None` if the type has no such thing.
    fn inner(&self, list: bool) -> Option<Mode<'a>> {
        match self.mode {
            Mode::Free => Some(Mode::Free),
            Mode::Typed(schema, node) => match (&node.shape, list) {
                (Shape::Any, _) => Some(Mode::Free),
                (Shape::List { items, .. }, true) => Some(Mode::Typed(schema, schema.at(*items))),
                (Shape::Map { values, .. }, false) => Some(Mode::Typed(schema, schema.at(*values))),
                (Shape::List { .. } | Shape::Map { .. } | Shape::Scalar(_) | Shape::Object { .. }, _) => None,
            },
            Mode::Loose(schema, node) => Some(match (&node.shape, list) {
                (Shape::List { items, .. }, true) => Mode::Loose(schema, schema.at(*items)),
                (Shape::Map { values, .. }, false) => Mode::Loose(schema, schema.at(*values)),
                (Shape::List { .. } | Shape::Map { .. } | Shape::Any, _)
                | (Shape::Scalar(_) | Shape::Object { .. }, _) => Mode::Free,
            }),
        }
    }

    /// The step to a field and how its value is read; notes it if it is unknown.
    fn field(&mut self, name: &str) -> (Step<'a>, Mode<'a>, Keep) {
        let (Mode::Typed(schema, node) | Mode::Loose(schema, node)) = self.mode else {
            return (Step::Key(name.to_owned()), Mode::Free, Keep::Yes);
        };
        let Shape::Object { fields, definition, preserve_unknown, embedded, .. } = &node.shape else {
            return (Step::Key(name.to_owned()), Mode::Free, Keep::Yes);
        };
        let typed = matches!(self.mode, Mode::Typed(..));
        if !typed && (self.root || *embedded) && name == "metadata" {
            return (Step::Field { name: "metadata", structure: "" }, object_meta(), Keep::Yes);
        }
        if let Some((name, Field { node, .. })) = fields.get_key_value(name) {
            let step = Step::Field { name, structure: definition.as_deref().unwrap_or("") };
            let node = schema.at(*node);
            return (
                step,
                if typed { Mode::Typed(schema, node) } else { Mode::Loose(schema, node) },
                Keep::Yes,
            );
        }
        let of_type = (self.root || *embedded) && matches!(name, "apiVersion" | "kind");
        if !of_type && !preserve_unknown {
            self.context.unknown(name);
        }
        (Step::Key(name.to_owned()), Mode::Free, if typed { Keep::No } else { Keep::Yes })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

fn object_meta<'a>() -> Mode<'a> {
    static META: std::sync::OnceLock<Schema> = std::sync::OnceLock::new();
    let schema = META.get_or_init(|| Catalog::builtin().object_meta());
    Mode::Typed(schema, schema.node())
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.leaf(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.leaf(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.leaf(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number that is not finite"))?;
        self.leaf(Value::Number(number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.leaf(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.leaf(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Some(mode) = self.inner(true) else { return Err(self.wrong_container("array")) };
        let mut list = Vec::new();
        self.context.path.push(Step::Index(0));
        while let Some(item) =
            access.next_element_seed(Seed { mode, context: &mut *self.context, root: false })?
        {
            list.push(never_null(mode, item));
            if let Some(Step::Index(index)) = self.context.path.last_mut() {
                *index += 1;
            }
        }
        self.context.path.pop();
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let typed_object = match self.mode {
            Mode::Typed(schema, node) | Mode::Loose(schema, node) => {
                matches!(node.shape, Shape::Object { .. }).then_some((schema, node))
            }
            Mode::Free => None,
        };
        let inner = if typed_object.is_some() { None } else { self.inner(false) };
        if typed_object.is_none() && inner.is_none() {
            return Err(self.wrong_container("object"));
        }
        let mut map = Map::new();
        while let Some(name) = access.next_key::<Cow<'_, str>>()? {
            if map.contains_key(name.as_ref()) {
                self.context.duplicate(&name);
            }
            let (step, mode, keep) = match inner {
                Some(mode) => (Step::Key(name.to_string()), mode, Keep::Yes),
                None => self.field(&name),
            };
            self.context.path.push(step);
            let value = access.next_value_seed(Seed { mode, context: &mut *self.context, root: false })?;
            self.context.path.pop();
            if keep == Keep::Yes {
                let value = if inner.is_some() { never_null(mode, value) } else { value };
                map.insert(name.into_owned(), value);
            }
        }
        if let (Some((schema, node)), Mode::Typed(..)) = (typed_object, self.mode) {
            shape::finish(schema, node, &mut map);
        }
        Ok(Value::Object(map))
    }
}

/// `null` as an item or a map's value is the zero value of a built-in type.
fn never_null(mode: Mode<'_>, value: Value) -> Value {
    match mode {
        Mode::Typed(schema, node)
            if value.is_null() && !matches!(node.shape, Shape::Scalar(Scalar::Quantity)) =>
        {
            shape::zero(schema, node)
        }
        Mode::Typed(..) | Mode::Loose(..) | Mode::Free => value,
    }
}
