//! A rack: one of the domains in which machines fail together.

use std::collections::BTreeMap;

use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rack of a site. Its name is its identity, so racks that two sites call the same need names of their own
/// (`a-r1`, `b-r1`).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Rack",
    status = "RackStatus",
    derive = "PartialEq",
    doc = "A rack of a site.",
    category = "muster",
    printcolumn(name = "Site", type_ = "string", json_path = ".spec.site"),
    printcolumn(name = "Machines", type_ = "integer", json_path = ".status.machines"),
    printcolumn(name = "Healthy", type_ = "integer", json_path = ".status.phases.Healthy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Position", type_ = "string", json_path = ".spec.position", priority = 1)
)]
pub struct RackSpec {
    /// Site it stands in.
    #[x_kube(validation = Rule::new("self != ''").message("must name a Site"))]
    pub site: String,
    /// Power feed it hangs on, where racks share one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub power: String,
    /// Where in the site, for people (`row 4, place 12`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub position: String,
}

/// What is seen of a rack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RackStatus {
    /// Machines of this rack.
    #[serde(default)]
    pub machines: u32,
    /// Machines by phase.
    #[serde(default)]
    pub phases: BTreeMap<String, u32>,
}
