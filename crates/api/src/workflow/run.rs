//! One doing of a workflow.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Step, WorkflowSpec};
use crate::condition::Condition;
use crate::repair::RepairRef;

/// Steps a run keeps in its own status; a run of more keeps them in [`RunChunk`]s.
pub const STEPS_MAX: usize = 500;
/// Steps in one chunk.
pub const CHUNK_STEPS: usize = 200;

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
    /// When that Problem was filed: removed and filed anew, it counts its episodes from one again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem_filed_at: Option<Timestamp>,
    /// Episode of the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<i64>,
    /// The rung of a repair policy that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the rung of a Run never changes"))]
    pub repair: Option<RepairRef>,
    /// Values for the workflow's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The step of another run that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the parent of a Run never changes"))]
    pub parent: Option<ParentStep>,
    /// Who allowed which step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub approvals: Vec<Approval>,
    /// Counts the times a person wanted what failed tried again.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 1000))]
    pub retry: u32,
    /// Takes back, in reverse order, what has succeeded; it ends what is under way first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
    /// Begins no further step while set.
    #[serde(default)]
    pub pause: bool,
    /// Ends as soon as the step at hand has ended.
    #[serde(default)]
    pub cancel: bool,
}

const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The step of another run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentStep {
    /// The run.
    pub run: String,
    /// The step.
    pub step: String,
    /// How deep runs are nested here; a run without parent is at 0.
    pub depth: u32,
}

/// The word of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Step that is allowed.
    #[schemars(length(max = 80))]
    pub step: String,
    /// Who allows it.
    #[x_kube(validation = Rule::new("self != ''").message("must name a person"))]
    #[schemars(length(max = 253))]
    pub by: String,
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
    /// Until when it may wait for its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The plan that is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    /// Counts the times it was taken up anew, to be tried again or undone; each has a fence and a grant of its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub round: u32,
    /// How many of the wishes in `spec.retry` were taken up.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retried: u32,
    /// Whether it is being undone, or was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undoing: bool,
    /// The value of each parameter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The plan, frozen when the run began, with what became of each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1300))]
    pub steps: Vec<StepStatus>,
    /// The workflow as it was when the run began, where the steps stand in chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Box<WorkflowSpec>>,
    /// Chunk that is under way, where the steps stand in chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u32>,
    /// Steps by how they ended, where the steps stand in chunks: of the chunks before the one under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<StepCounts>,
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
    /// Step of the workflow that it is one repetition of.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub of: String,
    /// Step that this one takes back.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub undoes: String,
    /// Attempts begun.
    #[serde(default)]
    pub attempt: u32,
    /// Attempts put back before they did anything, because of a pause or `handsOff`; they use up none of those allowed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u32,
    /// Attempts of earlier rounds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: u32,
    /// When the last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Since when it is under way; its deadline counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<Timestamp>,
    /// When the attempt under way must have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When the next attempt begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the message was last written while the step was under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    /// A pod of an attempt that has ended and is to be removed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub leftover: String,
    /// What was done for it, as the plan says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub actions: Vec<String>,
    /// Who was told by a step of action `ticket`: a URL, or an e-mail's server and addresses. Nobody is told twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub told: Vec<String>,
}

impl StepStatus {
    /// A step not begun.
    pub fn pending(step: Step) -> Self {
        Self {
            step,
            finally: false,
            of: String::new(),
            undoes: String::new(),
            phase: RunPhase::Pending,
            attempt: 0,
            held: 0,
            before: 0,
            started_at: None,
            running_since: None,
            due_at: None,
            retry_at: None,
            ended_at: None,
            message: String::new(),
            told_at: None,
            leftover: String::new(),
            actions: Vec::new(),
            told: Vec::new(),
        }
    }
}

/// A plan by its content. It never changes: what is tried again or undone follows a new one, which names this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanId {
    /// Hash over the parent and the steps.
    pub id: String,
    /// The plan this one follows; empty for the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Counts the plans of a run, from 1.
    pub revision: u32,
}

/// Steps by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepCounts {
    /// All steps of the plan.
    pub total: u32,
    /// Done.
    pub succeeded: u32,
    /// Not done.
    pub failed: u32,
    /// Nobody can tell.
    pub ambiguous: u32,
    /// Given up.
    pub cancelled: u32,
    /// The chunk in which a step did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<u32>,
    /// The first step that did not succeed, and why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub worst: String,
}

/// Steps of a run that has too many for its own status.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "RunChunk",
    status = "RunChunkStatus",
    derive = "PartialEq",
    doc = "Steps of a run that has too many for its own status.",
    category = "muster",
    selectable = ".spec.run",
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.run"),
    printcolumn(name = "Index", type_ = "integer", json_path = ".spec.index"),
    printcolumn(name = "Done", type_ = "boolean", json_path = ".status.done"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.spec == oldSelf.spec").message("a RunChunk belongs to one place of one Run"),
)]
pub struct RunChunkSpec {
    /// The run.
    #[x_kube(validation = Rule::new("self != ''").message("must name a Run"))]
    pub run: String,
    /// Place among its chunks, from 0.
    pub index: u32,
}

/// How far the steps of a chunk are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunChunkStatus {
    /// Whether all of them have ended.
    #[serde(default)]
    pub done: bool,
    /// The round of the run in which they were taken up.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub round: u32,
    /// The steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub steps: Vec<StepStatus>,
}

impl RunChunk {
    /// The name of a run's chunk.
    pub fn name_of(run: &str, index: u32) -> String {
        format!("{run}.chunk-{index:05}")
    }
}
