//! What a run does next, from what is observed. No choice is left to the executor.
//!
//! Either the status changes or effects happen, never both in one round: an effect is planned only from a status that
//! stands in the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::machine::Phase;
use muster_api::problem::State;
use muster_api::workflow::{Action, Run, RunPhase, RunStatus, Step, StepStatus, WorkflowPurpose};
use muster_api::{Condition, Disruption, Machine, MachineRole, Order, Problem, Workflow};
use muster_base::clock::elapsed;
use muster_brake::Holds;

use super::NodeView;
use super::hold;
use super::step::{self, Progress};
use crate::graph;

/// How long a run may wait for its machine.
const PENDING_MAX: Duration = Duration::from_secs(3600);

/// What is observed around a run.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) workflow: Option<Arc<Workflow>>,
    pub(crate) machine: Option<Arc<Machine>>,
    pub(crate) role: Option<Arc<MachineRole>>,
    pub(crate) node: Option<Arc<NodeView>>,
    /// Orders of this run by name.
    pub(crate) orders: BTreeMap<String, Arc<Order>>,
    /// The run's request for a grant.
    pub(crate) disruption: Option<Arc<Disruption>>,
    /// All problems of the machine.
    pub(crate) problems: Vec<Arc<Problem>>,
    /// What keeps actors away from the machine.
    pub(crate) holds: Holds,
    pub(crate) now: Timestamp,
}

/// Something to be done outside the run's own status.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Changes the status of the machine.
    Machine(MachineChange),
    /// Tells the agent something.
    Order(Box<Order>),
    /// Asks for a grant.
    Disruption(Box<Disruption>),
    /// Gives the grant back.
    Release,
    /// Keeps new pods off the node.
    Cordon,
    /// Lets new pods on the node.
    Uncordon,
}

/// A change of a machine's status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MachineChange {
    /// Takes the machine in hand with this fence.
    pub(crate) fence: Option<i64>,
    /// Enters a phase.
    pub(crate) enter: Option<Enter>,
    /// Lets the machine go.
    pub(crate) let_go: bool,
}

/// A phase to enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Enter {
    pub(crate) phase: Phase,
    pub(crate) reason: String,
    pub(crate) deadline: Option<Timestamp>,
}

/// One round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) status: Option<RunStatus>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) look_again: Option<Duration>,
}

/// Decides the next round of `run`.
pub(crate) fn plan(run: &Run, world: &World) -> Plan {
    let status = run.status.clone().unwrap_or_default();
    match status.phase {
        RunPhase::Pending => pending(run, world, status),
        RunPhase::Running | RunPhase::Paused => running(run, world, status),
        RunPhase::Succeeded
        | RunPhase::Failed
        | RunPhase::Ambiguous
        | RunPhase::Cancelled
        | RunPhase::Undone => Plan::default(),
    }
}

fn write(status: RunStatus) -> Plan {
    Plan { status: Some(status), ..Plan::default() }
}

/// Whether the run stands as written: a reason and a text that begins with the field.
fn judge(run: &Run, world: &World) -> Result<(), (&'static str, String)> {
    let workflow = &run.spec.workflow;
    let Some(found) = &world.workflow else {
        return Err((
            "UnknownWorkflow",
            format!("spec.workflow: there is no Workflow {workflow:?}; nothing is done"),
        ));
    };
    if let Err(error) = graph::check(&found.spec) {
        return Err((
            "InvalidWorkflow",
            format!("spec.workflow: Workflow {workflow:?} cannot be run: {error}"),
        ));
    }
    if world.machine.is_none() {
        let machine = &run.spec.machine;
        return Err((
            "UnknownMachine",
            format!("spec.machine: there is no Machine {machine:?}; nothing is done"),
        ));
    }
    match run.spec.parameters.keys().next() {
        Some(name) => Err((
            "UnknownParameter",
            format!("spec.parameters.{name}: Workflow {workflow:?} has no parameter of that name"),
        )),
        None => Ok(()),
    }
}

