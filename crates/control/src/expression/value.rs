//! JSON as CEL sees it, as far as it is read.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::Value as Cel;
use kube_cel::cel::objects::{Key, Map};
use serde_json::Value;

use super::analysis::Fields;

/// The fields of an object that are read; no object at all is one without fields.
pub(super) fn project(object: Option<&Value>, fields: &Fields) -> Cel {
    match (object, fields) {
        (Some(value), Fields::Whole) => whole(value),
        (Some(Value::Object(map)), Fields::Of(fields)) => {
            record(fields.iter().filter_map(|(name, inner)| {
                let value = map.get(name).filter(|value| !value.is_null())?;
                Some((name.clone(), project(Some(value), inner)))
            }))
        }
        (None, _) | (Some(_), Fields::Of(_)) => record(std::iter::empty()),
    }
}

fn record(entries: impl Iterator<Item = (String, Cel)>) -> Cel {
    let map: HashMap<Key, Cel> = entries.map(|(key, value)| (Key::String(Arc::new(key)), value)).collect();
    Cel::Map(Map { map: Arc::new(map) })
}

fn whole(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cel::Int(whole),
            None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(whole).collect())),
        Value::Object(map) => {
            let there = map.iter().filter(|(_, inner)| !inner.is_null());
            record(there.map(|(key, inner)| (key.clone(), whole(inner))))
        }
    }
}

/// Items of the largest list or map in a value.
pub(super) fn largest(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(largest).max().unwrap_or(0).max(items.len() as u64),
        Value::Object(map) => map.values().map(largest).max().unwrap_or(0).max(map.len() as u64),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}
