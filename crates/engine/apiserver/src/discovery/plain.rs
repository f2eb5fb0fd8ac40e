//! Discovery as it was before aggregation; kubectl still asks for parts of it.

use std::net::SocketAddr;

use muster_schema::Resource;
use serde_json::{Map, Value, json};

use crate::server::Registry;

pub(super) fn versions(address: SocketAddr) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address.to_string()}],
    })
}

/// Groups with their versions, in order; the core group left out.
pub(super) fn grouped(registry: &Registry) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (group_version, _) in registry.group_versions() {
        let Some((group, version)) = group_version.split_once('/') else { continue };
        match groups.iter_mut().find(|(found, _)| *found == group) {
            Some((_, versions)) => versions.push(version),
            None => groups.push((group, vec![version])),
        }
    }
    groups
}

fn group_document(group: &str, versions: &[&str]) -> Value {
    let entry = |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(entry).collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions[0]})
}

pub(super) fn groups(registry: &Registry) -> Value {
    let groups = grouped(registry);
    let groups: Vec<Value> = groups.iter().map(|(group, versions)| group_document(group, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

pub(super) fn group(registry: &Registry, name: &str) -> Option<Value> {
    let groups = grouped(registry);
    let (group, versions) = groups.iter().find(|(group, _)| *group == name)?;
    let mut document = group_document(group, versions);
    document["kind"] = json!("APIGroup");
    document["apiVersion"] = json!("v1");
    Some(document)
}

pub(super) fn resource_list(registry: &Registry, group_version: &str) -> Option<Value> {
    let (_, resources) = registry.group_versions().find(|(found, _)| *found == group_version)?;
    let resources: Vec<Value> = resources.iter().map(resource).collect();
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version, "resources": resources,
    }))
}

fn resource(resource: &Resource) -> Value {
    let mut out = Map::new();
    out.insert("name".into(), json!(resource.name));
    out.insert("singularName".into(), json!(resource.singular_name));
    out.insert("namespaced".into(), json!(resource.namespaced));
    let optional = [
        ("group", &resource.group),
        ("version", &resource.version),
        ("storageVersionHash", &resource.storage_version_hash),
    ];
    for (key, text) in optional.into_iter().filter(|(_, text)| !text.is_empty()) {
        out.insert(key.into(), json!(text));
    }
    out.insert("kind".into(), json!(resource.kind));
    out.insert("verbs".into(), json!(resource.verbs));
    for (key, list) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !list.is_empty() {
            out.insert(key.into(), json!(list));
        }
    }
    Value::Object(out)
}

/// What `/` lists.
pub(crate) fn paths(registry: &Registry) -> Value {
    let mut paths: Vec<String> = ["/api", "/api/v1", "/apis"].map(str::to_owned).to_vec();
    for (group, versions) in grouped(registry) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
    }
    let rest = [
        "/.well-known/openid-configuration",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    paths.extend(rest.map(str::to_owned));
    json!({"paths": paths})
}
