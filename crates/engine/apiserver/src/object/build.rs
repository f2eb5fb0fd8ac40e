//! From a document to header and bytes.

use serde_json::{Map, Value};

use super::fields::FieldColumn;
use super::pack::Body;
use super::{Deletion, Header, Object, intern, stamp};

/// A document that is not an object of the Kubernetes form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BuildError {
    /// Not a JSON object.
    #[error("the document is not a JSON object")]
    NotAnObject,
    /// A field that every object has is missing or of the wrong type.
    #[error("{path} is missing or of the wrong type")]
    Field {
        /// Path of the field.
        path: &'static str,
    },
}

pub(super) fn build(document: &Value, columns: &[FieldColumn]) -> Result<Object, BuildError> {
    let root = document.as_object().ok_or(BuildError::NotAnObject)?;
    let text = |path: &'static str| root.get(path).and_then(Value::as_str).ok_or(BuildError::Field { path });
    let metadata =
        root.get("metadata").and_then(Value::as_object).ok_or(BuildError::Field { path: "metadata" })?;
    let (tail, metadata_end) = tail(root, metadata);
    let stamp = stamp(text("apiVersion")?, text("kind")?);
    Ok(Object {
        header: header(document, metadata, columns),
        body: Body::new(&stamp, &tail),
        stamp,
        metadata_end: u32::try_from(metadata_end).expect("a document is far below 4 GiB"),
    })
}

fn tail(root: &Map<String, Value>, metadata: &Map<String, Value>) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(1024);
    out.push(b'"');
    for (key, value) in metadata.iter().filter(|(key, _)| *key != "resourceVersion") {
        push_pair(key, value, &mut out);
    }
    out.push(b'}');
    let metadata_end = out.len();
    for (key, value) in
        root.iter().filter(|(key, _)| !["apiVersion", "kind", "metadata"].contains(&key.as_str()))
    {
        push_pair(key, value, &mut out);
    }
    out.push(b'}');
    (out, metadata_end)
}

fn push_pair(key: &str, value: &Value, out: &mut Vec<u8>) {
    out.push(b',');
    serde_json::to_writer(&mut *out, key).expect("writing to memory does not fail");
    out.push(b':');
    serde_json::to_writer(&mut *out, value).expect("writing to memory does not fail");
}

fn header(document: &Value, metadata: &Map<String, Value>, columns: &[FieldColumn]) -> Header {
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or("");
    let mut labels: Vec<_> = metadata
        .get("labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (intern::text(key), intern::text(value.as_str().unwrap_or(""))))
        .collect();
    labels.sort();
    let owners = metadata.get("ownerReferences").and_then(Value::as_array).into_iter().flatten();
    Header {
        uid: text("uid").into(),
        labels: labels.into(),
        owners: owners.filter_map(|owner| Some(owner.get("uid")?.as_str()?.into())).collect(),
        fields: columns
            .iter()
            .map(|column| (intern::text(&column.path), column.value(document).into_boxed_str()))
            .collect(),
        created_seconds: text("creationTimestamp")
            .parse::<jiff::Timestamp>()
            .map_or(0, jiff::Timestamp::as_second),
        generation: metadata.get("generation").and_then(Value::as_i64).unwrap_or(0),
        deletion: if metadata.contains_key("deletionTimestamp") {
            Deletion::Requested
        } else {
            Deletion::None
        },
    }
}
