//! Which part of an object each way of writing it may change.

use serde_json::Value;

use super::DELETING;
use crate::server::{Origin, Served};

/// Puts back into `new` whatever an update through `subresource` may not change.
pub(super) fn keep(served: &Served, subresource: &str, old: &Value, new: &mut Value) {
    match subresource {
        "" if served.kind.has_status() => carry(new, old, "status"),
        // Scale, binding and finalize bring documents that their handlers made from the old one.
        "" | DELETING | "scale" | "binding" | "finalize" => {}
        "status" => status(served, old, new),
        "approval" => approval(old, new),
        "ephemeralcontainers" => only(old, new, "/spec/ephemeralContainers"),
        "resize" => resize(old, new),
        _ => *new = old.clone(),
    }
}

fn status(served: &Served, old: &Value, new: &mut Value) {
    let keys: Vec<String> = [old, new]
        .iter()
        .filter_map(|value| value.as_object())
        .flat_map(|map| map.keys().cloned())
        .filter(|key| !["status", "metadata", "apiVersion", "kind"].contains(&key.as_str()))
        .collect();
    for key in keys {
        carry(new, old, &key);
    }
    // Upstream lets the status of a built-in kind bring labels and annotations along, with one exception.
    let kept: &[&str] = match (&served.origin, &*served.resource) {
        (Origin::Custom, _) => &["ownerReferences", "finalizers", "labels", "annotations"],
        (Origin::BuiltIn, "deployments.apps") => &["ownerReferences", "finalizers", "labels"],
        (Origin::BuiltIn, _) => &["ownerReferences", "finalizers"],
    };
    for key in kept {
        let value = old.pointer(&format!("/metadata/{key}")).cloned();
        if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
            match value {
                Some(value) => metadata.insert((*key).to_owned(), value),
                None => metadata.remove(*key),
            };
        }
    }
}

/// Who approves a certificate writes conditions, and metadata as in any update.
fn approval(old: &Value, new: &mut Value) {
    let conditions = new.pointer("/status/conditions").cloned();
    carry(new, old, "spec");
    carry(new, old, "status");
    if let Some(conditions) = conditions {
        new["status"]["conditions"] = conditions;
    }
}

/// Everything but one field stays as it was.
fn only(old: &Value, new: &mut Value, pointer: &str) {
    let wanted = new.pointer(pointer).cloned();
    let revision = new["metadata"]["resourceVersion"].clone();
    *new = old.clone();
    new["metadata"]["resourceVersion"] = revision;
    let (parent, field) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    if let (Some(wanted), Some(section)) = (wanted, parent.strip_prefix('/')) {
        new[section][field] = wanted;
    }
}

/// Only the resources of containers that are there already.
fn resize(old: &Value, new: &mut Value) {
    let wanted = new.clone();
    only(old, new, "/spec/none");
    for list in ["containers", "initContainers"] {
        for container in new["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let same = wanted["spec"][list].as_array().into_iter().flatten();
            let same = same.clone().find(|one| one["name"] == container["name"]);
            for field in ["resources", "resizePolicy"] {
                if let Some(value) = same.and_then(|one| one.get(field)) {
                    container[field] = value.clone();
                }
            }
        }
    }
}

/// Puts the old value of a top-level field in place of the new one.
fn carry(new: &mut Value, old: &Value, key: &str) {
    let Some(root) = new.as_object_mut() else { return };
    match old.get(key) {
        Some(value) => root.insert(key.to_owned(), value.clone()),
        None => root.remove(key),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(image: &str, cpu: &str) -> Value {
        json!({
            "metadata": {"name": "p", "resourceVersion": "1"},
            "spec": {"containers": [{"name": "c", "image": image, "resources": {"limits": {"cpu": cpu}}}]},
        })
    }

    #[test]
    fn a_resize_changes_resources_and_nothing_else() {
        let (old, mut new) = (pod("a", "1"), pod("b", "2"));
        resize(&old, &mut new);
        assert_eq!(new, pod("a", "2"));
    }

    #[test]
    fn ephemeral_containers_come_alone() {
        let (old, mut new) = (pod("a", "1"), pod("b", "1"));
        new["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
        only(&old, &mut new, "/spec/ephemeralContainers");
        let mut expected = pod("a", "1");
        expected["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
        assert_eq!(new, expected);
    }
}
