//! Aggregated discovery (KEP-3352): one document instead of one per group and version.

use muster_schema::Resource;
use serde_json::{Map, Value, json};

use super::plain::grouped;
use crate::server::Registry;

pub(super) fn document(registry: &Registry, root: &str, version: &str) -> Value {
    let items: Vec<Value> = if root == "api" {
        vec![group(registry, "", &["v1"])]
    } else {
        grouped(registry).iter().map(|(name, versions)| group(registry, name, versions)).collect()
    };
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn group(registry: &Registry, name: &str, versions: &[&str]) -> Value {
    let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            let group_version = if name.is_empty() { (*version).to_owned() } else { format!("{name}/{version}") };
            let found = registry.group_versions().find(|(found, _)| *found == group_version);
            let resources = found.map_or(&[][..], |(_, resources)| resources);
            json!({"version": version, "resources": resources_of(name, version, resources), "freshness": "Current"})
        })
        .collect();
    json!({"metadata": metadata, "versions": versions})
}

fn resources_of(group: &str, version: &str, resources: &[Resource]) -> Vec<Value> {
    let mut out = Vec::new();
    for resource in resources.iter().filter(|resource| !resource.name.contains('/')) {
        let mut entry = Map::new();
        entry.insert("resource".into(), json!(resource.name));
        entry.insert("responseKind".into(), response_kind(group, version, resource));
        entry.insert("scope".into(), json!(if resource.namespaced { "Namespaced" } else { "Cluster" }));
        entry.insert("singularResource".into(), json!(resource.singular_name));
        entry.insert("verbs".into(), json!(resource.verbs));
        for (key, list) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
            if !list.is_empty() {
                entry.insert(key.into(), json!(list));
            }
        }
        let prefix = format!("{}/", resource.name);
        let subresources: Vec<Value> = resources
            .iter()
            .filter_map(|sub| Some((sub.name.strip_prefix(&prefix)?, sub)))
            .map(|(name, sub)| {
                json!({
                    "subresource": name,
                    "responseKind": response_kind(group, version, sub),
                    "verbs": sub.verbs,
                })
            })
            .collect();
        if !subresources.is_empty() {
            entry.insert("subresources".into(), json!(subresources));
        }
        out.push(Value::Object(entry));
    }
    out
}

fn response_kind(group: &str, version: &str, resource: &Resource) -> Value {
    let own = resource.version.is_empty();
    json!({
        "group": if own { group } else { &resource.group },
        "version": if own { version } else { &resource.version },
        "kind": resource.kind,
    })
}
