//! What a cell shows of an object.

use jiff::Timestamp;
use muster_base::quantity::Quantity;
use serde_json::Value;

use super::{age, selectors};

/// An object to be shown.
pub(super) struct Row<'a> {
    pub(super) object: &'a Value,
    pub(super) now: Timestamp,
}

/// Where a cell's value comes from; fields are JSON pointers.
pub(super) enum Cell {
    /// A string, empty if absent.
    Text(&'static str),
    /// A string, or another text if absent or empty.
    TextOr(&'static str, &'static str),
    /// A whole number, 0 if absent.
    Int(&'static str),
    /// A flag, or its default.
    Bool(&'static str, bool),
    /// Time since creation.
    Age,
    /// Entries of a list or map.
    Count(&'static str),
    /// Names of the containers in a list.
    Containers(&'static str),
    /// Their images.
    Images(&'static str),
    /// A label selector.
    Selector(&'static str),
    /// A map of labels.
    Labels(&'static str),
    /// A list of strings and the text for none.
    Join(&'static str, &'static str),
    /// A number that takes working out.
    Number(fn(&Row<'_>) -> usize),
    /// Anything else.
    Call(fn(&Row<'_>) -> String),
}

impl Cell {
    pub(super) fn render(&self, row: &Row<'_>) -> Value {
        match self {
            Self::Text(path) => row.text(path).into(),
            Self::TextOr(path, other) => row.text_or(path, other).into(),
            Self::Int(path) => row.int(path).into(),
            Self::Bool(path, default) => row.get(path).and_then(Value::as_bool).unwrap_or(*default).into(),
            Self::Age => row.age().into(),
            Self::Count(path) => row.count(path).into(),
            Self::Containers(path) => row.each(path, "name").into(),
            Self::Images(path) => row.each(path, "image").into(),
            Self::Selector(path) => none_if_empty(selectors::selector(row.get(path))).into(),
            Self::Labels(path) => none_if_empty(selectors::labels(row.get(path))).into(),
            Self::Join(path, none) => {
                let joined = row.texts(path).join(",");
                if joined.is_empty() { (*none).into() } else { joined.into() }
            }
            Self::Number(cell) => cell(row).into(),
            Self::Call(cell) => cell(row).into(),
        }
    }
}

fn none_if_empty(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}

impl<'a> Row<'a> {
    pub(super) fn get(&self, path: &str) -> Option<&'a Value> {
        self.object.pointer(path).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, path: &str) -> &'a str {
        self.get(path).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn text_or(&self, path: &str, other: &'a str) -> &'a str {
        let found = self.text(path);
        if found.is_empty() { other } else { found }
    }

    pub(super) fn int(&self, path: &str) -> i64 {
        self.get(path).and_then(Value::as_i64).unwrap_or(0)
    }

    pub(super) fn list(&self, path: &str) -> &'a [Value] {
        self.get(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn texts(&self, path: &str) -> Vec<&'a str> {
        self.list(path).iter().filter_map(Value::as_str).collect()
    }

    pub(super) fn count(&self, path: &str) -> usize {
        match self.get(path) {
            Some(Value::Object(map)) => map.len(),
            Some(Value::Array(items)) => items.len(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => 0,
        }
    }

    fn each(&self, path: &str, field: &str) -> String {
        let found: Vec<&str> =
            self.list(path).iter().map(|item| item[field].as_str().unwrap_or_default()).collect();
        found.join(",")
    }

    pub(super) fn age(&self) -> String {
        self.since("/metadata/creationTimestamp")
    }

    pub(super) fn since(&self, path: &str) -> String {
        age::since(self.get(path).and_then(Value::as_str), self.now)
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.get("/metadata/deletionTimestamp").is_some()
    }

    /// The `status` of a condition.
    pub(super) fn condition(&self, name: &str) -> Option<&'a str> {
        self.list("/status/conditions").iter().find(|condition| condition["type"] == name)?["status"].as_str()
    }

    pub(super) fn quantity(&self, path: &str) -> String {
        let text = match self.get(path) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => return "0".to_owned(),
        };
        text.parse::<Quantity>().map_or(text, |quantity| quantity.to_string())
    }
}
