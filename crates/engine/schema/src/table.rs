//! Objects as rows for people (`meta.k8s.io/v1` Table), with the columns of `kubectl get`.

mod age;
mod cells;
mod core;
mod custom;
mod jsonpath;
mod networking;
mod pods;
mod policy;
mod selectors;
mod storage;
mod workloads;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::catalog::description;
use crate::kind::Kind;
use crate::types::{Schema, Shape};
pub use age::human_duration;
use cells::{Cell, Row};
pub use jsonpath::{JsonPath, JsonPathError};

/// What of each object goes along with its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// A `PartialObjectMetadata`.
    Metadata,
    /// All of it.
    Object,
}

/// A column of a built-in kind.
pub(super) struct Head {
    name: &'static str,
    kind: &'static str,
    priority: i32,
    cell: Cell,
    /// A text, or the JSON pointer of the field whose description it is.
    doc: &'static str,
}

/// A column that is always shown.
const fn col(name: &'static str, kind: &'static str, cell: Cell, doc: &'static str) -> Head {
    Head { name, kind, priority: 0, cell, doc }
}

/// A column of `-o wide`.
const fn wide(name: &'static str, cell: Cell, doc: &'static str) -> Head {
    Head { name, kind: "string", priority: 1, cell, doc }
}

const NAME: Head = col("Name", "string", Cell::Text("/metadata/name"), "/metadata/name");
const AGE: Head = col("Age", "string", Cell::Age, "/metadata/creationTimestamp");

/// Kinds without columns of their own.
const PLAIN: &[Head] = &[
    NAME,
    col("Created At", "date", Cell::Text("/metadata/creationTimestamp"), "/metadata/creationTimestamp"),
];

/// Renders objects of one kind as a Table. `now` is the moment ages are counted to. The caller fills in the list's
/// `metadata`.
pub fn render(kind: &Kind, objects: &[&Value], now: Timestamp, include: IncludeObject) -> Value {
    let (columns, rows): (Value, Vec<Value>) = match builtin(kind) {
        Some(heads) => {
            let cells = |object: &Value| {
                let row = Row { object, now };
                let cells = heads.iter().map(|head| head.cell.render(&row)).collect();
                one_row(cells, pods::conditions(kind, object), object, include)
            };
            (
                heads.iter().map(|head| head.definition(kind)).collect(),
                objects.iter().map(|object| cells(object)).collect(),
            )
        }
        None => {
            let columns = custom::columns(kind);
            let rows = objects
                .iter()
                .map(|object| one_row(custom::cells(&columns, object, now), None, object, include))
                .collect();
            (custom::definitions(&columns), rows)
        }
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn one_row(cells: Vec<Value>, conditions: Option<Value>, object: &Value, include: IncludeObject) -> Value {
    let mut row = Map::new();
    row.insert("cells".to_owned(), Value::Array(cells));
    if let Some(conditions) = conditions {
        row.insert("conditions".to_owned(), conditions);
    }
    let shown = match include {
        IncludeObject::None => None,
        IncludeObject::Metadata => Some(json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": object["metadata"],
        })),
        IncludeObject::Object => Some(object.clone()),
    };
    if let Some(shown) = shown {
        row.insert("object".to_owned(), shown);
    }
    Value::Object(row)
}

/// The columns of a built-in kind; `None` for custom resources.
fn builtin(kind: &Kind) -> Option<&'static [Head]> {
    if kind.open_api.is_some() || !kind.columns.is_empty() {
        return None;
    }
    let (group, name) = (kind.gvk.group.as_str(), kind.gvk.kind.as_str());
    let found = pods::heads(group, name)
        .or_else(|| workloads::heads(group, name))
        .or_else(|| core::heads(group, name))
        .or_else(|| networking::heads(group, name))
        .or_else(|| storage::heads(group, name))
        .or_else(|| policy::heads(group, name));
    Some(found.unwrap_or(PLAIN))
}

impl Head {
    fn definition(&self, kind: &Kind) -> Value {
        let format = if self.name == "Name" { "name" } else { "" };
        let doc = match self.doc.strip_prefix('/') {
            Some(path) => field_description(&kind.schema, path),
            None => self.doc.to_owned(),
        };
        json!({
            "name": self.name,
            "type": self.kind,
            "format": format,
            "description": doc,
            "priority": self.priority,
        })
    }
}

fn field_description(schema: &Schema, path: &str) -> String {
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let Shape::Object { fields, definition, .. } = &schema.node().shape else { return String::new() };
    match (fields.get(name), rest) {
        (None, _) => String::new(),
        (Some(_), "") => {
            definition.as_deref().and_then(|definition| description(definition, name)).unwrap_or_default()
        }
        (Some(field), rest) => field_description(&schema.sub(field.node), rest),
    }
}

#[cfg(test)]
mod tests;
