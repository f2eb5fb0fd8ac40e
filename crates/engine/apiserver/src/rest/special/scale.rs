//! Scale: the replicas of a kind as `autoscaling/v1` Scale.

use http::StatusCode;
use muster_schema::{FieldError, ScalePaths, Subresource, merge};
use serde_json::{Value, json};

use crate::extend::webhooks::{self, Message, Operation};
use crate::rest::{Call, Target, change, codec, meta};
use crate::server::{ApiServer, Reply, document};
use crate::status::{About, Refusal};

const SCALE: Message = Message { group: "autoscaling", version: "v1", kind: "Scale" };

pub(super) async fn scale(server: &ApiServer, call: &mut Call, target: &Target) -> Result<Reply, Refusal> {
    let subresources = &target.served.kind.subresources;
    let paths = subresources.iter().find_map(|subresource| match subresource {
        Subresource::Scale(paths) => Some(paths.clone()),
        Subresource::Status | Subresource::Other(_) => None,
    });
    let paths = paths.ok_or_else(Refusal::no_such_resource)?;
    if call.info.verb == "get" {
        let entry = server.store().get(&target.key()).ok_or_else(|| target.not_found())?;
        let scale = of(&target.served.document(&entry), &paths);
        return Ok(document(StatusCode::OK, &scale, call.accept.syntax()));
    }
    let mut patch = call.info.verb == "patch";
    let mut sent =
        if patch { patch_body(call)? } else { codec::decode_message(call, "autoscaling/v1/Scale")? };
    let next = |patch: bool, sent: &Value, old: &Value| {
        let mut scale = if patch { of(old, &paths) } else { sent.clone() };
        if patch {
            merge::json_merge(&mut scale, sent);
        }
        scale
    };
    if webhooks::concern(server, call, target) {
        let entry = server.store().get(&target.key()).ok_or_else(|| target.not_found())?;
        let old = target.served.document(&entry);
        sent = next(patch, &sent, &old);
        patch = false;
        let old = of(&old, &paths);
        let message = (Operation::Update, SCALE);
        webhooks::admit_message(server, call, target, message, &mut sent, Some(&old)).await?;
    }
    let changed =
        change(server, call, target, |old| apply(target, old, &next(patch, &sent, old), &paths)).await?;
    let scale = of(&target.served.document(changed.entry()), &paths);
    Ok(document(StatusCode::OK, &scale, call.accept.syntax()))
}

fn patch_body(call: &Call) -> Result<Value, Refusal> {
    let accepted = ["application/merge-patch+json", "application/strategic-merge-patch+json"];
    let media = call.content_type.as_deref().unwrap_or("").split(';').next().unwrap_or("").trim();
    if !accepted.contains(&media) {
        return Err(Refusal::unsupported_media_type(&accepted));
    }
    serde_json::from_slice(&call.body)
        .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))
}

fn pointer(path: &str) -> String {
    path.replace('.', "/")
}

fn of(object: &Value, paths: &ScalePaths) -> Value {
    let number = |path: &str| object.pointer(&pointer(path)).and_then(Value::as_i64).unwrap_or(0);
    let metadata = &object["metadata"];
    let mut kept = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata.get(key) {
            kept[key] = value.clone();
        }
    }
    let mut status = json!({"replicas": number(&paths.status_replicas)});
    if let Some(found) = paths.label_selector.as_deref().and_then(|path| object.pointer(&pointer(path))) {
        status["selector"] = json!(selector_text(found));
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept,
        "spec": {"replicas": number(&paths.spec_replicas)}, "status": status,
    })
}

/// A selector in its textual form, whichever form the kind keeps it in.
fn selector_text(selector: &Value) -> String {
    if let Some(text) = selector.as_str() {
        return text.to_owned();
    }
    if selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some() {
        let parsed = crate::request::LabelSelector::of_document(selector);
        return parsed.map(|selector| selector.to_string()).unwrap_or_default();
    }
    let pairs = selector.as_object().into_iter().flatten();
    let pairs: Vec<String> =
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
    pairs.join(",")
}

fn apply(target: &Target, old: &Value, scale: &Value, paths: &ScalePaths) -> Result<Value, Refusal> {
    let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
    if replicas < 0 {
        let text = "must be greater than or equal to 0";
        let error = FieldError::invalid("spec.replicas", json!(replicas), text);
        return Err(Refusal::invalid(
            About { group: "autoscaling", resource: "Scale" },
            &target.name,
            &[error],
        ));
    }
    let mut new = old.clone();
    let mut place = &mut new;
    for key in paths.spec_replicas.trim_start_matches('.').split('.') {
        place = &mut place[key];
    }
    *place = json!(replicas);
    let revision = meta::text(scale, "/metadata/resourceVersion");
    if !revision.is_empty() {
        new["metadata"]["resourceVersion"] = json!(revision);
    }
    Ok(new)
}
