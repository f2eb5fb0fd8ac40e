//! Changes as a person reads them: one row for each field with its old and new value.

use serde_json::Value;

use super::delta::{Change, Edit, difference};
use super::path::Path;

/// One field that changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldChange {
    pub(crate) path: Path,
    pub(crate) old: Option<Value>,
    pub(crate) new: Option<Value>,
}

/// Every field that differs between two states; `None` is an object that is not there.
pub(crate) fn field_changes(old: Option<&Value>, new: Option<&Value>) -> Vec<FieldChange> {
    let mut rows = Vec::new();
    match (old, new) {
        (Some(old), Some(new)) => {
            for Change { path, edit } in difference(old, new) {
                rows_of(&path, edit, old, &mut rows);
            }
        }
        (None, Some(new)) => leaves(&Path::default(), new, &mut |path, value| {
            rows.push(FieldChange { path: path.clone(), old: None, new: Some(value.clone()) });
        }),
        (Some(old), None) => leaves(&Path::default(), old, &mut |path, value| {
            rows.push(FieldChange { path: path.clone(), old: Some(value.clone()), new: None });
        }),
        (None, None) => {}
    }
    rows
}

fn rows_of(path: &Path, edit: Edit, old: &Value, rows: &mut Vec<FieldChange>) {
    let before = path.find(old);
    match edit {
        Edit::Slide { drop, add } => {
            let dropped = before.and_then(Value::as_array).map(|list| list[..drop.min(list.len())].to_vec());
            let shown = |list: Vec<Value>| (!list.is_empty()).then(|| Value::from(list));
            let (old, new) = (shown(dropped.unwrap_or_default()), shown(add));
            rows.push(FieldChange { path: path.clone(), old, new });
        }
        Edit::Set(value) => both(path, before, Some(&value), rows),
        Edit::Remove => both(path, before, None, rows),
    }
}

fn both(path: &Path, old: Option<&Value>, new: Option<&Value>, rows: &mut Vec<FieldChange>) {
    let structured = |value: Option<&Value>| value.is_some_and(|value| value.is_object());
    if !structured(old) && !structured(new) {
        return rows.push(FieldChange { path: path.clone(), old: old.cloned(), new: new.cloned() });
    }
    for (value, is_old) in [(old, true), (new, false)] {
        let Some(value) = value else { continue };
        leaves(path, value, &mut |path, leaf| {
            let (old, new) = if is_old { (Some(leaf.clone()), None) } else { (None, Some(leaf.clone())) };
            rows.push(FieldChange { path: path.clone(), old, new });
        });
    }
}

/// Calls `found` for everything in `value` that has no named fields of its own.
pub(crate) fn leaves(path: &Path, value: &Value, found: &mut impl FnMut(&Path, &Value)) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, inner) in map {
                leaves(&path.field(key), inner, found);
            }
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => found(path, value),
    }
}
