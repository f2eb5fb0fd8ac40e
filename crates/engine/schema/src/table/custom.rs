//! Custom resources: the columns of their definition.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use super::jsonpath::JsonPath;
use crate::kind::{Column, Kind};

/// The name, and what the definition asks for or else the age.
pub(super) fn columns(kind: &Kind) -> Vec<Column> {
    if !kind.columns.is_empty() {
        return kind.columns.clone();
    }
    vec![Column {
        name: "Age".to_owned(),
        column_type: "date".to_owned(),
        format: String::new(),
        description: "CreationTimestamp is a timestamp representing the server time when this object was created. It \
            is not guaranteed to be set in happens-before order across separate operations. Clients may not set this \
            value. It is represented in RFC3339 form and is in UTC."
            .to_owned(),
        priority: 0,
        json_path: ".metadata.creationTimestamp".to_owned(),
    }]
}

pub(super) fn definitions(columns: &[Column]) -> Value {
    let name = json!({
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": "Name must be unique within a namespace.",
        "priority": 0,
    });
    let others = columns.iter().map(|column| {
        let described = !column.description.is_empty();
        let plain =
            || format!("Custom resource definition column (in JSONPath format): {}", column.json_path);
        json!({
            "name": column.name,
            "type": column.column_type,
            "format": column.format,
            "description": if described { column.description.clone() } else { plain() },
            "priority": column.priority,
        })
    });
    std::iter::once(name).chain(others).collect()
}

pub(super) fn cells(columns: &[Column], object: &Value, now: Timestamp) -> Vec<Value> {
    let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
    std::iter::once(name).chain(columns.iter().map(|column| cell(column, object, now))).collect()
}

/// A path that cannot be read shows nothing, as upstream does.
fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let Ok(path) = JsonPath::parse(&column.json_path) else { return Value::Null };
    let Some(found) = path.find(object).into_iter().next() else { return Value::Null };
    match (column.column_type.as_str(), found) {
        (_, Value::Null) => Value::Null,
        ("integer", Value::Number(number)) => {
            number.as_i64().map_or_else(|| number.as_f64().map(|float| float as i64).into(), Value::from)
        }
        ("number", Value::Number(number)) => number.as_f64().into(),
        ("boolean", flag @ Value::Bool(_)) => flag.clone(),
        ("string", Value::String(text)) => text.as_str().into(),
        ("string", other) => other.to_string().into(),
        ("date", Value::String(text)) => age::since(Some(text), now).into(),
        _ => Value::Null,
    }
}
