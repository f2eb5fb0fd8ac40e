//! Answers whether a RepairPolicy stands, picks the one for a problem, and tells in it what its rungs have fixed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::repair::{RepairPolicySpec, RepairPolicyStatus, Rung, Ticket};
use muster_api::workflow::{Action, Step, WorkflowSpec};
use muster_api::{Condition, RepairPolicy, Run, Workflow};
use muster_control::expression::Expression;
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, Sweep, explain};
use parking_lot::Mutex;

use super::rates::Book;
use crate::Context;
use crate::run::call::mail;
use crate::run::verdict::VARIABLES;
use crate::{graph, parameters, template};

/// Fix rates are written this often at most.
pub(crate) const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Whether an owner has accepted an object.
pub(crate) fn is_accepted(conditions: &[Condition]) -> bool {
    condition::find(conditions, ACCEPTED).is_some_and(|verdict| verdict.status == Status::True)
}

/// The policy for problems of `class` in `site`.
pub(crate) fn of<'a>(
    policies: &'a [Arc<RepairPolicy>],
    class: &str,
    site: &str,
) -> Option<&'a Arc<RepairPolicy>> {
    let stands = |policy: &RepairPolicy| {
        policy.status.as_ref().is_some_and(|status| is_accepted(&status.conditions))
            && policy.spec.classes.iter().any(|one| one == class)
    };
    let named =
        |policy: &RepairPolicy| policy.spec.sites.as_ref().map(|sites| sites.iter().any(|one| one == site));
    policies
        .iter()
        .filter(|policy| stands(policy) && named(policy) != Some(false))
        .min_by_key(|policy| (named(policy).is_none(), policy.name_any()))
}

/// Where a person is told of a run: as the policy of its rung says; of a run that is no rung, as the first says that
/// says anything.
pub fn ticket(run: &Run, policies: &[Arc<RepairPolicy>]) -> Option<Ticket> {
    let of_rung = run.spec.repair.as_ref().map(|rung| rung.policy.as_str());
    first_ticket(policies, of_rung)
}

/// Where a person is told of a Problem of many: as the policy says that most of what it holds belongs to, by class and
/// site; where none of these says anything, as the first that does.
pub(crate) fn ticket_of_many<'a>(
    held: impl Iterator<Item = (&'a str, &'a str)>,
    policies: &[Arc<RepairPolicy>],
) -> Option<Ticket> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (class, site) in held {
        if let Some(policy) = of(policies, class, site).filter(|policy| policy.spec.ticket.is_some()) {
            *counts.entry(policy.name_any()).or_default() += 1;
        }
    }
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name);
    first_ticket(policies, most.as_deref())
}

fn first_ticket(policies: &[Arc<RepairPolicy>], only: Option<&str>) -> Option<Ticket> {
    let mut named: Vec<&Arc<RepairPolicy>> = policies
        .iter()
        .filter(|policy| policy.spec.ticket.is_some())
        .filter(|policy| only.is_none_or(|name| policy.metadata.name.as_deref() == Some(name)))
        .collect();
    named.sort_by_key(|policy| policy.name_any());
    named.first().and_then(|policy| policy.spec.ticket.clone())
}

/// Something wrong with a policy, and the field it stands in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyError {
    /// Another policy says something else.
    #[error("{path}: RepairPolicy {other:?} is for {class} in the same sites; one of them has to leave it")]
    Twice { path: String, class: String, other: String },
    /// Its workflow is not there.
    #[error("{path}: there is no Workflow {name:?}")]
    NoWorkflow { path: String, name: String },
    /// Its workflow would go beyond the budgets.
    #[error(
        "{path}: Workflow {name:?} interrupts the machine in step {step:?} without a step of action disrupt before it and one of action release at its end: it could exceed the disruption budgets"
    )]
    NoGrant { path: String, name: String, step: String },
    /// Its workflow takes no such parameters.
    #[error("{path}: {text}")]
    Parameters { path: String, text: String },
    /// No e-mail could be sent.
    #[error("{0}")]
    Mail(String),
    /// What is to be verified is no expression.
    #[error("{path}: {text}")]
    Expression { path: String, text: String },
}

impl PolicyError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Twice { .. } => "ClassHasAPolicy",
            Self::NoWorkflow { .. } => "UnknownWorkflow",
            Self::NoGrant { .. } => "CouldExceedBudget",
            Self::Parameters { .. } => "InvalidParameters",
            Self::Mail(_) => "InvalidMail",
            Self::Expression { .. } => "InvalidExpression",
        }
    }
}

/// Judges a policy among `all` of them.
pub(crate) fn check(
    policy: &RepairPolicy,
    all: &[Arc<RepairPolicy>],
    workflows: &[Arc<Workflow>],
) -> Result<(), PolicyError> {
    alone(policy, all)?;
    if let Some(mail) = policy.spec.ticket.as_ref().and_then(|ticket| ticket.mail.as_ref()) {
        mail::check(mail).map_err(|error| PolicyError::Mail(explain(&error)))?;
    }
    policy.spec.rungs.iter().enumerate().try_for_each(|(index, rung)| {
        let path = format!("spec.rungs[{index}]");
        let Some(name) = rung.workflow() else { return Ok(()) };
        let workflow = workflows.iter().find(|one| one.metadata.name.as_deref() == Some(name));
        let missing = || PolicyError::NoWorkflow { path: format!("{path}.workflow"), name: name.to_owned() };
        rung_stands(&path, rung, name, &workflow.ok_or_else(missing)?.spec)
    })
}

