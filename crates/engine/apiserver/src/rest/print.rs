//! Tables, as kubectl prints them.

use jiff::Timestamp;
use muster_store::Entry;
use serde_json::{Value, json};

use crate::object::Object;
use crate::request::Query;
use crate::server::Served;

/// What of the object goes with each row (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    None,
}

impl Include {
    /// Reads the query.
    pub(crate) fn of(query: &Query) -> Self {
        match query.text("includeObject") {
            Some("None") => Self::None,
            Some("Object") => Self::Object,
            Some(_) | None => Self::Metadata,
        }
    }
}

/// The table of some entries.
pub(crate) fn table(served: &Served, entries: &[&Entry<Object>], include: Include, now: Timestamp) -> Value {
    let rows: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut row = json!({"cells": [&*entry.key.name]});
            match include {
                Include::Metadata => row["object"] = crate::server::metadata_document(entry),
                Include::Object => row["object"] = served.document(entry),
                Include::None => {}
            }
            row
        })
        .collect();
    let _age = now;
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}],
        "rows": rows,
    })
}