fn pending(run: &Run, world: &World, mut status: RunStatus) -> Plan {
    let verdict = judge(run, world);
    let accepted = Condition {
        r#type: ACCEPTED.to_owned(),
        status: if verdict.is_ok() { Status::True } else { Status::False },
        reason: verdict.as_ref().err().map_or("Valid", |(reason, _)| reason).to_owned(),
        message: verdict.as_ref().err().map_or("workflow and machine are known", |(_, text)| text).to_owned(),
        last_transition_time: world.now,
        observed_generation: run.metadata.generation,
    };
    condition::set(&mut status.conditions, accepted);
    if let Err((_, text)) = verdict {
        return write(RunStatus {
            phase: RunPhase::Failed,
            message: text,
            ended_at: Some(world.now),
            ..status
        });
    }
    let (Some(workflow), Some(machine)) = (&world.workflow, &world.machine) else { return Plan::default() };
    let holder = machine.status.as_ref().map(|status| status.run.as_str()).unwrap_or_default();
    if holder == run.name_any() {
        return write(begun(workflow, machine, world, status));
    }
    if run.spec.cancel {
        let message = "cancelled before it began".to_owned();
        return write(RunStatus { phase: RunPhase::Cancelled, message, ended_at: Some(world.now), ..status });
    }
    if holder.is_empty() {
        return match refuses_to_begin(run, workflow, machine, world) {
            Some(message) => {
                write(RunStatus { phase: RunPhase::Cancelled, message, ended_at: Some(world.now), ..status })
            }
            None => Plan { effects: vec![claim(workflow, machine, world)], ..Plan::default() },
        };
    }
    waits_for_machine(run, world, holder, status)
}

fn waits_for_machine(run: &Run, world: &World, holder: &str, mut status: RunStatus) -> Plan {
    let created = run.metadata.creation_timestamp.as_ref().map_or(world.now, |time| time.0);
    let left = PENDING_MAX.saturating_sub(elapsed(created, world.now));
    if left.is_zero() {
        let message =
            format!("its machine was in hand of run {holder} for {} minutes", PENDING_MAX.as_secs() / 60);
        return write(RunStatus { phase: RunPhase::Failed, message, ended_at: Some(world.now), ..status });
    }
    let message = format!("waits for run {holder}, which has the machine in hand");
    if status.message == message {
        return Plan { look_again: Some(left), ..Plan::default() };
    }
    status.message = message;
    Plan { status: Some(status), look_again: Some(left), ..Plan::default() }
}

/// A cause that is gone by the time the machine is free starts nothing.
fn refuses_to_begin(run: &Run, workflow: &Workflow, machine: &Machine, world: &World) -> Option<String> {
    let phase = machine.status.as_ref().map(|status| status.phase).unwrap_or_default();
    match workflow.spec.purpose {
        WorkflowPurpose::Provision => (!phase.may_become(Phase::Provisioning))
            .then(|| format!("the machine is {} by now", phase.as_str())),
        WorkflowPurpose::Repair => cause_gone(run, world),
    }
}

/// Why the problem a run is to heal needs no healing any more.
pub(super) fn cause_gone(run: &Run, world: &World) -> Option<String> {
    if run.spec.problem.is_empty() {
        return None;
    }
    let problem = world.problems.iter().find(|problem| problem.name_any() == run.spec.problem);
    let Some(status) = problem.and_then(|problem| problem.status.as_ref()) else {
        return Some(format!("problem {} is not there any more", run.spec.problem));
    };
    if run.spec.episode.is_some_and(|episode| episode != status.episode) {
        return Some(format!("problem {} is in another episode by now", run.spec.problem));
    }
    (status.state == State::Clear).then(|| format!("problem {} cleared by itself", run.spec.problem))
}

