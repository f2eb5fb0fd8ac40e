//! One act on one machine, told to its agent.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::role::Taint;

/// Bytes of output an order keeps.
pub const OUTPUT_BYTES_MAX: usize = 4096;

/// What the agent is to do. The key of the effect is (run, step, attempt): the agent does it once.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Order",
    status = "OrderStatus",
    derive = "PartialEq",
    doc = "One act on one machine, told to its agent.",
    category = "muster",
    selectable = ".spec.machine",
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.machine"),
    printcolumn(name = "Verb", type_ = "string", json_path = ".spec.verb"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.run", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    validation = Rule::new("self.spec == oldSelf.spec").message("an Order never changes; issue another"),
)]
#[x_kube(validation = Rule::new("!(self.verb in ['StartService', 'RestartService']) || (has(self.arguments) && has(self.arguments.service))").message("this verb needs arguments.service"))]
pub struct OrderSpec {
    /// Machine whose agent is addressed: one, by name, never a pattern.
    #[x_kube(validation = Rule::new("self != '' && !self.contains('*')").message("must name exactly one Machine"))]
    pub machine: String,
    /// What to do.
    pub verb: Verb,
    /// With what.
    #[serde(default)]
    pub arguments: Arguments,
    /// Fence of the machine at the time; the agent refuses an order below the highest it has seen.
    pub generation: i64,
    /// Run it belongs to.
    pub run: String,
    /// Step of the run.
    pub step: String,
    /// Attempt at the step, from 1.
    pub attempt: u32,
    /// The agent refuses to begin after this time: an order that waited too long is not what was meant any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// The closed list of what an agent does on order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verb {
    /// Sees that the kernel has `arguments.features`; changes nothing.
    CheckKernel,
    /// Brings `arguments.sysctls` about and notes their former values.
    EnsureSysctls,
    /// Starts `arguments.service` unless it runs, and waits until it answers.
    StartService,
    /// Ends `arguments.service`, hung or not, starts it again and waits until it answers. Containers live on.
    RestartService,
    /// Registers the machine as a Node with `arguments.labels` and `arguments.taints`.
    RegisterNode,
    /// Starts a container for real, sees it running, removes it.
    CheckContainerStart,
}

impl Verb {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CheckKernel => "CheckKernel",
            Self::EnsureSysctls => "EnsureSysctls",
            Self::StartService => "StartService",
            Self::RestartService => "RestartService",
            Self::RegisterNode => "RegisterNode",
            Self::CheckContainerStart => "CheckContainerStart",
        }
    }
}

/// A service an agent looks after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// The container runtime.
    Containerd,
}

/// What a verb needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Arguments {
    /// Service to start or restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Kernel features to look for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Kernel settings by dotted name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Labels of the Node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints of the Node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OrderPhase {
    /// Not yet seen by the agent.
    #[default]
    Pending,
    /// Seen and begun.
    Accepted,
    /// Not begun and never will be.
    Refused,
    /// Done.
    Done,
    /// Begun and not brought to its end.
    Failed,
}

impl OrderPhase {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Accepted => "Accepted",
            Self::Refused => "Refused",
            Self::Done => "Done",
            Self::Failed => "Failed",
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Accepted => false,
            Self::Refused | Self::Done | Self::Failed => true,
        }
    }
}

/// What became of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatus {
    /// How far it is.
    #[serde(default)]
    pub phase: OrderPhase,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What it printed, at most [`OUTPUT_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// When the agent began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}
