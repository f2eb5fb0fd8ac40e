//! Answers whether a Workflow can be run.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Api;
use kube::api::PostParams;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::disruption::Destruction;
use muster_api::workflow::{Action, OrderTemplate, Step, WorkflowSpec};
use muster_api::{Condition, Workflow};
use muster_control::expression::{Expression, ExpressionError};
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, Sweep};

use crate::Context;
use crate::graph::{self, GraphError};
use crate::parameters::{self, ParameterError};
use crate::run::verdict::VARIABLES;

/// Something wrong with a workflow, and the field it stands in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// The order of its steps.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Its parameters, or a text that names one.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// An expression.
    #[error("{path}: {error}")]
    Expression { path: String, error: ExpressionError },
    /// A step that takes the machine out of service without leave.
    #[error(
        "{path}: this takes the machine out of service; a step of action disrupt must come before it, and one of action release in spec.finally"
    )]
    NoGrant { path: String },
    /// A step that destroys something without a person's word.
    #[error(
        "{path}: this destroys for good; a step of action disrupt must come before it, and one of action approve before an erasure; it stands in spec.steps, does not repeat and undoes nothing"
    )]
    NoApproval { path: String },
    /// Workflows that are parts of each other.
    #[error("{path}: the workflows are parts of each other: {}", .names.join(" → "))]
    Nested { path: String, names: Vec<String> },
}

impl TemplateError {
    /// One word for programs.
    fn reason(&self) -> &'static str {
        match self {
            Self::Graph(_) => "InvalidGraph",
            Self::Parameter(_) => "InvalidParameters",
            Self::Expression { .. } => "InvalidExpression",
            Self::NoGrant { .. } => "NoGrant",
            Self::NoApproval { .. } => "NoApproval",
            Self::Nested { .. } => "CyclicWorkflows",
        }
    }
}

/// Whether a step takes a machine out of service.
pub(crate) fn disturbs(step: &Step) -> bool {
    matches!(step.action, Action::Drain | Action::Quarantine | Action::Retire)
        || step.order.as_ref().is_some_and(|order| order.verb.interrupts())
}

/// Judges a workflow by itself.
pub(crate) fn check(spec: &WorkflowSpec) -> Result<(), TemplateError> {
    graph::check(spec)?;
    parameters::check(spec)?;
    for (part, steps) in [("spec.steps", &spec.steps), ("spec.finally", &spec.finally)] {
        for (index, step) in steps.iter().enumerate() {
            if !step.expression.is_empty() {
                let path = format!("{part}[{index}].expression");
                Expression::compile(&step.expression, &VARIABLES)
                    .map_err(|error| TemplateError::Expression { path, error })?;
            }
        }
    }
    granted(spec)?;
    approved(spec)
}

fn destroys(order: Option<&OrderTemplate>) -> Option<Destruction> {
    order.and_then(|order| order.verb.destroys())
}

/// What cannot be taken back is done once, by name, when the machine is out of service. Erasing takes a person's word
/// besides; a new image is what the role of the machine allows, or the person who asks for it.
fn approved(spec: &WorkflowSpec) -> Result<(), TemplateError> {
    let before = graph::ancestors(&spec.steps);
    let all = spec.steps.iter().map(|step| ("spec.steps", step)).enumerate();
    let last = spec.finally.iter().map(|step| ("spec.finally", step)).enumerate();
    for (index, (part, step)) in all.chain(last) {
        if step.undo.as_ref().is_some_and(|undo| destroys(undo.order.as_ref()).is_some()) {
            return Err(TemplateError::NoApproval { path: format!("{part}[{index}].undo") });
        }
        let Some(act) = destroys(step.order.as_ref()) else { continue };
        let comes_before = |action| {
            let mut others = spec.steps.iter();
            others.any(|other| other.action == action && before[index].contains(other.name.as_str()))
        };
        let said = act == Destruction::Reimage || comes_before(Action::Approve);
        let in_order = part == "spec.steps" && said && comes_before(Action::Disrupt);
        if !in_order || !step.repeat.is_empty() {
            return Err(TemplateError::NoApproval { path: format!("{part}[{index}]") });
        }
    }
    Ok(())
}

