//! What a request asks besides its object, as the options document that admission sees.

use serde_json::{Map, Value, json};

use super::Operation;
use crate::request::{DeleteParams, DryRun};
use crate::rest::Call;

/// `CreateOptions`, `UpdateOptions` or `PatchOptions` of a request.
pub(crate) fn of(call: &Call, operation: Operation) -> Value {
    let kind = match (operation, call.info.verb.as_str()) {
        (Operation::Update, "patch") => "PatchOptions",
        (Operation::Update, _) => "UpdateOptions",
        (Operation::Create | Operation::Delete, _) => "CreateOptions",
    };
    let mut out = begin(kind);
    for key in ["fieldManager", "fieldValidation"] {
        if let Some(text) = call.query.text(key) {
            out.insert(key.into(), json!(text));
        }
    }
    if call.query.text("dryRun").is_some() {
        out.insert("dryRun".into(), json!(["All"]));
    }
    Value::Object(out)
}

/// `DeleteOptions` of a deletion.
pub(crate) fn of_delete(params: &DeleteParams) -> Value {
    let mut out = begin("DeleteOptions");
    if let Some(seconds) = params.grace_seconds {
        out.insert("gracePeriodSeconds".into(), json!(seconds));
    }
    if let Some(policy) = &params.propagation {
        out.insert("propagationPolicy".into(), json!(policy));
    }
    let mut preconditions = Map::new();
    for (key, text) in [("uid", &params.uid), ("resourceVersion", &params.revision)] {
        if let Some(text) = text {
            preconditions.insert(key.into(), json!(text));
        }
    }
    if !preconditions.is_empty() {
        out.insert("preconditions".into(), Value::Object(preconditions));
    }
    if params.dry_run == DryRun::All {
        out.insert("dryRun".into(), json!(["All"]));
    }
    Value::Object(out)
}

fn begin(kind: &str) -> Map<String, Value> {
    let pairs = [("kind", kind), ("apiVersion", "meta.k8s.io/v1")];
    pairs.into_iter().map(|(key, text)| (key.to_owned(), json!(text))).collect()
}