fn claim(workflow: &Workflow, machine: &Machine, world: &World) -> Effect {
    let status = machine.status.clone().unwrap_or_default();
    let enter = (workflow.spec.purpose == WorkflowPurpose::Provision).then(|| Enter {
        phase: Phase::Provisioning,
        reason: format!("role {} is being installed", machine.spec.role),
        deadline: deadline_of(&workflow.spec.steps, world.now),
    });
    Effect::Machine(MachineChange { fence: Some(status.fence + 1), enter, let_go: false })
}

/// The latest end of steps that run one after the other.
fn deadline_of(steps: &[Step], from: Timestamp) -> Option<Timestamp> {
    let whole: Duration = steps.iter().map(|step| step.deadline.0 * step.attempts).sum();
    from.checked_add(whole).ok()
}

fn begun(workflow: &Workflow, machine: &Machine, world: &World, status: RunStatus) -> RunStatus {
    let frozen = |step: &Step, after: Vec<&str>, finally| StepStatus {
        step: Step { after: Some(after.into_iter().map(str::to_owned).collect()), ..step.clone() },
        finally,
        phase: RunPhase::Pending,
        attempt: 0,
        held: 0,
        started_at: None,
        ended_at: None,
        message: String::new(),
    };
    let parts = [(&workflow.spec.steps, false), (&workflow.spec.finally, true)];
    let steps = parts
        .into_iter()
        .flat_map(|(steps, finally)| {
            steps.iter().zip(graph::after(steps)).map(move |(step, after)| frozen(step, after, finally))
        })
        .collect();
    RunStatus {
        phase: RunPhase::Running,
        message: String::new(),
        fence: machine.status.as_ref().map_or(0, |status| status.fence),
        started_at: Some(world.now),
        steps,
        ..status
    }
}

fn running(run: &Run, world: &World, old: RunStatus) -> Plan {
    let mut status = old.clone();
    let mut plan = Plan::default();
    status.phase = if run.spec.pause { RunPhase::Paused } else { RunPhase::Running };
    observe(run, world, &mut status, &mut plan);
    cancel_rest(run, world, &mut status);
    if !run.spec.pause {
        begin_steps(world, &mut status);
    }
    status.message = waiting_for(&status);
    if let Some(end) = hold::ends(&status.steps, world) {
        let left = elapsed(world.now, end);
        plan.look_again = Some(plan.look_again.map_or(left, |sooner| sooner.min(left)));
    }
    if status != old {
        return Plan { status: Some(status), look_again: plan.look_again, ..Plan::default() };
    }
    if status.steps.iter().all(|step| step.phase.is_final()) {
        return conclude(run, world, status);
    }
    plan
}

/// Takes over what became of the steps that are under way, and collects what they need done.
fn observe(run: &Run, world: &World, status: &mut RunStatus, plan: &mut Plan) {
    let fence = status.fence;
    for step in status.steps.iter_mut().filter(|step| step.phase == RunPhase::Running) {
        match step::progress(run, step, fence, world) {
            Progress::Do(effect, message) => {
                plan.effects.push(effect);
                step.message = message;
            }
            Progress::Wait(message) => step.message = message,
            Progress::Held(message) => hold::put_back(step, message),
            Progress::Ended(phase, message) => end(step, phase, message, world.now),
        }
        if step.phase == RunPhase::Running {
            let left = step::deadline(step).map_or(Duration::ZERO, |deadline| elapsed(world.now, deadline));
            let soonest = step::look_again(step, world).map_or(left, |wait| wait.min(left));
            plan.look_again = Some(plan.look_again.map_or(soonest, |sooner| sooner.min(soonest)));
        }
    }
}

/// Ends an attempt; a failed one begins anew while attempts are left, an ambiguous one never.
fn end(step: &mut StepStatus, phase: RunPhase, message: String, now: Timestamp) {
    step.message = message;
    if phase == RunPhase::Failed && hold::tried(step) < step.step.attempts {
        step.attempt += 1;
        step.started_at = Some(now);
        step.message =
            format!("attempt {} of {}; before: {}", hold::tried(step), step.step.attempts, step.message);
        return;
    }
    step.phase = phase;
    step.ended_at = Some(now);
}

