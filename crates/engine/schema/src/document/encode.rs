//! Documents to protobuf bodies (`application/vnd.kubernetes.protobuf`), driven by the same types that read them.

mod writer;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::decode::leaf;
use crate::decode::proto::{MAGIC, SCHEMA_PROPS};
use crate::types::{Field, Format, Node, Presence, Scalar, Schema, Shape, WireForm};
use writer::Writer;

/// A value that is not what its type says; a decoded document has none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is not what its type says")]
pub struct EncodeError {
    /// Name of the field.
    pub field: String,
}

type Result<T> = std::result::Result<T, EncodeError>;

/// A whole body of a built-in object: magic, `apiVersion` and `kind` of the document, and its bytes.
pub fn protobuf(schema: &Schema, value: &Value) -> Result<Vec<u8>> {
    let mut meta = Writer::default();
    meta.bytes(1, value["apiVersion"].as_str().unwrap_or("").as_bytes());
    meta.bytes(2, value["kind"].as_str().unwrap_or("").as_bytes());
    let mut unknown = Writer::default();
    unknown.bytes(1, &meta.done());
    unknown.bytes(2, &Encoder { schema }.message("the document", schema.node(), value)?);
    unknown.bytes(3, b"");
    unknown.bytes(4, b"");
    let mut body = MAGIC.to_vec();
    body.extend(unknown.done());
    Ok(body)
}

struct Encoder<'a> {
    schema: &'a Schema,
}

/// The fields of one message, by number: those with a JSON name, and those that hold inlined ones.
enum Slot<'a> {
    Named(&'a str, &'a Field),
    Inlined([u32; 2]),
}

fn slots(fields: &BTreeMap<Box<str>, Field>, within: [u32; 2]) -> BTreeMap<u32, Slot<'_>> {
    let depth = within.iter().filter(|number| **number != 0).count();
    let mut slots = BTreeMap::new();
    for (name, field) in fields {
        let Some(wire) = field.wire else { continue };
        if wire.within == within {
            slots.insert(wire.number, Slot::Named(name, field));
        } else if depth < 2 && wire.within[..depth] == within[..depth] && wire.within[depth] != 0 {
            let mut deeper = within;
            deeper[depth] = wire.within[depth];
            slots.entry(wire.within[depth]).or_insert(Slot::Inlined(deeper));
        }
    }
    slots
}

