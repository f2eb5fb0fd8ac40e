//! What is to be done, step by step, and one doing of it.

mod act;
mod parameter;
mod run;

use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::duration::GoDuration;

pub use act::{Action, ChildTemplate, ContainerTemplate, ENV_MAX, OrderTemplate, Undo, WebhookTemplate};
pub use parameter::{Parameter, ParameterType};
pub use run::{
    Approval, CHUNK_STEPS, ParentStep, PlanId, Run, RunChunk, RunChunkSpec, RunChunkStatus, RunPhase,
    RunSpec, RunStatus, STEPS_MAX, StepCounts, StepStatus,
};

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
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct WorkflowSpec {
    /// What its runs are for. Which repair is started when, a RepairPolicy says.
    pub purpose: WorkflowPurpose,
    /// What a run may be told, and what it must be told. A text of a step names it as `${parameters.NAME}`, an
    /// expression as `parameters.NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub parameters: Vec<Parameter>,
    /// How much is done at once.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
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
    /// New software.
    Upgrade,
    /// Emptying a node.
    Drain,
    /// What a person wants done.
    Person,
}

/// How much a run does at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Steps under way at once; absent: as many as may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub parallel: Option<u32>,
}

impl Limits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One step of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.after) && self.after.exists(s, s == self.name))").message("a step cannot come after itself"))]
#[x_kube(validation = Rule::new("(self.action == 'order') == has(self.order)").message("'order' belongs to action order, and to no other"))]
#[x_kube(validation = Rule::new("(self.action == 'container') == has(self.container)").message("'container' belongs to action container, and to no other"))]
#[x_kube(validation = Rule::new("(self.action == 'webhook') == has(self.webhook)").message("'webhook' belongs to action webhook, and to no other"))]
#[x_kube(validation = Rule::new("(self.action == 'run') == has(self.run)").message("'run' belongs to action run, and to no other"))]
#[x_kube(validation = Rule::new("(self.action == 'wait') ? has(self.expression) : (self.action == 'verify' || !has(self.expression))").message("'expression' belongs to actions wait, which needs it, and verify, which else sees through the checks of the role"))]
#[x_kube(validation = Rule::new("self.action == 'approve' || !has(self.approvers)").message("'approvers' belongs to action approve, and to no other"))]
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
    /// The order to the agent or the management controller's actor, for action `order`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderTemplate>,
    /// The container to run to its end, for action `container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerTemplate>,
    /// What to call, for action `webhook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookTemplate>,
    /// CEL over `machine`, `inventory`, `node`, `problems` and `parameters`, for actions `wait` and `verify`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048))]
    pub expression: String,
    /// Who may approve, for action `approve`; nobody named: any person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    pub approvers: Vec<String>,
    /// The workflow to do within this one, for action `run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<ChildTemplate>,
    /// What takes the step back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// Does the step so often, as `NAME-0`, `NAME-1` …; `${index}` names the number in its texts. A number, or a
    /// parameter of type integer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(
        length(max = 80),
        regex(pattern = "^$|^[1-9][0-9]{0,5}$|^\\$\\{parameters\\.[a-zA-Z][a-zA-Z0-9]*\\}$")
    )]
    pub repeat: String,
    /// How long it may take from when it is under way.
    pub deadline: GoDuration,
    /// How long it may take until it is under way: a grant is given, an agent begins, a container starts. As `deadline`
    /// unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<GoDuration>,
    /// How often it may be tried, at least once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// Rest before the second attempt; it doubles before each further one, five minutes at most. 1s unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<GoDuration>,
}

const fn one() -> u32 {
    1
}

impl Step {
    /// A step that is tried once, written after the one before it.
    pub fn new(name: impl Into<String>, action: Action, deadline: GoDuration) -> Self {
        Self {
            name: name.into(),
            after: None,
            action,
            order: None,
            container: None,
            webhook: None,
            expression: String::new(),
            approvers: Vec::new(),
            run: None,
            undo: None,
            repeat: String::new(),
            deadline,
            pending: None,
            attempts: 1,
            backoff: None,
        }
    }
}

/// Whether a workflow can be run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowStatus {
    /// Observed facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
