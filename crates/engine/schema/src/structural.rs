//! The walk over a value and its type: types, bounds, uniqueness; unknown fields; defaults.

mod checks;
mod default;
mod format;
mod prune;
mod unique;

use serde_json::Value;

pub use default::default;
pub use prune::prune;

use crate::error::{FieldError, Path, join};
use crate::types::{ListKind, NodeId, Scalar, Schema, Shape};

/// Whether `value` is what `schema` says: types, required fields, closed lists, bounds, unique lists.
/// CEL rules and metadata are checked elsewhere. `path` is where the value stands, empty for an object.
pub fn validate(schema: &Schema, value: &Value, path: &str) -> Vec<FieldError> {
    validate_update(schema, value, None, path)
}

/// As [`validate`], but parts that did not change since `old` are not judged again (KEP-4008).
pub fn validate_update(schema: &Schema, value: &Value, old: Option<&Value>, path: &str) -> Vec<FieldError> {
    let mut walk = Walk { schema, path: Path::new(path), errors: Vec::new() };
    walk.node(schema.root(), value, old);
    walk.errors
}

struct Walk<'a> {
    schema: &'a Schema,
    path: Path,
    errors: Vec<FieldError>,
}

impl Walk<'_> {
    fn node(&mut self, id: NodeId, value: &Value, old: Option<&Value>) {
        if old == Some(value) {
            return;
        }
        let node = self.schema.at(id);
        if !(value.is_null() && node.nullable) {
            self.shape(&node.shape, value);
        }
        if let Some(checks) = &node.checks {
            checks::nested(checks, value, &self.path, &mut self.errors);
        }
        if let Some(limits) = &node.limits {
            checks::limits(
                limits,
                matches!(node.shape, Shape::Scalar(Scalar::Number)),
                value,
                &self.path,
                &mut self.errors,
            );
        }
        checks::allowed(&node.allowed, value, &self.path, &mut self.errors);
        self.children(&node.shape, value, old);
    }

    fn shape(&mut self, shape: &Shape, value: &Value) {
        let found = type_name(value);
        let wanted = match shape {
            Shape::Any => return,
            Shape::Scalar(scalar) => match wanted_scalar(*scalar, value) {
                Some(wanted) => wanted,
                None => return,
            },
            Shape::List { .. } if value.is_array() => return,
            Shape::List { .. } => "array",
            Shape::Map { .. } | Shape::Object { .. } if value.is_object() => return,
            Shape::Map { .. } | Shape::Object { .. } => "object",
        };
        let path = &*self.path;
        let detail = format!("{path} in body must be of type {wanted}: \"{found}\"");
        self.errors.push(FieldError::type_invalid(path, Value::from(found), detail));
    }

    fn children(&mut self, shape: &Shape, value: &Value, old: Option<&Value>) {
        match (shape, value) {
            (Shape::List { items, kind }, Value::Array(list)) => {
                for (index, item) in list.iter().enumerate() {
                    let before = old.and_then(|old| correlated(kind, item, old));
                    let here = self.path.item(index);
                    self.node(*items, item, before);
                    self.path.leave(here);
                }
                unique::check(kind, list, &self.path, &mut self.errors);
            }
            (Shape::Map { values, .. }, Value::Object(map)) => {
                for (key, item) in map {
                    let here = self.path.field(key);
                    self.node(*values, item, old.and_then(|old| old.get(key)));
                    self.path.leave(here);
                }
            }
            (Shape::Object { fields, embedded, .. }, Value::Object(map)) => {
                for (name, field) in fields {
                    match map.get(&**name) {
                        Some(item) => {
                            let here = self.path.field(name);
                            self.node(field.node, item, old.and_then(|old| old.get(&**name)));
                            self.path.leave(here);
                        }
                        None if field.required => {
                            self.errors.push(FieldError::required(join(&self.path, name), ""))
                        }
                        None => {}
                    }
                }
                if *embedded {
                    self.embedded(map);
                }
            }
            (
                Shape::Any | Shape::Scalar(_) | Shape::List { .. } | Shape::Map { .. } | Shape::Object { .. },
                _,
            ) => {}
        }
    }

    fn embedded(&mut self, map: &serde_json::Map<String, Value>) {
        for name in ["apiVersion", "kind"] {
            let here = join(&self.path, name);
            match map.get(name) {
                None => self.errors.push(FieldError::required(here, "")),
                Some(Value::String(text)) if text.is_empty() => {
                    self.errors.push(FieldError::invalid(here, Value::from(""), "must not be empty"));
                }
                Some(Value::String(_)) => {}
                Some(other) => self.errors.push(FieldError::invalid(here, other.clone(), "must be a string")),
            }
        }
    }
}

/// The JSON type of a value, as OpenAPI names it.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What the value should have been, if it is not.
fn wanted_scalar(scalar: Scalar, value: &Value) -> Option<&'static str> {
    let (right, wanted) = match scalar {
        Scalar::String(_) => (value.is_string(), "string"),
        Scalar::Integer => (is_whole(value), "integer"),
        Scalar::Number => (value.is_number(), "number"),
        Scalar::Boolean => (value.is_boolean(), "boolean"),
        Scalar::IntOrString => (value.is_string() || is_whole(value), "integer,string"),
        Scalar::Quantity => (value.is_string() || value.is_number(), "string"),
    };
    (!right).then_some(wanted)
}

fn is_whole(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            !number.is_f64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The old item with the same keys; items of other lists have no identity.
pub(crate) fn correlated<'a>(kind: &ListKind, item: &Value, old: &'a Value) -> Option<&'a Value> {
    match kind {
        ListKind::Atomic | ListKind::Set => None,
        ListKind::Map(keys) => old.as_array()?.iter().find(|candidate| {
            candidate.is_object() && keys.iter().all(|key| candidate.get(&**key) == item.get(&**key))
        }),
    }
}

#[cfg(test)]
mod tests;
