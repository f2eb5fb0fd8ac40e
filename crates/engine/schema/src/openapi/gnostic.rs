//! OpenAPI v2 as `openapi.v2.Document` of gnostic, written by hand. Numbers: `gnostic-models/openapiv2/OpenAPIv2.proto`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// `Document { swagger = 1, info = 2, paths = 8, definitions = 9 }`.
pub(super) fn document(definitions: &BTreeMap<String, Value>) -> Vec<u8> {
    let mut document = Message::default();
    document.text(1, "2.0");
    let mut info = Message::default();
    info.text(1, "Kubernetes");
    info.text(2, "unversioned");
    document.message(2, &info);
    document.message(8, &Message::default());
    let mut all = Message::default();
    for (name, value) in definitions {
        if let Value::Object(map) = value {
            all.message(1, &named(name, &schema(map)));
        }
    }
    document.message(9, &all);
    document.0
}

/// A protobuf message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u32, inner: &Self) {
        self.bytes(field, &inner.0);
    }

    fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u32, value: f64) {
        self.varint(u64::from(field) << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

/// `NamedSchema { name = 1, value = 2 }`, and `NamedAny` alike.
fn named(name: &str, value: &Message) -> Message {
    let mut out = Message::default();
    out.text(1, name);
    out.message(2, value);
    out
}

/// `Any { yaml = 2 }`; JSON is YAML.
fn any(value: &Value) -> Message {
    let mut out = Message::default();
    out.text(2, &format!("{value}\n"));
    out
}

fn schema(map: &Map<String, Value>) -> Message {
    let mut out = Message::default();
    for (key, value) in map {
        keyword(&mut out, key, value);
    }
    out
}

fn keyword(out: &mut Message, key: &str, value: &Value) {
    match (key, value) {
        ("$ref", Value::String(text)) => out.text(1, text),
        ("format", Value::String(text)) => out.text(2, text),
        ("title", Value::String(text)) => out.text(3, text),
        ("description", Value::String(text)) => out.text(4, text),
        ("default", value) => out.message(5, &any(value)),
        ("multipleOf", Value::Number(_)) => double(out, 6, value),
        ("maximum", Value::Number(_)) => double(out, 7, value),
        ("exclusiveMaximum", Value::Bool(true)) => out.number(8, 1),
        ("minimum", Value::Number(_)) => double(out, 9, value),
        ("exclusiveMinimum", Value::Bool(true)) => out.number(10, 1),
        ("maxLength", Value::Number(_)) => whole(out, 11, value),
        ("minLength", Value::Number(_)) => whole(out, 12, value),
        ("pattern", Value::String(text)) => out.text(13, text),
        ("maxItems", Value::Number(_)) => whole(out, 14, value),
        ("minItems", Value::Number(_)) => whole(out, 15, value),
        ("maxProperties", Value::Number(_)) => whole(out, 17, value),
        ("minProperties", Value::Number(_)) => whole(out, 18, value),
        ("required", Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).for_each(|name| out.text(19, name));
        }
        ("enum", Value::Array(values)) => values.iter().for_each(|value| out.message(20, &any(value))),
        _ => structure(out, key, value),
    }
}

fn structure(out: &mut Message, key: &str, value: &Value) {
    let mut wrapped = Message::default();
    match (key, value) {
        // AdditionalPropertiesItem { schema = 1, boolean = 2 }
        ("additionalProperties", Value::Object(map)) => {
            wrapped.message(1, &schema(map));
            out.message(21, &wrapped);
        }
        ("additionalProperties", Value::Bool(flag)) => {
            wrapped.number(2, u64::from(*flag));
            out.message(21, &wrapped);
        }
        // TypeItem { value = 1 }
        ("type", Value::String(text)) => {
            wrapped.text(1, text);
            out.message(22, &wrapped);
        }
        // ItemsItem { schema = 1 }
        ("items", Value::Object(map)) => {
            wrapped.message(1, &schema(map));
            out.message(23, &wrapped);
        }
        // Properties { additional_properties = 1 }
        ("properties", Value::Object(map)) => {
            for (name, inner) in map.iter().filter_map(|(name, inner)| Some((name, inner.as_object()?))) {
                wrapped.message(1, &named(name, &schema(inner)));
            }
            out.message(25, &wrapped);
        }
        (extension, value) if extension.starts_with("x-") => out.message(31, &named(extension, &any(value))),
        _ => {}
    }
}

fn double(out: &mut Message, field: u32, value: &Value) {
    if let Some(value) = value.as_f64() {
        out.double(field, value);
    }
}

fn whole(out: &mut Message, field: u32, value: &Value) {
    if let Some(value) = value.as_u64() {
        out.number(field, value);
    }
}
