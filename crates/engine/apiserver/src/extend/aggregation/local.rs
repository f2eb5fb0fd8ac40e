//! Registrations of what this server serves itself: listed for clients, asked by nobody.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::RESOURCE;
use crate::server::{ApiServer, Origin};

/// Priority of a group and of a version in it, as upstream lists them.
const PRIORITIES: &[(&str, i64, i64)] = &[
    ("v1", 18000, 1),
    ("apps/v1", 17800, 15),
    ("events.k8s.io/v1", 17750, 15),
    ("authentication.k8s.io/v1", 17700, 15),
    ("authorization.k8s.io/v1", 17600, 15),
    ("autoscaling/v1", 17500, 15),
    ("autoscaling/v2", 17500, 30),
    ("batch/v1", 17400, 15),
    ("certificates.k8s.io/v1", 17300, 15),
    ("networking.k8s.io/v1", 17200, 15),
    ("policy/v1", 17100, 15),
    ("rbac.authorization.k8s.io/v1", 17000, 15),
    ("storage.k8s.io/v1", 16800, 15),
    ("apiextensions.k8s.io/v1", 16700, 15),
    ("admissionregistration.k8s.io/v1", 16700, 15),
    ("scheduling.k8s.io/v1", 16600, 15),
    ("coordination.k8s.io/v1", 16500, 15),
    ("node.k8s.io/v1", 16300, 15),
    ("discovery.k8s.io/v1", 16200, 15),
    ("resource.k8s.io/v1", 16200, 21),
    ("flowcontrol.apiserver.k8s.io/v1", 16100, 21),
];
/// Of custom resources.
const CUSTOM: (i64, i64) = (1000, 100);
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Of the built-in groups.
pub(crate) fn built_in(server: &ApiServer) -> impl Iterator<Item = Value> {
    let registry = server.inner().registry.current();
    let now = crate::rest::meta::time(server.inner().clock.now());
    let served =
        PRIORITIES.iter().filter(move |(name, ..)| registry.group_versions().any(|(one, _)| one == *name));
    served.map(move |(name, group, version)| document(name, (*group, *version), "onstart", &now))
}

/// What is to be registered for custom resources, and which registrations have lost theirs.
pub(super) fn custom(server: &ApiServer) -> (Vec<Value>, Vec<String>) {
    let registry = server.inner().registry.current();
    let now = crate::rest::meta::time(server.inner().clock.now());
    let snapshot = server.store().snapshot(RESOURCE);
    let custom = registry.all().filter(|served| served.origin == Origin::Custom);
    let custom: BTreeSet<String> = custom.map(|served| served.kind.gvk.api_version()).collect();
    let missing = custom.iter().filter(|name| snapshot.get("", &name_of(name)).is_none());
    let missing = missing.map(|name| document(name, CUSTOM, "true", &now)).collect();
    let gone = snapshot.iter().filter(|entry| {
        entry.value.header().label(MANAGED) == Some("true")
            && custom.iter().all(|name| *name_of(name) != *entry.key.name)
    });
    (missing, gone.map(|entry| entry.key.name.to_string()).collect())
}

fn name_of(group_version: &str) -> String {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    format!("{version}.{group}")
}

fn document(
    group_version: &str,
    (group_priority, version_priority): (i64, i64),
    managed: &str,
    now: &str,
) -> Value {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let mut spec = json!({
        "version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority,
    });
    if !group.is_empty() {
        spec["group"] = json!(group);
    }
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name_of(group_version), "labels": {MANAGED: managed}},
        "spec": spec,
        "status": {"conditions": [{
            "type": "Available", "status": "True", "reason": "Local", "lastTransitionTime": now,
            "message": "Local APIServices are always available",
        }]},
    })
}
