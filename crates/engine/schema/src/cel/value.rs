//! JSON values as CEL sees them, by their type: escaped field names, times, durations, bytes.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::Value;

use crate::types::{Format, Node, NodeId, Scalar, Schema, Shape};

pub(super) fn convert(schema: &Schema, id: NodeId, value: &Value) -> Cel {
    let node = schema.at(id);
    match (&node.shape, value) {
        (Shape::Object { fields, .. }, Value::Object(map)) => record(map.iter().map(|(name, inner)| {
            let converted = fields
                .get(name.as_str())
                .map_or_else(|| generic(inner), |field| convert(schema, field.node, inner));
            (escape(name), converted)
        })),
        (Shape::Map { values, .. }, Value::Object(map)) => {
            record(map.iter().map(|(key, inner)| (key.clone(), convert(schema, *values, inner))))
        }
        (Shape::List { items, .. }, Value::Array(list)) => {
            Cel::List(Arc::new(list.iter().map(|item| convert(schema, *items, item)).collect()))
        }
        (Shape::Scalar(Scalar::Number), Value::Number(number)) => {
            Cel::Float(number.as_f64().unwrap_or(f64::NAN))
        }
        (Shape::Scalar(Scalar::Integer), Value::Number(number)) if number.is_f64() => {
            Cel::Int(number.as_f64().unwrap_or_default() as i64)
        }
        (Shape::Scalar(Scalar::String(format)), Value::String(text)) => string(node, *format, text),
        (
            Shape::Any | Shape::Scalar(_) | Shape::List { .. } | Shape::Map { .. } | Shape::Object { .. },
            other,
        ) => generic(other),
    }
}

fn record(entries: impl Iterator<Item = (String, Cel)>) -> Cel {
    let map: HashMap<Key, Cel> = entries.map(|(key, value)| (Key::String(Arc::new(key)), value)).collect();
    Cel::Map(Map { map: Arc::new(map) })
}

pub(super) fn generic(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => plain(text),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(generic).collect())),
        Value::Object(map) => record(map.iter().map(|(key, inner)| (key.clone(), generic(inner)))),
    }
}

fn plain(text: &str) -> Cel {
    Cel::String(Arc::new(text.to_owned()))
}

/// A string whose format does not fit stays a string; the bounds have refused it before.
fn string(node: &Node, format: Format, text: &str) -> Cel {
    let named = node.limits.as_ref().and_then(|limits| limits.format.as_deref());
    match (format, named) {
        (Format::Time | Format::MicroTime, _) | (_, Some("date-time" | "datetime")) => {
            text.parse().map_or_else(|_| plain(text), Cel::Timestamp)
        }
        (_, Some("date")) => format!("{text}T00:00:00Z").parse().map_or_else(|_| plain(text), Cel::Timestamp),
        (Format::Duration, _) | (_, Some("duration")) => {
            duration(plain(text)).unwrap_or_else(|_| plain(text))
        }
        (Format::Bytes, _) | (_, Some("byte")) => {
            STANDARD.decode(text).map_or_else(|_| plain(text), |bytes| Cel::Bytes(Arc::new(bytes)))
        }
        (Format::Plain, _) => plain(text),
    }
}

/// CEL's `duration`: of a text, or of what is one already.
pub(super) fn duration(argument: Cel) -> Result<Cel, ExecutionError> {
    static PARSE: LazyLock<Program> =
        LazyLock::new(|| Program::compile("duration(text)").expect("a constant expression"));
    if matches!(argument, Cel::Duration(_)) { Ok(argument) } else { of_library(&PARSE, argument) }
}

/// CEL's `timestamp`: of a text, or of what is one already.
pub(super) fn timestamp(argument: Cel) -> Result<Cel, ExecutionError> {
    static PARSE: LazyLock<Program> =
        LazyLock::new(|| Program::compile("timestamp(text)").expect("a constant expression"));
    if matches!(argument, Cel::Timestamp(_)) { Ok(argument) } else { of_library(&PARSE, argument) }
}

fn of_library(parse: &Program, argument: Cel) -> Result<Cel, ExecutionError> {
    let mut context = Context::default();
    context.add_variable_from_value("text", argument);
    parse.execute(&context)
}

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A field's name as rules write it (`apiserver/schema/cel/model`).
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}
