//! Lists whose items are unique as a whole or by keys (`x-kubernetes-list-type`).

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::error::{FieldError, at};
use crate::types::ListKind;

/// Every value that occurs twice is told once, at its second place.
pub(super) fn check(kind: &ListKind, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    match kind {
        ListKind::Atomic => {}
        ListKind::Set => repeated(items.iter().cloned(), path, errors),
        ListKind::Map(keys) => {
            if let Some((index, item)) =
                items.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null())
            {
                let detail = "must be an object for an array of list-type map";
                errors.push(FieldError::invalid(at(path, index), item.clone(), detail));
                return;
            }
            repeated(items.iter().map(|item| identity(item, keys)), path, errors);
        }
    }
}

fn identity(item: &Value, keys: &[Box<str>]) -> Value {
    let found = keys.iter().filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())));
    Value::Object(found.collect::<Map<_, _>>())
}

fn repeated(values: impl Iterator<Item = Value>, path: &str, errors: &mut Vec<FieldError>) {
    let mut seen: HashMap<String, u32> = HashMap::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            errors.push(FieldError::duplicate(at(path, index), value));
        }
    }
}
