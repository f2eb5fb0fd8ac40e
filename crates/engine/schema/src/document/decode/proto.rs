//! Protobuf bodies to documents, driven by the same types (`application/vnd.kubernetes.protobuf`).
//!
//! The body is `k8s\0` and a `runtime.Unknown`: the object's `apiVersion` and `kind`, and its bytes.

mod leaves;
mod reader;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::leaf::{self, Fraction};
use super::{finish, zero};
use crate::types::{Field, Format, Node, NodeId, Scalar, Schema, Shape, Wire, WireForm};
use leaves::{int_or_string, raw, sub, time, wrapped_text};
use reader::{Reader, Wired};

/// What every body begins with.
pub(crate) const MAGIC: [u8; 4] = *b"k8s\0";
/// How deep messages may be nested.
const DEPTH_MAX: usize = 100;
/// The type behind `JSONSchemaPropsOr…`.
pub(crate) const SCHEMA_PROPS: &str =
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// No magic number in front.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// The bytes end within a value.
    #[error("proto: unexpected end of data")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A field written as another wire type than its own.
    #[error("proto: wrong wireType = {found} for field {field}")]
    WireType {
        /// Name of the field.
        field: String,
        /// Its wire type.
        found: u8,
    },
    /// Text that is not UTF-8.
    #[error("proto: field {field} is not UTF-8")]
    Text {
        /// Name of the field.
        field: String,
    },
    /// Embedded JSON that cannot be read.
    #[error("proto: field {field} holds no JSON")]
    Json {
        /// Name of the field.
        field: String,
    },
    /// A text that does not say what it should.
    #[error("proto: field {field}: {reason}")]
    Leaf {
        /// Name of the field.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// Nested too deeply.
    #[error("proto: nested deeper than {DEPTH_MAX} messages")]
    TooDeep,
}

type Result<T> = std::result::Result<T, ProtobufError>;

/// A whole body.
pub(crate) fn decode(schema: &Schema, body: &[u8]) -> Result<Value> {
    let mut reader = Reader::new(body.strip_prefix(&MAGIC).ok_or(ProtobufError::NoMagic)?);
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    while let Some((number, wired)) = reader.next()? {
        match number {
            1 => {
                let mut meta = Reader::new(wired.bytes("typeMeta")?);
                while let Some((number, wired)) = meta.next()? {
                    match number {
                        1 => api_version = wired.text("apiVersion")?,
                        2 => kind = wired.text("kind")?,
                        _ => {}
                    }
                }
            }
            2 => raw = wired.bytes("raw")?,
            _ => {}
        }
    }
    let mut value = Decoder { schema }.message(schema.node(), raw, 0)?;
    if !api_version.is_empty() {
        value["apiVersion"] = api_version.into();
    }
    if !kind.is_empty() {
        value["kind"] = kind.into();
    }
    Ok(value)
}

struct Decoder<'a> {
    schema: &'a Schema,
}

impl<'a> Decoder<'a> {
    fn message(&self, node: &'a Node, bytes: &[u8], depth: usize) -> Result<Value> {
        let mut map = Map::new();
        if let Shape::Object { fields, .. } = &node.shape {
            self.fields(fields, [0, 0], bytes, &mut map, depth)?;
        }
        finish(self.schema, node, &mut map);
        Ok(Value::Object(map))
    }

