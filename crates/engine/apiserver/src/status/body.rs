//! The Status document itself.

use serde_json::{Map, Value, json};

use super::{Details, Reason, Refusal};

pub(super) fn failure(refusal: &Refusal) -> Value {
    let mut metadata = Map::new();
    if let Some(token) = &refusal.continue_token {
        metadata.insert("continue".into(), json!(token));
    }
    let mut document = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": metadata,
        "status": "Failure",
        "message": refusal.message,
        "reason": name(refusal.reason),
        "code": refusal.code().as_u16(),
    });
    if let Some(details) = &refusal.details {
        document["details"] = details_document(details);
    } else if refusal.reason == Reason::NotFound {
        document["details"] = json!({});
    }
    document
}

/// The Status of a delete that left nothing behind.
pub fn success(group: &str, resource: &str, name: &str, uid: &str) -> Value {
    let details = Details {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: resource.to_owned(),
        uid: uid.to_owned(),
        ..Details::default()
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details_document(&details),
    })
}

fn details_document(details: &Details) -> Value {
    let mut out = Map::new();
    let texts =
        [("name", &details.name), ("group", &details.group), ("kind", &details.kind), ("uid", &details.uid)];
    for (key, text) in texts {
        if !text.is_empty() {
            out.insert(key.into(), json!(text));
        }
    }
    if !details.causes.is_empty() {
        let causes = details.causes.iter().map(|cause| {
            let mut out = Map::new();
            for (key, text) in
                [("reason", &cause.reason), ("message", &cause.message), ("field", &cause.field)]
            {
                if !text.is_empty() {
                    out.insert(key.into(), json!(text));
                }
            }
            Value::Object(out)
        });
        out.insert("causes".into(), causes.collect());
    }
    if let Some(seconds) = details.retry_after_seconds {
        out.insert("retryAfterSeconds".into(), json!(seconds));
    }
    Value::Object(out)
}

fn name(reason: Reason) -> String {
    format!("{reason:?}")
}
