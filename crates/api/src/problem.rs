//! What a doctor found.

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// How many pieces of evidence a problem keeps.
pub const EVIDENCE_KEPT: usize = 16;

/// Which fault, where. The name is `MACHINE.CLASS` or `MACHINE.CLASS.COMPONENT`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Problem",
    status = "ProblemStatus",
    derive = "PartialEq",
    doc = "What a doctor found wrong with a machine; written by doctors alone.",
    category = "muster",
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.machine"),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.class"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Count", type_ = "integer", json_path = ".status.count"),
    printcolumn(name = "Last-Seen", type_ = "date", json_path = ".status.lastSeen"),
    printcolumn(name = "Component", type_ = "string", json_path = ".spec.component", priority = 1),
    printcolumn(name = "Evidence", type_ = "string", json_path = ".status.evidence[0].text", priority = 1),
    validation = Rule::new("self.spec == oldSelf.spec").message("the key of a Problem (machine, component, class) never changes"),
)]
pub struct ProblemSpec {
    /// Machine that has it.
    #[x_kube(validation = Rule::new("self != ''").message("must name a Machine"))]
    pub machine: String,
    /// Part of the machine, such as `containerd` or `sda`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
    /// Class of the fault, dotted lower case: `runtime.hung`.
    #[x_kube(validation = Rule::new("self.matches('^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$')").message("must be dotted lower case, such as runtime.hung"))]
    pub class: String,
}

/// Whether the fault is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// Evidence is there, not yet enough of it.
    #[default]
    Suspect,
    /// The fault is there.
    Open,
    /// The fault was there and is gone.
    Clear,
    /// Evidence stopped arriving.
    Unknown,
}

impl State {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspect => "Suspect",
            Self::Open => "Open",
            Self::Clear => "Clear",
            Self::Unknown => "Unknown",
        }
    }
}

/// What is seen of a problem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemStatus {
    /// Whether it is there.
    #[serde(default)]
    pub state: State,
    /// Counts the times it opened; a repair belongs to one episode.
    #[serde(default)]
    pub episode: i64,
    /// Pieces of evidence in this episode.
    #[serde(default)]
    pub count: u64,
    /// First evidence of this episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// When it opened in this episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
    /// Last evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// When it was seen to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Timestamp>,
    /// Boot in which it was seen.
    #[serde(default, rename = "bootID", skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
    /// The last pieces of evidence, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Problem that explains this one; it is then held.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Comes and goes.
    #[serde(default)]
    pub flapping: bool,
    /// Until when the doctor vouches for the state; later it counts as unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Timestamp>,
    /// Observed facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// When.
    pub at: Timestamp,
    /// What was seen.
    pub text: String,
}

/// The name of the problem of that key.
pub fn name(machine: &str, class: &str, component: &str) -> String {
    let class = class.replace('_', "-");
    if component.is_empty() { format!("{machine}.{class}") } else { format!("{machine}.{class}.{component}") }
}