/// The older of two policies for the same keeps it.
fn alone(policy: &RepairPolicy, all: &[Arc<RepairPolicy>]) -> Result<(), PolicyError> {
    let age = |policy: &RepairPolicy| (policy.creation_timestamp().map(|time| time.0), policy.name_any());
    for other in all.iter().filter(|other| age(other) < age(policy)) {
        if !meet(&policy.spec, &other.spec) {
            continue;
        }
        let shared = policy.spec.classes.iter().enumerate().find(|(_, one)| other.spec.classes.contains(one));
        if let Some((index, class)) = shared {
            let path = format!("spec.classes[{index}]");
            return Err(PolicyError::Twice { path, class: class.clone(), other: other.name_any() });
        }
    }
    Ok(())
}

/// Whether neither of two policies is the one for a site rather than the other.
fn meet(one: &RepairPolicySpec, other: &RepairPolicySpec) -> bool {
    match (&one.sites, &other.sites) {
        (None, None) => true,
        (Some(some), Some(others)) => some.iter().any(|site| others.contains(site)),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn rung_stands(path: &str, rung: &Rung, name: &str, workflow: &WorkflowSpec) -> Result<(), PolicyError> {
    if let Some(step) = unleft(workflow) {
        let path = format!("{path}.workflow");
        return Err(PolicyError::NoGrant { path, name: name.to_owned(), step });
    }
    let mut told: BTreeMap<String, String> = rung.parameters.clone();
    if workflow.parameters.iter().any(|parameter| parameter.name == "component") {
        told.entry("component".to_owned()).or_insert_with(|| "component".to_owned());
    }
    parameters::resolve(name, workflow, &told).map_err(|error| PolicyError::Parameters {
        path: format!("{path}.parameters"),
        text: error.to_string(),
    })?;
    if rung.verify.is_empty() {
        return Ok(());
    }
    Expression::compile(&rung.verify, &VARIABLES)
        .map(|_| ())
        .map_err(|error| PolicyError::Expression { path: format!("{path}.verify"), text: error.to_string() })
}

/// A step that interrupts the machine without leave. A machine that is repaired by itself may serve.
fn unleft(workflow: &WorkflowSpec) -> Option<String> {
    let before = graph::ancestors(&workflow.steps);
    let leave: Vec<&str> = workflow
        .steps
        .iter()
        .filter(|step| step.action == Action::Disrupt)
        .map(|step| step.name.as_str())
        .collect();
    let released = workflow.finally.iter().any(|step| step.action == Action::Release);
    let interrupts = |step: &&Step| template::disturbs(step) || step.action == Action::Quarantine;
    let without = workflow.steps.iter().enumerate().find(|(index, step)| {
        let has_leave = released && leave.iter().any(|name| before[*index].contains(name));
        interrupts(step) && !has_leave
    });
    without
        .map(|(_, step)| step)
        .or_else(|| workflow.finally.iter().find(interrupts))
        .map(|step| step.name.clone())
}

struct Judge {
    context: Context,
    policies: Informer<RepairPolicy>,
    workflows: Informer<Workflow>,
    book: Arc<Mutex<Book>>,
}

/// Starts the answers to policies; `book` is kept by somebody else, who adds a policy to the queue when its rates change.
pub(crate) fn start(context: &Context, book: &Arc<Mutex<Book>>) -> Queue<ObjectKey> {
    let judge = Judge {
        context: context.clone(),
        policies: context.informers.of(),
        workflows: context.informers.of(),
        book: Arc::clone(book),
    };
    let queue = Queue::new();
    let (to, policies) = (queue.clone(), judge.policies.clone());
    let all = move || {
        for policy in policies.list() {
            to.add(ObjectKey::of(&*policy), Cause::Watch);
        }
    };
    let again = all.clone();
    judge.policies.on_change(move |change| {
        let spec = |policy: &Option<Arc<RepairPolicy>>| policy.as_ref().map(|policy| policy.spec.clone());
        if spec(&change.old) != spec(&change.new) {
            again();
        }
    });
    judge.workflows.on_change(move |_| all());
    Sweep::new("repair policies", context.config.sweep_every, context.metrics.clone())
        .refreshing(&judge.workflows)
        .over(&judge.policies, &queue)
        .start(&context.tasks);
    Driver::new("repair policies", context.metrics.clone()).start(&context.tasks, &queue, judge);
    queue
}

impl Judge {
    fn verdict(&self, policy: &RepairPolicy) -> Condition {
        let found = check(policy, &self.policies.list(), &self.workflows.list());
        let refusal = found.as_ref().err();
        Condition {
            r#type: ACCEPTED.to_owned(),
            status: if refusal.is_none() { Status::True } else { Status::False },
            reason: refusal.map_or("Valid", PolicyError::reason).to_owned(),
            message: refusal.map_or_else(|| "its rungs can be done".to_owned(), ToString::to_string),
            last_transition_time: self.context.clock.now(),
            observed_generation: policy.metadata.generation,
        }
    }
}

impl Pass for Judge {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.policies.ready().await;
        self.workflows.ready().await;
        let Some(policy) = self.policies.get(key) else { return Ok(Outcome::IDLE) };
        let stands = policy.status.clone().unwrap_or_default();
        let mut conditions = stands.conditions.clone();
        condition::set(&mut conditions, self.verdict(&policy));
        let fix_rates = self.book.lock().rates().rows(&policy.spec.classes);
        let wanted = RepairPolicyStatus { fix_rates, conditions };
        if wanted == stands {
            return Ok(Outcome::IDLE);
        }
        let written = RepairPolicy { status: Some(wanted), ..(*policy).clone() };
        let api = Api::<RepairPolicy>::all(self.context.client.clone());
        self.policies.saw(api.replace_status(&key.name, &PostParams::default(), &written).await?);
        Ok(Outcome::ACTED)
    }
}

#[cfg(test)]
mod tests;
