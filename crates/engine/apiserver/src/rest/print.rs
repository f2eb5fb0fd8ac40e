//! Tables, as kubectl prints them.

use jiff::Timestamp;
use muster_schema::table;
use muster_store::Entry;
use serde_json::Value;

use crate::object::Object;
use crate::request::Query;
use crate::server::Served;

/// What of the object goes with each row (`includeObject`).
pub(crate) type Include = table::IncludeObject;

/// What the query asks to go with each row.
pub(crate) fn include(query: &Query) -> Include {
    match query.text("includeObject") {
        Some("None") => Include::None,
        Some("Object") => Include::Object,
        Some(_) | None => Include::Metadata,
    }
}

/// The table of some entries.
pub(crate) fn table(served: &Served, entries: &[&Entry<Object>], include: Include, now: Timestamp) -> Value {
    let documents: Vec<Value> = entries.iter().map(|entry| served.document(entry)).collect();
    let documents: Vec<&Value> = documents.iter().collect();
    table::render(&served.kind, &documents, now, include)
}
