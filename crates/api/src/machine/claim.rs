//! A wish for machines: so many of a kind, for a role.

use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// Annotation on a Machine: the MachineClaim that gave it its role, so that only that claim takes it back.
pub const CLAIMED_BY: &str = "muster.dev/claimed-by";
/// Finalizer of a claim: it goes when its machines are released.
pub const RELEASES: &str = "muster.dev/releases-machines";

/// Give me `count` machines for `role`. A claim takes machines that have no role and that no other claim holds; it never
/// takes one that somebody else gave a role.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "MachineClaim",
    status = "MachineClaimStatus",
    derive = "PartialEq",
    doc = "So many machines of a kind, for a role.",
    category = "muster",
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Wanted", type_ = "integer", json_path = ".spec.count"),
    printcolumn(name = "Bound", type_ = "integer", json_path = ".status.bound"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Where", type_ = "string", json_path = ".spec.where", priority = 1),
    printcolumn(name = "Spread", type_ = "string", json_path = ".spec.spread", priority = 1)
)]
pub struct MachineClaimSpec {
    /// MachineRole the machines are to carry.
    #[x_kube(validation = Rule::new("self != ''").message("must name a MachineRole"))]
    pub role: String,
    /// How many.
    #[x_kube(validation = Rule::new("1 <= self && self <= 100000").message("must be between 1 and 100000"))]
    pub count: u32,
    /// Which may be taken: CEL over `machine` and `inventory`; empty = any without a role.
    #[serde(default, rename = "where", skip_serializing_if = "String::is_empty")]
    pub where_: String,
    /// Over which domains they are to be spread as evenly as can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// At most so many in one domain of `spread`; absent = no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_domain_max: Option<u32>,
}

/// Domains in which machines fail together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// Racks.
    Rack,
    /// Sites.
    Site,
}

/// What is seen of a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineClaimStatus {
    /// How many machines are bound.
    #[serde(default)]
    pub bound: u32,
    /// Their names, in order.
    #[serde(default)]
    pub machines: Vec<String>,
    /// Why some are missing; empty where none is.
    #[serde(default)]
    pub reason: String,
    /// Observed facts.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