impl Encoder<'_> {
    fn message(&self, name: &str, node: &Node, value: &Value) -> Result<Vec<u8>> {
        match (&node.shape, value) {
            (Shape::Object { fields, .. }, Value::Object(map)) => self.fields(fields, [0, 0], map),
            _ => Err(wrong(name)),
        }
    }

    fn fields(
        &self,
        fields: &BTreeMap<Box<str>, Field>,
        within: [u32; 2],
        map: &Map<String, Value>,
    ) -> Result<Vec<u8>> {
        let mut writer = Writer::default();
        for (number, slot) in slots(fields, within) {
            match slot {
                Slot::Inlined(deeper) => writer.bytes(number, &self.fields(fields, deeper, map)?),
                Slot::Named(name, field) => match map.get(name).filter(|value| !value.is_null()) {
                    Some(value) => self.field(&mut writer, number, name, field, value)?,
                    None => self.absent(&mut writer, number, field),
                },
            }
        }
        Ok(writer.done())
    }

    /// Leaves for which absent is zero are written as zero, as the reference implementation writes them.
    fn absent(&self, writer: &mut Writer, number: u32, field: &Field) {
        if field.wire.is_none_or(|wire| wire.presence == Presence::Optional) {
            return;
        }
        match &self.schema.at(field.node).shape {
            Shape::Scalar(Scalar::String(Format::Plain)) => writer.bytes(number, b""),
            Shape::Scalar(Scalar::Integer | Scalar::Boolean) => writer.varint(number, 0),
            Shape::Scalar(_) | Shape::Any | Shape::List { .. } | Shape::Map { .. } | Shape::Object { .. } => {
            }
        }
    }

    fn field(
        &self,
        writer: &mut Writer,
        number: u32,
        name: &str,
        field: &Field,
        value: &Value,
    ) -> Result<()> {
        let node = self.schema.at(field.node);
        let form = field.wire.map_or(WireForm::Direct, |wire| wire.form);
        match (&node.shape, form) {
            (Shape::List { items, .. }, WireForm::Wrapped) => {
                writer.bytes(number, &self.list(name, self.schema.at(*items), value)?);
            }
            (Shape::List { items, .. }, _) => {
                for item in value.as_array().ok_or_else(|| wrong(name))? {
                    self.single(writer, number, name, self.schema.at(*items), item)?;
                }
            }
            (Shape::Map { values, .. }, form) => {
                for (key, value) in value.as_object().ok_or_else(|| wrong(name))? {
                    let mut entry = Writer::default();
                    entry.bytes(1, key.as_bytes());
                    self.entry_value(&mut entry, name, self.schema.at(*values), form, value)?;
                    writer.bytes(number, &entry.done());
                }
            }
            (_, WireForm::SchemaOrArray | WireForm::SchemaOrBool | WireForm::SchemaOrStrings) => {
                writer.bytes(number, &self.schema_or(name, form, value)?);
            }
            (Shape::Any | Shape::Scalar(_) | Shape::Object { .. }, _) => {
                self.single(writer, number, name, node, value)?;
            }
        }
        Ok(())
    }

    fn entry_value(
        &self,
        entry: &mut Writer,
        name: &str,
        node: &Node,
        form: WireForm,
        value: &Value,
    ) -> Result<()> {
        match (&node.shape, form) {
            (Shape::List { items, .. }, WireForm::Wrapped) => {
                entry.bytes(2, &self.list(name, self.schema.at(*items), value)?);
                Ok(())
            }
            _ => self.single(entry, 2, name, node, value),
        }
    }

    /// A list as a message of its own.
    fn list(&self, name: &str, items: &Node, value: &Value) -> Result<Vec<u8>> {
        let mut writer = Writer::default();
        for item in value.as_array().ok_or_else(|| wrong(name))? {
            self.single(&mut writer, 1, name, items, item)?;
        }
        Ok(writer.done())
    }

    fn schema_or(&self, name: &str, form: WireForm, value: &Value) -> Result<Vec<u8>> {
        let props = self.schema.definitions().names.get(SCHEMA_PROPS).copied();
        let props = self.schema.at(props.expect("the type table holds JSONSchemaProps"));
        let mut writer = Writer::default();
        match (value, form) {
            (Value::Bool(allows), WireForm::SchemaOrBool) => writer.varint(1, u64::from(*allows)),
            (_, WireForm::SchemaOrBool) => {
                // A schema allows by being there.
                writer.varint(1, 1);
                writer.bytes(2, &self.message(name, props, value)?);
            }
            (Value::Array(list), WireForm::SchemaOrStrings) => {
                for text in list {
                    writer.bytes(2, text.as_str().ok_or_else(|| wrong(name))?.as_bytes());
                }
            }
            (Value::Array(list), _) => {
                for schema in list {
                    writer.bytes(2, &self.message(name, props, schema)?);
                }
            }
            _ => writer.bytes(1, &self.message(name, props, value)?),
        }
        Ok(writer.done())
    }

    fn single(&self, writer: &mut Writer, number: u32, name: &str, node: &Node, value: &Value) -> Result<()> {
        match &node.shape {
            // No time and no raw value, as items or as values of a map.
            Shape::Any | Shape::Scalar(Scalar::String(Format::Time | Format::MicroTime))
                if value.is_null() =>
            {
                writer.bytes(number, b"");
            }
            Shape::Object { .. } => writer.bytes(number, &self.message(name, node, value)?),
            Shape::Any => {
                let mut raw = Writer::default();
                raw.bytes(1, value.to_string().as_bytes());
                writer.bytes(number, &raw.done());
            }
            Shape::Scalar(scalar) => {
                scalar_value(writer, number, *scalar, value).ok_or_else(|| wrong(name))?
            }
            // No message of the tables nests these without a form of their own.
            Shape::List { .. } | Shape::Map { .. } => return Err(wrong(name)),
        }
        Ok(())
    }
}

fn wrong(name: &str) -> EncodeError {
    EncodeError { field: name.to_owned() }
}

fn scalar_value(writer: &mut Writer, number: u32, scalar: Scalar, value: &Value) -> Option<()> {
    let mut inner = Writer::default();
    match scalar {
        Scalar::String(Format::Plain) => {
            writer.bytes(number, value.as_str()?.as_bytes());
            return Some(());
        }
        Scalar::String(Format::Bytes) => {
            writer.bytes(number, &STANDARD.decode(value.as_str()?).ok()?);
            return Some(());
        }
        Scalar::Integer => {
            writer.varint(number, value.as_i64()?.cast_unsigned());
            return Some(());
        }
        Scalar::Boolean => {
            writer.varint(number, u64::from(value.as_bool()?));
            return Some(());
        }
        Scalar::Number => {
            writer.fixed64(number, value.as_f64()?.to_bits());
            return Some(());
        }
        Scalar::String(Format::Time | Format::MicroTime) => {
            let time: jiff::Timestamp = value.as_str()?.parse().ok()?;
            let nanos = time.as_nanosecond();
            let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
            inner.varint(1, seconds.cast_unsigned());
            inner.varint(2, u64::try_from(nanos.rem_euclid(1_000_000_000)).ok()?);
        }
        Scalar::String(Format::Duration) => {
            inner.varint(1, leaf::parse_duration(value.as_str()?)?.cast_unsigned());
        }
        Scalar::Quantity => inner.bytes(1, value.as_str()?.as_bytes()),
        Scalar::IntOrString => {
            let text = value.as_str();
            inner.varint(1, u64::from(text.is_some()));
            inner.varint(2, if text.is_some() { 0 } else { value.as_i64()?.cast_unsigned() });
            inner.bytes(3, text.unwrap_or("").as_bytes());
        }
    }
    writer.bytes(number, &inner.done());
    Some(())
}

#[cfg(test)]
mod tests;
