//! Rows of the other kinds that depend on other fields.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Object, child, present, set, text};

/// The label by which selectors find a namespace by name.
pub(super) fn namespace(namespace: &mut Object) {
    let Some(metadata) = child(namespace, "metadata") else { return };
    let name = text(metadata, "name").to_owned();
    if !name.is_empty()
        && let Some(labels) = child(metadata, "labels")
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
}

/// What is written as text is kept as bytes.
pub(super) fn secret(secret: &mut Object) {
    let Some(Value::Object(texts)) = secret.remove("stringData") else { return };
    let Some(data) = child(secret, "data") else { return };
    for (key, text) in texts {
        let bytes = STANDARD.encode(text.as_str().unwrap_or(""));
        data.insert(key, bytes.into());
    }
}

pub(super) fn csi_driver(spec: &mut Object) {
    set(spec, "volumeLifecycleModes", json!(["Persistent"]));
}

pub(super) fn node_status(status: &mut Object) {
    if let Some(capacity) = status.get("capacity").cloned() {
        set(status, "allocatable", capacity);
    }
}

pub(super) fn limit_range_item(item: &mut Object) {
    if text(item, "type") != "Container" {
        return;
    }
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        let Some(source) = item.get(from).and_then(Value::as_object).cloned() else { continue };
        let Some(target) = child(item, to) else { continue };
        for (name, quantity) in source {
            set(target, &name, quantity);
        }
    }
}

pub(super) fn network_policy(spec: &mut Object) {
    let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    set(spec, "policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
}

pub(super) fn ingress_class(spec: &mut Object) {
    if let Some(parameters) = present(spec, "parameters") {
        set(parameters, "scope", "Cluster");
    }
}

pub(super) fn subject(subject: &mut Object) {
    if matches!(text(subject, "kind"), "User" | "Group") && text(subject, "apiGroup").is_empty() {
        subject.insert("apiGroup".to_owned(), "rbac.authorization.k8s.io".into());
    }
}

pub(super) fn autoscaler(spec: &mut Object) {
    set(spec, "minReplicas", 1);
    set(
        spec,
        "metrics",
        json!([{"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
        }}]),
    );
    let Some(behavior) = present(spec, "behavior") else { return };
    let up = json!([
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]);
    let down = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
    if let Some(rules) = child(behavior, "scaleUp") {
        set(rules, "stabilizationWindowSeconds", 0);
        set(rules, "selectPolicy", "Max");
        set(rules, "policies", up);
    }
    if let Some(rules) = child(behavior, "scaleDown") {
        set(rules, "selectPolicy", "Max");
        set(rules, "policies", down);
    }
}

/// Types outside `k8s.io/api`: custom resource definitions, registrations of other servers.
pub(super) fn crd(definition: &str, object: &mut Object) {
    if definition.ends_with(".apiregistration.v1.ServiceReference") {
        return set(object, "port", 443);
    }
    match definition.rsplit("apis.apiextensions.v1.").next().filter(|name| *name != definition) {
        Some("CustomResourceDefinition") => stored_version(object),
        Some("CustomResourceDefinitionSpec") => {
            set(object, "conversion", json!({"strategy": "None"}));
        }
        Some("CustomResourceDefinitionNames") => {
            let kind = text(object, "kind").to_owned();
            if !kind.is_empty() {
                set(object, "singular", kind.to_lowercase());
                set(object, "listKind", format!("{kind}List"));
            }
        }
        Some("ServiceReference") => set(object, "port", 443),
        Some(_) | None => {}
    }
}

fn stored_version(object: &mut Object) {
    let versions = object.get("spec").and_then(|spec| spec["versions"].as_array()).into_iter().flatten();
    let stored = versions
        .into_iter()
        .find(|version| version["storage"] == true)
        .map(|version| version["name"].clone());
    if let (Some(name), Some(status)) = (stored, child(object, "status"))
        && status.get("storedVersions").and_then(Value::as_array).is_none_or(Vec::is_empty)
    {
        status.insert("storedVersions".to_owned(), json!([name]));
    }
}
