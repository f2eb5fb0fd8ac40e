//! The difference of two states, and how it turns the one into the other.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::path::{Path, Step, has};

/// Keys that name the elements of a list; the first that all elements have, each with a text of its own.
const NAMING: [&str; 3] = ["name", "type", "id"];

/// One change of one field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) path: Path,
    pub(crate) edit: Edit,
}

/// How the field changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Edit {
    Set(Value),
    Remove,
    /// A list lost elements at its beginning and gained some at its end, as a list of the last N events does.
    Slide {
        drop: usize,
        add: Vec<Value>,
    },
}

/// What turns `old` into `new`.
pub(crate) fn difference(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(&Path::default(), old, new, &mut changes);
    changes
}

fn compare(path: &Path, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => compare_objects(path, before, after, changes),
        (Value::Array(before), Value::Array(after)) => compare_lists(path, before, after, changes),
        _ => changes.push(Change { path: path.clone(), edit: Edit::Set(new.clone()) }),
    }
}

fn compare_objects(
    path: &Path,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Vec<Change>,
) {
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        changes.push(Change { path: path.field(key), edit: Edit::Remove });
    }
    for (key, new) in after {
        match before.get(key) {
            Some(old) => compare(&path.field(key), old, new, changes),
            None => changes.push(Change { path: path.field(key), edit: Edit::Set(new.clone()) }),
        }
    }
}

fn compare_lists(path: &Path, before: &[Value], after: &[Value], changes: &mut Vec<Change>) {
    if let Some(key) = NAMING.into_iter().find(|key| same_names(key, before, after)) {
        for (old, new) in before.iter().zip(after) {
            let text = name(key, new).unwrap_or_default().to_owned();
            compare(&path.with(Step::Item { key: key.to_owned(), text }), old, new, changes);
        }
        return;
    }
    let nested = !path.0.is_empty();
    let slide = (0..before.len()).filter(|_| nested).find(|drop| after.starts_with(&before[*drop..]));
    let edit = match slide {
        Some(drop) => Edit::Slide { drop, add: after[before.len() - drop..].to_vec() },
        None => Edit::Set(Value::from(after.to_vec())),
    };
    changes.push(Change { path: path.clone(), edit });
}

fn name<'a>(key: &str, item: &'a Value) -> Option<&'a str> {
    item.get(key)?.as_str()
}

/// Whether both lists hold elements of the same names in the same order, no name twice.
fn same_names(key: &str, before: &[Value], after: &[Value]) -> bool {
    let mut seen = HashMap::new();
    before.len() == after.len()
        && before.iter().zip(after).all(|(old, new)| match (name(key, old), name(key, new)) {
            (Some(old), Some(new)) => old == new && seen.insert(new, ()).is_none(),
            _ => false,
        })
}

/// Makes the change in `state`; a path that is not there is made.
pub(crate) fn apply(state: &mut Value, change: &Change) {
    let Some((last, before)) = change.path.0.split_last() else {
        if let Edit::Set(value) = &change.edit {
            *state = value.clone();
        }
        return;
    };
    let mut place = state;
    for step in before {
        let Some(next) = enter(place, step) else { return };
        place = next;
    }
    match (&change.edit, last) {
        (Edit::Remove, Step::Field(name)) => {
            if let Value::Object(map) = place {
                map.remove(name);
            }
        }
        (Edit::Remove, Step::Item { key, text }) => {
            if let Value::Array(list) = place {
                list.retain(|each| !has(each, key, text));
            }
        }
        (Edit::Set(value), step) => {
            if let Some(slot) = enter(place, step) {
                *slot = value.clone();
            }
        }
        (Edit::Slide { drop, add }, step) => {
            if let Some(Value::Array(list)) = enter(place, step) {
                list.drain(..(*drop).min(list.len()));
                list.extend(add.iter().cloned());
            }
        }
    }
}

fn enter<'a>(place: &'a mut Value, step: &Step) -> Option<&'a mut Value> {
    match step {
        Step::Field(name) => {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            Some(place.as_object_mut()?.entry(name.as_str()).or_insert(Value::Null))
        }
        Step::Item { key, text } => place.as_array_mut()?.iter_mut().find(|each| has(each, key, text)),
    }
}
