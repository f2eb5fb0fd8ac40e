//! From Pending to Running: the run is judged, the machine taken in hand, the plan frozen.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::machine::Phase;
use muster_api::problem::{EpisodeKey, State};
use muster_api::workflow::{Action, Run, RunPhase, RunStatus, Step, StepCounts, WorkflowPurpose};
use muster_api::{Condition, Machine, Workflow};
use muster_base::clock::elapsed;

use super::super::freeze::{self, Afters, Layout};
use super::super::step::child;
use super::{Effect, Enter, MachineChange, Plan, World, write};
use crate::repair::rung;
use crate::{parameters, template};

/// How long a run may wait for its machine.
pub(crate) const PENDING_MAX: Duration = Duration::from_secs(3600);

type Refusal = (&'static str, String);

/// The run as it is when it begins, unless it does not stand: then a reason and a text that begins with the field.
fn judge(run: &Run, world: &World, status: &RunStatus) -> Result<RunStatus, Refusal> {
    let name = &run.spec.workflow;
    let Some(workflow) = &world.workflow else {
        let text = format!("spec.workflow: there is no Workflow {name:?}; nothing is done");
        return Err(("UnknownWorkflow", text));
    };
    if world.machine.is_none() {
        let machine = &run.spec.machine;
        let text = format!("spec.machine: there is no Machine {machine:?}; nothing is done");
        return Err(("UnknownMachine", text));
    }
    child::judge(run, world)?;
    if !status.steps.is_empty() || status.template.is_some() {
        return Ok(status.clone());
    }
    let spec = rung::adapted(&workflow.spec, run.spec.repair.as_ref());
    let invalid =
        |text: String| ("InvalidWorkflow", format!("spec.workflow: Workflow {name:?} cannot be run: {text}"));
    template::check(&spec).map_err(|error| invalid(error.to_string()))?;
    let values = parameters::resolve(name, &spec, &run.spec.parameters)
        .map_err(|error| (error.reason(), error.to_string()))?;
    let afters = Afters::of(&spec);
    let layout = Layout::of(&spec, &afters, &values).map_err(|error| (error.reason(), error.to_string()))?;
    let mut frozen = status.clone();
    if layout.is_chunked() {
        frozen.template = Some(Box::new(spec.clone()));
        frozen.chunk = Some(0);
        frozen.counts = Some(StepCounts { total: layout.total(), ..StepCounts::default() });
    } else {
        frozen.steps = layout.all();
    }
    frozen.parameters.clone_from(&values);
    Ok(frozen)
}

fn verdict(run: &Run, verdict: &Result<RunStatus, Refusal>, now: Timestamp) -> Condition {
    let refusal = verdict.as_ref().err();
    Condition {
        r#type: ACCEPTED.to_owned(),
        status: if refusal.is_none() { Status::True } else { Status::False },
        reason: refusal.map_or("Valid", |(reason, _)| reason).to_owned(),
        message: refusal.map_or("workflow and machine are known", |(_, text)| text).to_owned(),
        last_transition_time: now,
        observed_generation: run.metadata.generation,
    }
}

pub(super) fn pending(run: &Run, world: &World, mut status: RunStatus) -> Plan {
    let judged = judge(run, world, &status);
    if judged.is_err() && !world.fresh {
        // What it names may just not have been seen yet.
        return Plan { needs_fresh: true, ..Plan::default() };
    }
    condition::set(&mut status.conditions, verdict(run, &judged, world.now));
    let mut frozen = match judged {
        Ok(frozen) => frozen,
        Err((_, text)) => return over(status, RunPhase::Failed, text, world.now),
    };
    frozen.conditions.clone_from(&status.conditions);
    let (Some(workflow), Some(machine)) = (&world.workflow, &world.machine) else { return Plan::default() };
    let holder = world.holder();
    if holder == run.name_any() || child::is_under(run, world) {
        return write(begun(machine, world, frozen));
    }
    if run.spec.cancel && status.round == 0 {
        return over(status, RunPhase::Cancelled, "cancelled before it began".to_owned(), world.now);
    }
    if !holder.is_empty() {
        return waits_for_machine(run, world, status);
    }
    let refusal = if status.round == 0 { refuses_to_begin(run, workflow, machine, world) } else { None };
    match refusal {
        Some(message) => over(status, RunPhase::Cancelled, message, world.now),
        None => Plan { effects: vec![claim(workflow, machine, world, &frozen)], ..Plan::default() },
    }
}

fn over(status: RunStatus, phase: RunPhase, message: String, now: Timestamp) -> Plan {
    write(RunStatus { phase, message, ended_at: Some(now), deadline: None, ..status })
}

fn waits_for_machine(run: &Run, world: &World, mut status: RunStatus) -> Plan {
    let holder = world.holder().to_owned();
    let created = run.metadata.creation_timestamp.as_ref().map_or(world.now, |time| time.0);
    let since = status.deadline.unwrap_or_else(|| created.checked_add(PENDING_MAX).unwrap_or(created));
    let left = elapsed(world.now, since);
    if left.is_zero() && !world.fresh {
        return Plan { needs_fresh: true, ..Plan::default() };
    }
    if left.is_zero() {
        let minutes = PENDING_MAX.as_secs() / 60;
        let message = format!("its machine was in hand of run {holder} for {minutes} minutes");
        return over(status, RunPhase::Failed, message, world.now);
    }
    let message = format!("waits for run {holder}, which has the machine in hand");
    if status.message == message && status.deadline == Some(since) {
        return Plan { look_again: Some(left), ..Plan::default() };
    }
    status.message = message;
    status.deadline = Some(since);
    Plan { status: Some(status), look_again: Some(left), ..Plan::default() }
}

/// A cause that is gone by the time the machine is free starts nothing.
fn refuses_to_begin(run: &Run, workflow: &Workflow, machine: &Machine, world: &World) -> Option<String> {
    let phase = machine.status.as_ref().map(|status| status.phase).unwrap_or_default();
    match workflow.spec.purpose {
        WorkflowPurpose::Provision => (!phase.may_become(Phase::Provisioning))
            .then(|| format!("the machine is {} by now", phase.as_str())),
        WorkflowPurpose::Repair => cause_gone(run, world),
        WorkflowPurpose::Upgrade | WorkflowPurpose::Drain | WorkflowPurpose::Person => {
            (phase == Phase::Retired).then(|| "the machine is Retired".to_owned())
        }
    }
}

/// Why the problem a run is to heal needs no healing any more.
pub(crate) fn cause_gone(run: &Run, world: &World) -> Option<String> {
    if run.spec.problem.is_empty() {
        return None;
    }
    let problem = world.problems.iter().find(|problem| problem.name_any() == run.spec.problem);
    let Some((problem, status)) = problem.and_then(|problem| Some((problem, problem.status.as_ref()?)))
    else {
        return Some(format!("problem {} is not there any more", run.spec.problem));
    };
    if run.spec.episode.is_some() && !EpisodeKey::of_run(run).is_of(problem) {
        return Some(format!("problem {} is in another episode by now", run.spec.problem));
    }
    (status.state == State::Clear).then(|| format!("problem {} cleared by itself", run.spec.problem))
}

fn claim(workflow: &Workflow, machine: &Machine, world: &World, frozen: &RunStatus) -> Effect {
    let status = machine.status.clone().unwrap_or_default();
    let provisions = workflow.spec.purpose == WorkflowPurpose::Provision && frozen.round == 0;
    let enter = provisions.then(|| Enter {
        phase: Phase::Provisioning,
        reason: format!("role {} is being installed", machine.spec.role),
        deadline: deadline_of(&workflow.spec.steps, world.now),
    });
    Effect::Machine(MachineChange { fence: Some(status.fence + 1), enter, let_go: false })
}

/// The latest end of steps that run one after the other.
fn deadline_of(steps: &[Step], from: Timestamp) -> Option<Timestamp> {
    let whole: Duration = steps.iter().map(whole).sum();
    from.checked_add(whole).ok()
}

/// The longest a step may take, rests included.
pub(crate) fn whole(step: &Step) -> Duration {
    let pending = match step.action {
        Action::Order | Action::Container | Action::Run => step.pending.unwrap_or(step.deadline).0,
        Action::Disrupt
        | Action::Release
        | Action::Cordon
        | Action::Drain
        | Action::Uncordon
        | Action::Webhook
        | Action::Wait
        | Action::Approve
        | Action::Verify
        | Action::Probation
        | Action::Healthy
        | Action::Quarantine
        | Action::Ticket
        | Action::Retire => Duration::ZERO,
    };
    (step.deadline.0 + pending + super::steps::BACKOFF_MAX / 8) * step.attempts
}

fn begun(machine: &Machine, world: &World, frozen: RunStatus) -> RunStatus {
    let plan = freeze::identify(&frozen, frozen.plan.as_ref());
    RunStatus {
        phase: RunPhase::Running,
        message: String::new(),
        deadline: None,
        fence: machine.status.as_ref().map_or(0, |status| status.fence),
        started_at: frozen.started_at.or(Some(world.now)),
        plan: Some(plan),
        ..frozen
    }
}
