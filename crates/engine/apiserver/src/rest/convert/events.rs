//! Events have two forms, in the core group and in `events.k8s.io`, and one storage: the core form.

use serde_json::{Map, Value};

use crate::server::Served;

/// New name, old name; paths with one dot reach into an object.
const RENAMED: &[(&str, &str)] = &[
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// The stored name of a selectable field of the new form.
pub(crate) fn stored_path(path: &str) -> Option<String> {
    let (first, rest) = path.split_once('.').map_or((path, ""), |(first, rest)| (first, rest));
    let (_, old) = RENAMED.iter().find(|(new, _)| *new == first)?;
    Some(if rest.is_empty() { (*old).to_owned() } else { format!("{old}.{rest}") })
}

/// Whether a kind is the new form.
pub(crate) fn is_new(served: &Served) -> bool {
    served.kind.gvk.group == "events.k8s.io"
}

/// From the stored form to the new one.
pub(crate) fn to_new(document: Value) -> Value {
    rename(document, "events.k8s.io/v1", |name| {
        RENAMED.iter().find(|(_, old)| *old == name).map(|(new, _)| *new)
    })
}

/// From the new form to the stored one.
pub(crate) fn to_stored(document: Value) -> Value {
    rename(document, "v1", |name| RENAMED.iter().find(|(new, _)| *new == name).map(|(_, old)| *old))
}

fn rename(document: Value, api_version: &str, other: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(map) = document else { return document };
    let mut out = Map::new();
    for (name, value) in map {
        let name = other(&name).map_or(name, str::to_owned);
        out.insert(name, value);
    }
    out.insert("apiVersion".into(), Value::from(api_version));
    Value::Object(out)
}
