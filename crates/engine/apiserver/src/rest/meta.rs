//! What a write may and may not change: metadata, status, generation.

mod parts;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::server::{Origin, Served};
use crate::status::Refusal;

/// Metadata that only the server sets.
const OWN: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
];

/// The subresource under which a deletion marks an object; no client can name it.
pub(crate) const DELETING: &str = "(delete)";

/// Built-in kinds that count changes of their spec.
const COUNTED: &[&str] = &[
    "pods",
    "replicationcontrollers",
    "podtemplates",
    "deployments.apps",
    "replicasets.apps",
    "daemonsets.apps",
    "statefulsets.apps",
    "jobs.batch",
    "cronjobs.batch",
    "poddisruptionbudgets.policy",
    "ingresses.networking.k8s.io",
    "networkpolicies.networking.k8s.io",
    "ingressclasses.networking.k8s.io",
    "endpointslices.discovery.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "priorityclasses.scheduling.k8s.io",
    "runtimeclasses.node.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "resourceslices.resource.k8s.io",
];

fn counts_generation(served: &Served) -> bool {
    served.origin == Origin::Custom || COUNTED.contains(&&*served.resource)
}

/// Seconds, as Kubernetes writes times.
pub(crate) fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metadata` as a map; made where it is missing.
pub(crate) fn metadata(value: &mut Value) -> Result<&mut Map<String, Value>, Refusal> {
    let Some(root) = value.as_object_mut() else {
        return Err(Refusal::bad_request("the object provided is not a JSON object"));
    };
    root.entry("metadata")
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .ok_or_else(|| Refusal::bad_request("metadata is not a JSON object"))
}

/// Text at a JSON pointer, empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// Gives a new object what the server decides. Managed fields are not tracked before server-side apply is.
pub(crate) fn prepare_create(served: &Served, value: &mut Value, now: Timestamp) -> Result<(), Refusal> {
    let metadata = metadata(value)?;
    if metadata.get("resourceVersion").and_then(Value::as_str).is_some_and(|version| !version.is_empty()) {
        return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
    }
    for key in OWN.iter().chain(&["resourceVersion", "managedFields"]) {
        metadata.remove(*key);
    }
    drop_empty(metadata);
    metadata.insert("uid".into(), json!(Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".into(), json!(time(now)));
    if counts_generation(served) {
        metadata.insert("generation".into(), json!(1));
    }
    if served.kind.has_status() && !keeps_status_on_create(served) {
        remove(value, "status");
    }
    Ok(())
}

/// Gives a new object back what a webhook may not change: name, what the server sets, and a status of its own.
pub(crate) fn keep_own(served: &Served, before: &Value, value: &mut Value) -> Result<(), Refusal> {
    let known = before.get("metadata").and_then(Value::as_object);
    let metadata = metadata(value)?;
    for key in OWN.iter().chain(&["name"]) {
        match known.and_then(|known| known.get(*key)) {
            Some(own) => metadata.insert((*key).to_owned(), own.clone()),
            None => metadata.remove(*key),
        };
    }
    metadata.remove("resourceVersion");
    drop_empty(metadata);
    if served.kind.has_status() && !keeps_status_on_create(served) {
        match before.get("status") {
            Some(status) => value["status"] = status.clone(),
            None => remove(value, "status"),
        }
    }
    Ok(())
}

/// Kinds whose status is taken as given on create (nodes register with theirs).
fn keeps_status_on_create(served: &Served) -> bool {
    served.origin == Origin::BuiltIn && ["nodes", "leases.coordination.k8s.io"].contains(&&*served.resource)
}

fn remove(value: &mut Value, key: &str) {
    if let Some(root) = value.as_object_mut() {
        root.remove(key);
    }
}

fn drop_empty(metadata: &mut Map<String, Value>) {
    metadata.retain(|_, value| {
        !value.is_null()
            && !value.as_str().is_some_and(str::is_empty)
            && !value.as_object().is_some_and(Map::is_empty)
            && !value.as_array().is_some_and(Vec::is_empty)
    });
}

/// Makes `new` what an update of the object, or of its subresource, may turn `old` into.
pub(crate) fn prepare_update(
    served: &Served,
    subresource: &str,
    old: &Value,
    new: &mut Value,
) -> Result<(), Refusal> {
    let empty = Map::new();
    let before = old.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    let metadata = metadata(new)?;
    for key in OWN.iter().filter(|_| subresource != DELETING) {
        match before.get(*key) {
            Some(value) => metadata.insert((*key).to_owned(), value.clone()),
            None => metadata.remove(*key),
        };
    }
    metadata.remove("managedFields");
    drop_empty(metadata);
    parts::keep(served, subresource, old, new);
    // As upstream: where a pod is placed is not a change of what was asked for.
    if counts_generation(served) && subresource != "binding" && spec_changed(old, new) {
        let generation = before.get("generation").and_then(Value::as_i64).unwrap_or(0) + 1;
        self::metadata(new)?.insert("generation".into(), json!(generation));
    }
    Ok(())
}

fn spec_changed(old: &Value, new: &Value) -> bool {
    let rest = |value: &Value| -> Vec<(String, Value)> {
        let Some(map) = value.as_object() else { return Vec::new() };
        let kept = |key: &str| !["metadata", "status", "apiVersion", "kind"].contains(&key);
        map.iter().filter(|(key, _)| kept(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let deleted = |value: &Value| value.pointer("/metadata/deletionTimestamp").is_some();
    rest(old) != rest(new) || (!deleted(old) && deleted(new))
}

/// Whether nothing holds an object any more that was asked to go.
pub(crate) fn is_done(value: &Value) -> bool {
    let list =
        |pointer: &str| value.pointer(pointer).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let grace = value.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    let namespace_content = text(value, "/kind") == "Namespace" && list("/spec/finalizers");
    value.pointer("/metadata/deletionTimestamp").is_some()
        && !list("/metadata/finalizers")
        && !namespace_content
        && grace == 0
}
