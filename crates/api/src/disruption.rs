//! The leave to take a machine out of service.

pub mod budget;

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who wants to disturb which machine, what for, and how long at most.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Disruption",
    status = "DisruptionStatus",
    derive = "PartialEq",
    doc = "The leave to take a machine out of service; asked for by anyone, decided by one leader.",
    category = "muster",
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.machine"),
    printcolumn(name = "Purpose", type_ = "string", json_path = ".spec.purpose"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.run", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1)
)]
pub struct DisruptionSpec {
    /// The one machine.
    #[x_kube(validation = Rule::new("self != '' && !self.contains('*')").message("must name exactly one Machine"))]
    pub machine: String,
    /// What for.
    pub purpose: Purpose,
    /// Run that asks; empty for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// The grant ends by itself then, its holder alive or not.
    pub until: Timestamp,
    /// Given back by its holder.
    #[serde(default)]
    pub released: bool,
}

/// What a machine is disturbed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// First installation.
    Provision,
    /// Repair of a problem.
    Repair,
    /// New software.
    Upgrade,
    /// Emptying a node.
    Drain,
    /// A person's own reason.
    Person,
}

/// The answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DisruptionPhase {
    /// Not now; looked at again.
    #[default]
    Waiting,
    /// Granted.
    Granted,
    /// Never as asked.
    Denied,
    /// Given back, or run out.
    Released,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionStatus {
    /// The answer.
    #[serde(default)]
    pub phase: DisruptionPhase,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When a waiting one is looked at again at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_again_at: Option<Timestamp>,
    /// When it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Timestamp>,
}
