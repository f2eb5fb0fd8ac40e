//! Zero values, their presence, and the names of types in messages.

use serde_json::{Map, Value};

use super::context::short;
use super::leaf::Width;
use crate::types::{Format, Node, Presence, Scalar, Schema, Shape};

/// Drops what a built-in object never writes and adds what it always writes.
pub(crate) fn finish(schema: &Schema, node: &Node, map: &mut Map<String, Value>) {
    let Shape::Object { fields, .. } = &node.shape else { return };
    map.retain(|_, value| !value.is_null());
    for (name, field) in fields {
        match field.wire.map_or(Presence::Optional, |wire| wire.presence) {
            Presence::Optional => {}
            Presence::OmitZero => {
                if map.get(name.as_ref()).is_some_and(is_zero) {
                    map.remove(name.as_ref());
                }
            }
            Presence::Always => {
                if !map.contains_key(name.as_ref()) {
                    map.insert(name.to_string(), zero(schema, schema.at(field.node)));
                }
            }
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// The zero value of a type as it is written.
pub(crate) fn zero(schema: &Schema, node: &Node) -> Value {
    match &node.shape {
        Shape::Any => Value::Null,
        Shape::List { .. } => Value::Array(Vec::new()),
        Shape::Map { .. } => Value::Object(Map::new()),
        Shape::Object { .. } => {
            let mut map = Map::new();
            finish(schema, node, &mut map);
            Value::Object(map)
        }
        Shape::Scalar(Scalar::String(Format::Time | Format::MicroTime)) => Value::Null,
        Shape::Scalar(Scalar::String(Format::Duration)) => "0s".into(),
        Shape::Scalar(Scalar::String(Format::Plain | Format::Bytes)) => "".into(),
        Shape::Scalar(Scalar::Integer | Scalar::Number | Scalar::IntOrString) => 0.into(),
        Shape::Scalar(Scalar::Boolean) => false.into(),
        Shape::Scalar(Scalar::Quantity) => "0".into(),
    }
}

/// What Go calls the JSON type of a value.
pub(super) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `int32` or `int64`; the wider one where nothing is said.
pub(super) fn width(node: &Node) -> Width {
    let format = node.limits.as_ref().and_then(|limits| limits.format.as_deref());
    if format == Some("int32") { Width::Int32 } else { Width::Int64 }
}

/// The type as a Go programmer would write it; users know these from the reference implementation's messages.
pub(super) fn go_type(schema: &Schema, node: &Node) -> String {
    match &node.shape {
        Shape::Any => "interface {}".to_owned(),
        Shape::List { items, .. } => format!("[]{}", go_type(schema, schema.at(*items))),
        Shape::Map { values, .. } => format!("map[string]{}", go_type(schema, schema.at(*values))),
        Shape::Object { definition, .. } => short(definition.as_deref().unwrap_or("struct {}")).to_owned(),
        Shape::Scalar(Scalar::String(Format::Bytes)) => "[]uint8".to_owned(),
        Shape::Scalar(Scalar::String(_)) => "string".to_owned(),
        Shape::Scalar(Scalar::Integer) => match width(node) {
            Width::Int32 => "int32".to_owned(),
            Width::Int64 => "int64".to_owned(),
        },
        Shape::Scalar(Scalar::Number) => "float64".to_owned(),
        Shape::Scalar(Scalar::Boolean) => "bool".to_owned(),
        Shape::Scalar(Scalar::IntOrString) => "intstr.IntOrString".to_owned(),
        Shape::Scalar(Scalar::Quantity) => "resource.Quantity".to_owned(),
    }
}
