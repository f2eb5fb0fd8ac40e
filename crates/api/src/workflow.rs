//! What is to be done, step by step, and one doing of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::duration::GoDuration;
use crate::order::{Arguments, Verb};

/// A template: which steps, in which order, started by what.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Workflow",
    status = "WorkflowStatus",
    derive = "PartialEq",
    doc = "What is to be done with a machine, step by step.",
    category = "muster",
    printcolumn(name = "Purpose", type_ = "string", json_path = ".spec.purpose"),
    printcolumn(name = "Heals", type_ = "string", json_path = ".spec.heals"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct WorkflowSpec {
    /// What its runs are for; `repair` runs start by themselves for the classes in `heals`.
    pub purpose: WorkflowPurpose,
    /// Problem classes whose opening starts a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub heals: Vec<String>,
    /// The steps; one runs when all it comes after have succeeded.
    #[schemars(length(min = 1, max = 200))]
    pub steps: Vec<Step>,
    /// Steps that run at the end whatever happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub finally: Vec<Step>,
}

/// What the runs of a workflow are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkflowPurpose {
    /// Making a machine carry its role.
    #[default]
    Provision,
    /// Healing a problem.
    Repair,
}

/// One step of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.after) && self.after.exists(s, s == self.name))").message("a step cannot come after itself"))]
#[x_kube(validation = Rule::new("(self.action == 'order') == has(self.order)").message("'order' belongs to action order, and to no other"))]
pub struct Step {
    /// Name within the workflow.
    #[schemars(length(max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Steps that must have succeeded before. Absent = the step written before this one; `[]` = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(max = 63)))]
    pub after: Option<Vec<String>>,
    /// What it does.
    pub action: Action,
    /// The order to the agent, for action `order`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderTemplate>,
    /// How long it may take from its start.
    pub deadline: GoDuration,
    /// How often it may be tried, at least once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Takes the disruption grant for the machine and sets it Disrupted.
    Disrupt,
    /// Gives the grant back.
    Release,
    /// Keeps new pods off the node.
    Cordon,
    /// Lets new pods on the node again, if this run had cordoned it.
    Uncordon,
    /// Tells the agent something and waits for its answer.
    Order,
    /// Puts the machine on probation: the role's checks for real, and no open problem for its time.
    Probation,
    /// Sets the machine Healthy.
    Healthy,
}

impl Action {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disrupt => "disrupt",
            Self::Release => "release",
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
            Self::Order => "order",
            Self::Probation => "probation",
            Self::Healthy => "healthy",
        }
    }
}

/// An order as a workflow writes it; what is absent comes from the machine's role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderTemplate {
    /// What the agent is to do.
    pub verb: Verb,
    /// With what, beyond what the role says.
    #[serde(default)]
    pub arguments: Arguments,
}

/// Whether a workflow can be run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowStatus {
    /// Observed facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One doing of a workflow on one machine.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Run",
    status = "RunStatus",
    derive = "PartialEq",
    doc = "One doing of a workflow on one machine.",
    category = "muster",
    printcolumn(name = "Workflow", type_ = "string", json_path = ".spec.workflow"),
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.machine"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startedAt"),
    printcolumn(name = "Problem", type_ = "string", json_path = ".spec.problem", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
pub struct RunSpec {
    /// Workflow that is done.
    #[x_kube(validation = Rule::new("self != '' && self == oldSelf").message("the workflow of a Run never changes"))]
    pub workflow: String,
    /// Machine it is done on.
    #[x_kube(validation = Rule::new("self != '' && self == oldSelf").message("the machine of a Run never changes"))]
    pub machine: String,
    /// Problem it is to heal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// Episode of the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<i64>,
    /// Values for the workflow's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Begins no further step while set.
    #[serde(default)]
    pub pause: bool,
    /// Ends as soon as the step at hand has ended.
    #[serde(default)]
    pub cancel: bool,
}

/// How far a run or a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RunPhase {
    /// Not begun.
    #[default]
    Pending,
    /// Begun.
    Running,
    /// Held by a person.
    Paused,
    /// Done.
    Succeeded,
    /// Not done.
    Failed,
    /// Nobody can tell whether it was done; it is not repeated blindly.
    Ambiguous,
    /// Given up on request.
    Cancelled,
    /// Done and taken back.
    Undone,
}

impl RunPhase {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Ambiguous => "Ambiguous",
            Self::Cancelled => "Cancelled",
            Self::Undone => "Undone",
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Paused => false,
            Self::Succeeded | Self::Failed | Self::Ambiguous | Self::Cancelled | Self::Undone => true,
        }
    }
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// How far it is.
    #[serde(default)]
    pub phase: RunPhase,
    /// What it waits for or why it ended, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Fence it got with the machine; its orders carry it.
    #[serde(default)]
    pub fence: i64,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The plan, frozen when the run began, with what became of each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 220))]
    pub steps: Vec<StepStatus>,
    /// Observed facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// The step as it was when the run began.
    #[serde(flatten)]
    pub step: Step,
    /// Whether it belongs to the part that always runs.
    #[serde(default)]
    pub finally: bool,
    /// How far it is.
    #[serde(default)]
    pub phase: RunPhase,
    /// Attempts begun.
    #[serde(default)]
    pub attempt: u32,
    /// Attempts put back before they did anything, because of a pause or `handsOff`; they use up none of those allowed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u32,
    /// When the last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}