/// Gives up the steps that cannot come any more.
fn cancel_rest(run: &Run, world: &World, status: &mut RunStatus) {
    let broken = status.steps.iter().any(|step| {
        !step.finally && matches!(step.phase, RunPhase::Failed | RunPhase::Ambiguous | RunPhase::Cancelled)
    });
    let undisturbed = status.steps.iter().all(|step| {
        step.step.action == Action::Disrupt || matches!(step.phase, RunPhase::Pending | RunPhase::Cancelled)
    });
    let waiting_for_grant = status.steps.iter().any(hold::is_before_disruption);
    let gone = (undisturbed && waiting_for_grant).then(|| cause_gone(run, world)).flatten();
    if !broken && !run.spec.cancel && gone.is_none() {
        return;
    }
    let message = gone.clone().unwrap_or_else(|| "not done".to_owned());
    for step in status.steps.iter_mut().filter(|step| !step.finally) {
        let given_up = step.phase == RunPhase::Pending || (step.phase == RunPhase::Running && gone.is_some());
        if given_up {
            step.phase = RunPhase::Cancelled;
            step.ended_at = Some(world.now);
            step.message.clone_from(&message);
        }
    }
}

/// Begins every step whose predecessors are done; the last part begins when the first has ended.
fn begin_steps(world: &World, status: &mut RunStatus) {
    let main_over = status.steps.iter().filter(|step| !step.finally).all(|step| step.phase.is_final());
    let phases: BTreeMap<String, RunPhase> =
        status.steps.iter().map(|step| (step.step.name.clone(), step.phase)).collect();
    for step in status.steps.iter_mut().filter(|step| step.phase == RunPhase::Pending) {
        let before = step.step.after.iter().flatten().filter_map(|name| phases.get(name));
        let may_begin = if step.finally {
            main_over && before.copied().all(RunPhase::is_final)
        } else {
            before.copied().all(|phase| phase == RunPhase::Succeeded)
        };
        if !may_begin {
            continue;
        }
        if let Some(held) = hold::begin(step, world) {
            step.message = held;
            continue;
        }
        step.phase = RunPhase::Running;
        step.attempt += 1;
        step.started_at = Some(world.now);
        step.message.clear();
    }
}

fn waiting_for(status: &RunStatus) -> String {
    let texts: Vec<String> = status
        .steps
        .iter()
        .filter(|step| {
            step.phase == RunPhase::Running || (step.phase == RunPhase::Pending && !step.message.is_empty())
        })
        .map(|step| match step.message.as_str() {
            "" => step.step.name.clone(),
            message => format!("{}: {message}", step.step.name),
        })
        .collect();
    texts.join("; ")
}

/// Lets the machine go first, then ends the run.
fn conclude(run: &Run, world: &World, mut status: RunStatus) -> Plan {
    let worst = [RunPhase::Ambiguous, RunPhase::Failed, RunPhase::Cancelled]
        .into_iter()
        .find_map(|phase| status.steps.iter().find(|step| step.phase == phase));
    let held = world.machine.as_ref().and_then(|machine| machine.status.as_ref());
    if let Some(machine) = held.filter(|machine| machine.run == run.name_any()) {
        let unfinished = matches!(machine.phase, Phase::Provisioning | Phase::Disrupted | Phase::Probation);
        let enter = worst.filter(|_| unfinished).map(|step| Enter {
            phase: Phase::Failed,
            reason: format!("run {} ended at step {}: {}", run.name_any(), step.step.name, step.message),
            deadline: None,
        });
        let change = MachineChange { fence: None, enter, let_go: true };
        return Plan { effects: vec![Effect::Machine(change)], ..Plan::default() };
    }
    status.phase = worst.map_or(RunPhase::Succeeded, |step| step.phase);
    status.message = worst.map_or_else(
        || "every step is done".to_owned(),
        |step| format!("step {}: {}", step.step.name, step.message),
    );
    status.ended_at = Some(world.now);
    write(status)
}

#[cfg(test)]
mod tests;