    /// Reads one message into `map`; inlined structs are messages whose fields stand in their parent.
    fn fields(
        &self,
        fields: &'a std::collections::BTreeMap<Box<str>, Field>,
        within: [u32; 2],
        bytes: &[u8],
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(ProtobufError::TooDeep);
        }
        let mut reader = Reader::new(bytes);
        while let Some((number, wired)) = reader.next()? {
            let place = |field: &Field, within: [u32; 2], number: u32| {
                field.wire.is_some_and(|wire| wire.within == within && wire.number == number)
            };
            if let Some((name, field)) = fields.iter().find(|(_, field)| place(field, within, number)) {
                self.field(name, field, wired, map, depth)?;
            } else if let Some(deeper) = deeper(within, number)
                && fields
                    .values()
                    .any(|field| field.wire.is_some_and(|wire| starts_with(wire.within, deeper)))
            {
                self.fields(fields, deeper, wired.bytes("an inlined struct")?, map, depth + 1)?;
            }
        }
        Ok(())
    }

    fn field(
        &self,
        name: &str,
        field: &'a Field,
        wired: Wired<'_>,
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<()> {
        let node = self.schema.at(field.node);
        let form = field.wire.map_or(WireForm::Direct, |wire: Wire| wire.form);
        let value = match (&node.shape, form) {
            (Shape::List { items, .. }, WireForm::Wrapped) => self.wrapped(name, *items, wired, depth)?,
            (Shape::List { items, .. }, _) => {
                let list = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                let list = list.as_array_mut().expect("only this arm writes the field");
                return self.items(name, self.schema.at(*items), wired, list, depth);
            }
            (Shape::Map { values, .. }, form) => {
                let (key, value) = self.entry(name, *values, form, wired, depth)?;
                let entries = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
                entries.as_object_mut().expect("only this arm writes the field").insert(key, value);
                return Ok(());
            }
            (_, WireForm::SchemaOrArray | WireForm::SchemaOrBool | WireForm::SchemaOrStrings) => {
                self.schema_or(name, form, wired, depth)?
            }
            (Shape::Any | Shape::Scalar(_) | Shape::Object { .. }, _) => {
                self.single(name, node, wired, depth)?
            }
        };
        map.insert(name.to_owned(), value);
        Ok(())
    }

    /// One occurrence of a repeated field: one item, or several packed numbers.
    fn items(
        &self,
        name: &str,
        node: &'a Node,
        wired: Wired<'_>,
        list: &mut Vec<Value>,
        depth: usize,
    ) -> Result<()> {
        let packable = matches!(node.shape, Shape::Scalar(Scalar::Integer | Scalar::Boolean));
        if let (true, Wired::Bytes(bytes)) = (packable, wired) {
            let mut reader = Reader::new(bytes);
            while !reader.is_empty() {
                list.push(self.single(name, node, Wired::Varint(reader.varint()?), depth)?);
            }
            return Ok(());
        }
        list.push(self.single(name, node, wired, depth)?);
        Ok(())
    }

    fn wrapped(&self, name: &str, items: NodeId, wired: Wired<'_>, depth: usize) -> Result<Value> {
        let mut list = Vec::new();
        let mut reader = Reader::new(wired.bytes(name)?);
        while let Some((number, wired)) = reader.next()? {
            if number == 1 {
                list.push(self.single(name, self.schema.at(items), wired, depth)?);
            }
        }
        Ok(Value::Array(list))
    }

    fn entry(
        &self,
        name: &str,
        values: NodeId,
        form: WireForm,
        wired: Wired<'_>,
        depth: usize,
    ) -> Result<(String, Value)> {
        let node = self.schema.at(values);
        let (mut key, mut value) = (String::new(), zero(self.schema, node));
        let mut reader = Reader::new(wired.bytes(name)?);
        while let Some((number, wired)) = reader.next()? {
            match (number, &node.shape, form) {
                (1, ..) => key = wired.text(name)?,
                (2, Shape::List { items, .. }, WireForm::Wrapped) => {
                    value = self.wrapped(name, *items, wired, depth)?;
                }
                (2, ..) => value = self.single(name, node, wired, depth)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    fn schema_or(&self, name: &str, form: WireForm, wired: Wired<'_>, depth: usize) -> Result<Value> {
        let props = self.schema.definitions().names.get(SCHEMA_PROPS).copied();
        let props = self.schema.at(props.expect("the type table holds JSONSchemaProps"));
        let (mut schema, mut list, mut allows) = (None, Vec::new(), false);
        let mut reader = Reader::new(wired.bytes(name)?);
        while let Some((number, wired)) = reader.next()? {
            match (number, form) {
                (1, WireForm::SchemaOrBool) => allows = wired.varint(name)? != 0,
                (1, _) | (2, WireForm::SchemaOrBool) => {
                    schema = Some(self.message(props, wired.bytes(name)?, depth + 1)?);
                }
                (2, WireForm::SchemaOrStrings) => list.push(wired.text(name)?.into()),
                (2, _) => list.push(self.message(props, wired.bytes(name)?, depth + 1)?),
                _ => {}
            }
        }
        Ok(match (schema, form) {
            (Some(schema), _) => schema,
            (None, WireForm::SchemaOrBool) => allows.into(),
            (None, _) => Value::Array(list),
        })
    }

    fn single(&self, name: &str, node: &'a Node, wired: Wired<'_>, depth: usize) -> Result<Value> {
        Ok(match &node.shape {
            Shape::Object { .. } => self.message(node, wired.bytes(name)?, depth + 1)?,
            Shape::Any => raw(name, wired)?,
            Shape::Scalar(scalar) => self.scalar(name, *scalar, wired)?,
            // No message of the tables nests these without a form of their own.
            Shape::List { .. } | Shape::Map { .. } => {
                return Err(ProtobufError::WireType { field: name.to_owned(), found: wired.wire_type() });
            }
        })
    }

    fn scalar(&self, name: &str, scalar: Scalar, wired: Wired<'_>) -> Result<Value> {
        let field = || name.to_owned();
        Ok(match scalar {
            Scalar::String(Format::Plain) => wired.text(name)?.into(),
            Scalar::String(Format::Bytes) => STANDARD.encode(wired.bytes(name)?).into(),
            Scalar::String(Format::Time) => time(name, wired, Fraction::None)?,
            Scalar::String(Format::MicroTime) => time(name, wired, Fraction::Micros)?,
            Scalar::String(Format::Duration) => {
                let nanos = sub(name, wired)?.first().map_or(0, |(_, value)| *value);
                leaf::format_duration(nanos).into()
            }
            Scalar::Integer => wired.varint(name)?.cast_signed().into(),
            Scalar::Boolean => (wired.varint(name)? != 0).into(),
            Scalar::Number => {
                let number = Number::from_f64(f64::from_bits(wired.fixed64(name)?));
                number.map(Value::Number).ok_or_else(|| ProtobufError::Json { field: field() })?
            }
            Scalar::IntOrString => int_or_string(name, wired)?,
            Scalar::Quantity => {
                let text = wrapped_text(name, wired)?;
                let text = if text.is_empty() { "0" } else { &text };
                let canonical = leaf::canonical_quantity(text);
                canonical.map(Value::String).ok_or_else(|| ProtobufError::Leaf {
                    field: field(),
                    reason: format!("{text:?} is not a quantity"),
                })?
            }
        })
    }
}

fn deeper(within: [u32; 2], number: u32) -> Option<[u32; 2]> {
    match within {
        [0, 0] => Some([number, 0]),
        [outer, 0] => Some([outer, number]),
        _ => None,
    }
}

fn starts_with(within: [u32; 2], prefix: [u32; 2]) -> bool {
    within == prefix || (prefix[1] == 0 && within[0] == prefix[0])
}

#[cfg(test)]
mod tests;