/// A machine that is emptied or ended may serve, so there must be leave. Whether a machine that is to be switched serves is
/// seen when it is: the order is not given without leave then.
fn granted(spec: &WorkflowSpec) -> Result<(), TemplateError> {
    let before = graph::ancestors(&spec.steps);
    let releases = spec.finally.iter().any(|step| step.action == Action::Release);
    let leave: Vec<&str> = spec
        .steps
        .iter()
        .filter(|step| step.action == Action::Disrupt)
        .map(|step| step.name.as_str())
        .collect();
    let needs_leave =
        |step: &Step| matches!(step.action, Action::Drain | Action::Quarantine | Action::Retire);
    for (index, _) in spec.steps.iter().enumerate().filter(|(_, step)| needs_leave(step)) {
        let has_leave = releases && leave.iter().any(|name| before[index].contains(name));
        if !has_leave {
            return Err(TemplateError::NoGrant { path: format!("spec.steps[{index}]") });
        }
    }
    match spec.finally.iter().position(needs_leave) {
        Some(index) => Err(TemplateError::NoGrant { path: format!("spec.finally[{index}]") }),
        None => Ok(()),
    }
}

/// A cycle among workflows that are parts of each other, begun and ended by `name`.
fn nested(name: &str, all: &[Arc<Workflow>]) -> Result<(), TemplateError> {
    let parts: BTreeMap<String, Vec<String>> = all
        .iter()
        .map(|workflow| {
            let steps = workflow.spec.steps.iter().chain(&workflow.spec.finally);
            let parts = steps.filter_map(|step| step.run.as_ref()).map(|run| run.workflow.clone());
            (workflow.metadata.name.clone().unwrap_or_default(), parts.collect())
        })
        .collect();
    let mut seen: Vec<&str> = Vec::new();
    let mut ways: Vec<Vec<&str>> = vec![vec![name]];
    while let Some(way) = ways.pop() {
        let last = way[way.len() - 1];
        for next in parts.get(last).into_iter().flatten() {
            let mut longer = way.clone();
            longer.push(next);
            if next == name {
                let names = longer.into_iter().map(str::to_owned).collect();
                return Err(TemplateError::Nested { path: "spec.steps".to_owned(), names });
            }
            if !seen.contains(&next.as_str()) {
                seen.push(next);
                ways.push(longer);
            }
        }
    }
    Ok(())
}

struct Template {
    context: Context,
    workflows: Informer<Workflow>,
}

pub(crate) fn start(context: &Context) {
    let template = Template { context: context.clone(), workflows: context.informers.of() };
    let queue = Queue::new();
    let to = queue.clone();
    template.workflows.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
    Sweep::new("workflows", context.config.sweep_every, context.metrics.clone())
        .over(&template.workflows, &queue)
        .start(&context.tasks);
    Driver::new("workflows", context.metrics.clone()).start(&context.tasks, &queue, template);
}

impl Pass for Template {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(workflow) = self.workflows.get(key) else { return Ok(Outcome::IDLE) };
        let judged = check(&workflow.spec).and_then(|()| nested(&key.name, &self.workflows.list()));
        let (status, reason, message) = match judged {
            Ok(()) => (Status::True, "Valid", "every step can be reached".to_owned()),
            Err(error) => (Status::False, error.reason(), error.to_string()),
        };
        let mut wanted = workflow.status.clone().unwrap_or_default();
        let verdict = Condition {
            r#type: ACCEPTED.to_owned(),
            status,
            reason: reason.to_owned(),
            message,
            last_transition_time: self.context.clock.now(),
            observed_generation: workflow.metadata.generation,
        };
        condition::set(&mut wanted.conditions, verdict);
        if workflow.status.as_ref() == Some(&wanted) {
            return Ok(Outcome::IDLE);
        }
        let written = Workflow { status: Some(wanted), ..(*workflow).clone() };
        Api::<Workflow>::all(self.context.client.clone())
            .replace_status(&key.name, &PostParams::default(), &written)
            .await?;
        Ok(Outcome::ACTED)
    }
}
