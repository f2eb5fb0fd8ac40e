//! The reader of `resources.txt`: one `APIResource` of discovery per line.

use std::collections::HashMap;

use serde::Deserialize;

use crate::kind::{Gvk, Kind, ScalePaths, Scope, Subresource};
use crate::types::Schema;

/// A resource or subresource as discovery lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Where it is served: `v1`, `apps/v1`.
    pub group_version: String,
    /// `pods`, or `pods/eviction` for a subresource.
    pub name: String,
    /// Kind of the objects sent and answered.
    pub kind: String,
    /// Group of that kind where it differs from the resource's.
    #[serde(default)]
    pub group: String,
    /// Version of that kind where it differs from the resource's.
    #[serde(default)]
    pub version: String,
    /// Whether it lives in namespaces.
    pub namespaced: bool,
    /// Name for one; empty for subresources.
    #[serde(default)]
    pub singular_name: String,
    /// Abbreviations.
    #[serde(default)]
    pub short_names: Vec<String>,
    /// Groups of resources such as `all`.
    #[serde(default)]
    pub categories: Vec<String>,
    /// What may be done.
    pub verbs: Vec<String>,
    /// Upstream's hash of the storage version; empty for what is not stored.
    #[serde(default)]
    pub storage_version_hash: String,
}

pub(super) fn parse(table: &'static str) -> Vec<Resource> {
    table.lines().map(|line| serde_json::from_str(line).expect("resources.txt is generated")).collect()
}

/// The kinds behind the resources that are stored.
pub(super) fn kinds(
    resources: &[Resource],
    types: &Schema,
    by_kind: &HashMap<(String, String), String>,
) -> Vec<Kind> {
    let stored = resources.iter().filter(|resource| !resource.storage_version_hash.is_empty());
    stored.map(|resource| kind(resource, resources, types, by_kind)).collect()
}

fn kind(
    resource: &Resource,
    resources: &[Resource],
    types: &Schema,
    by_kind: &HashMap<(String, String), String>,
) -> Kind {
    let (group, version) = resource.group_version.split_once('/').unwrap_or(("", &resource.group_version));
    let definition = by_kind.get(&(resource.group_version.clone(), resource.kind.clone()));
    let schema = definition.and_then(|name| types.named(name));
    let prefix = format!("{}/", resource.name);
    let of_this = resources.iter().filter(|other| other.group_version == resource.group_version);
    let subresources =
        of_this.filter_map(|other| other.name.strip_prefix(&prefix)).map(subresource).collect();
    Kind {
        gvk: Gvk { group: group.to_owned(), version: version.to_owned(), kind: resource.kind.clone() },
        plural: resource.name.clone(),
        singular: resource.singular_name.clone(),
        short_names: resource.short_names.clone(),
        categories: resource.categories.clone(),
        list_kind: format!("{}List", resource.kind),
        scope: if resource.namespaced { Scope::Namespaced } else { Scope::Cluster },
        subresources,
        storage_version: version.to_owned(),
        schema: schema.unwrap_or_else(|| panic!("the type table lacks {}", resource.kind)),
        columns: Vec::new(),
        selectable_fields: Vec::new(),
        open_api: None,
    }
}

/// The subresources that are neither `status` nor `scale`.
const OTHERS: [&str; 12] = [
    "approval",
    "attach",
    "binding",
    "ephemeralcontainers",
    "eviction",
    "exec",
    "finalize",
    "log",
    "portforward",
    "proxy",
    "resize",
    "token",
];

fn subresource(name: &str) -> Subresource {
    match name {
        "status" => Subresource::Status,
        "scale" => Subresource::Scale(ScalePaths {
            spec_replicas: ".spec.replicas".to_owned(),
            status_replicas: ".status.replicas".to_owned(),
            label_selector: Some(".spec.selector".to_owned()),
        }),
        name => {
            let known = OTHERS.iter().find(|other| **other == name);
            Subresource::Other(known.unwrap_or_else(|| panic!("unknown subresource {name} in resources.txt")))
        }
    }
}
