//! What a machine can be made to carry.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;

/// What has to be true of a machine that carries a role, and how it is proved before it serves.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "MachineRole",
    status = "MachineRoleStatus",
    derive = "PartialEq",
    doc = "What a machine can be made to carry.",
    category = "muster",
    printcolumn(name = "Runtime", type_ = "string", json_path = ".spec.runtime"),
    printcolumn(name = "Probation", type_ = "string", json_path = ".spec.probation.duration"),
    printcolumn(name = "Machines", type_ = "integer", json_path = ".status.machines"),
    printcolumn(name = "Healthy", type_ = "integer", json_path = ".status.phases.Healthy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct MachineRoleSpec {
    /// Container runtime the role needs.
    #[serde(default)]
    pub runtime: Runtime,
    /// Features of the kernel that must be there (`overlayfs`, `br_netfilter`, `nf_tables`, `veth`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_features: Vec<String>,
    /// Kernel settings, by dotted name (`net.ipv4.ip_forward`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Labels of the Node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_labels: BTreeMap<String, String>,
    /// Taints of the Node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_taints: Vec<Taint>,
    /// How the machine proves itself before it serves.
    #[serde(default)]
    pub probation: Probation,
}

/// A container runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// None: the role runs no containers.
    None,
    /// containerd, supervised by the agent.
    #[default]
    Containerd,
}

/// A taint, as on a Node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What happens to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// No new pods.
    NoSchedule,
    /// New pods only if there is no other place.
    PreferNoSchedule,
    /// Running pods leave.
    NoExecute,
}

/// The time and the proofs between installation or repair and service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probation {
    /// How long no Problem may be open.
    pub duration: GoDuration,
    /// What is tried for real.
    #[serde(default)]
    pub checks: Vec<Check>,
}

impl Default for Probation {
    fn default() -> Self {
        Self { duration: GoDuration(std::time::Duration::from_secs(10)), checks: vec![Check::ContainerStart] }
    }
}

/// Something tried for real on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// A sandbox and a container are started, seen running and removed.
    ContainerStart,
}

/// What is seen of a role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineRoleStatus {
    /// Machines that are to carry the role.
    #[serde(default)]
    pub machines: u32,
    /// These machines by phase.
    #[serde(default)]
    pub phases: BTreeMap<String, u32>,
}
