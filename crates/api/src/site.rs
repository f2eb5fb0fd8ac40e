//! A place where machines stand.

pub mod rack;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place where machines stand: a data centre, a room, a branch office.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Site",
    status = "SiteStatus",
    derive = "PartialEq",
    doc = "A place where machines stand.",
    category = "muster",
    printcolumn(name = "Machines", type_ = "integer", json_path = ".status.machines"),
    printcolumn(name = "Healthy", type_ = "integer", json_path = ".status.phases.Healthy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Description", type_ = "string", json_path = ".spec.description", priority = 1)
)]
pub struct SiteSpec {
    /// What people call the place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What is seen of a site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// Machines of this site.
    #[serde(default)]
    pub machines: u32,
    /// Machines by phase.
    #[serde(default)]
    pub phases: BTreeMap<String, u32>,
}
