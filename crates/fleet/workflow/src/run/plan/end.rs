//! The end of a run: of its chunks, of the whole, and what may follow when a person asks for it.

use std::time::Duration;

use kube::ResourceExt as _;
use muster_api::machine::{MachineStatus, Phase};
use muster_api::problem::{Problem, State};
use muster_api::workflow::{
    Action, CHUNK_STEPS, Run, RunChunk, RunChunkSpec, RunChunkStatus, RunPhase, RunStatus, StepCounts,
    StepStatus,
};
use muster_base::clock::elapsed;

use super::super::freeze::{self, Afters, Layout};
use super::steps::{self, is_broken, is_over};
use super::{Effect, Enter, MachineChange, Plan, World, write};

/// So many of the last repairs of a class are kept however old they are: what a rung has fixed is counted in them.
pub(super) const RATES_OVER: usize = 500;

/// How a run ends that did not go well, and why.
type Worst = Option<(RunPhase, String)>;

fn worst_of(steps: &[StepStatus]) -> Worst {
    [RunPhase::Ambiguous, RunPhase::Failed, RunPhase::Cancelled].into_iter().find_map(|phase| {
        let step = steps.iter().find(|step| step.phase == phase)?;
        Some((phase, format!("step {}: {}", step.step.name, step.message)))
    })
}

/// Lets the machine go first, then ends the run. `known` is how it went, where the steps alone do not say it.
pub(super) fn conclude(run: &Run, world: &World, mut status: RunStatus, known: Option<Worst>) -> Plan {
    let worst = known.unwrap_or_else(|| worst_of(&status.steps));
    let held = world.machine.as_ref().and_then(|machine| machine.status.as_ref());
    if let Some(machine) = held.filter(|machine| machine.run == run.name_any()) {
        let unfinished = matches!(machine.phase, Phase::Provisioning | Phase::Disrupted | Phase::Probation);
        let enter = worst.as_ref().filter(|_| unfinished).map(|(_, why)| Enter {
            phase: Phase::Failed,
            reason: format!("run {} ended at {why}", run.name_any()),
            deadline: None,
        });
        let change = MachineChange { fence: None, enter, let_go: true };
        return Plan { effects: vec![Effect::Machine(change)], ..Plan::default() };
    }
    let well = if status.undoing { RunPhase::Undone } else { RunPhase::Succeeded };
    let done = if status.undoing { "every step that could be taken back is" } else { "every step is done" };
    status.phase = worst.as_ref().map_or(well, |(phase, _)| *phase);
    status.message = worst.map_or_else(|| done.to_owned(), |(_, why)| why);
    if status.undoing && status.phase == RunPhase::Undone {
        mark_undone(&mut status.steps);
    }
    status.ended_at = Some(world.now);
    write(status)
}

fn mark_undone(steps: &mut [StepStatus]) {
    let undone: Vec<String> = steps
        .iter()
        .filter(|step| step.phase == RunPhase::Succeeded)
        .map(|step| step.undoes.clone())
        .filter(|name| !name.is_empty())
        .collect();
    for step in steps.iter_mut().filter(|step| undone.contains(&step.step.name)) {
        step.phase = RunPhase::Undone;
    }
}

/// What a person may still ask for of a run that has ended: that it be undone, or tried again.
pub(super) fn again(run: &Run, world: &World, status: RunStatus) -> Plan {
    if run.spec.parent.is_some() {
        return Plan::default();
    }
    if let Some(left) = leftovers(world, &status) {
        return left;
    }
    if run.spec.undo && !status.undoing {
        return undo(run, world, status);
    }
    let wanted = run.spec.retry > status.retried;
    if wanted && matches!(status.phase, RunPhase::Failed | RunPhase::Ambiguous | RunPhase::Cancelled) {
        return write(retried(run, status));
    }
    past(run, world, &status)
}

/// A run that has ended is removed in time. Its machine may still be as it left it, and its problem may still need to be
/// told what was tried: then it stays.
fn past(run: &Run, world: &World, status: &RunStatus) -> Plan {
    let (Some(ended_at), Some(keep)) = (status.ended_at, world.keep) else { return Plan::default() };
    let judged = run.spec.repair.as_ref().map_or(Duration::ZERO, |rung| rung.success_after.0);
    let left = keep.max(judged).saturating_sub(elapsed(ended_at, world.now));
    if !left.is_zero() {
        return Plan { look_again: Some(left), ..Plan::default() };
    }
    let name = run.name_any();
    let machine = world.machine.as_ref().and_then(|machine| machine.status.as_ref());
    let left_so = |machine: &MachineStatus| {
        matches!(machine.phase, Phase::Failed | Phase::Quarantined)
            && machine.transitions.last().is_some_and(|last| last.run == name)
    };
    let problem = world.problems.iter().find(|problem| problem.name_any() == run.spec.problem);
    let is_gone =
        |problem: &Problem| problem.status.as_ref().is_some_and(|status| status.state == State::Clear);
    let is_needed = machine.is_some_and(|machine| machine.run == name || left_so(machine))
        || problem.is_some_and(|one| !is_gone(one))
        || run.spec.repair.is_some() && world.followed_by < RATES_OVER;
    // What holds it is looked at with every sweep.
    if is_needed { Plan::default() } else { Plan { effects: vec![Effect::Remove], ..Plan::default() } }
}

/// A run that was ended from outside may have left a container.
fn leftovers(world: &World, status: &RunStatus) -> Option<Plan> {
    let left = status.steps.iter().find(|step| !step.leftover.is_empty())?;
    world
        .containers
        .contains_key(&left.leftover)
        .then(|| Plan { effects: vec![Effect::RemovePod(left.leftover.clone())], ..Plan::default() })
}

fn undo(run: &Run, world: &World, mut status: RunStatus) -> Plan {
    if status.template.is_some() {
        let message = "a run of more than 500 steps cannot be undone as a whole".to_owned();
        if status.message == message {
            return Plan::default();
        }
        return write(RunStatus { message, ..status });
    }
    let steps = freeze::undo_steps(&status.steps);
    status.undoing = true;
    status.retried = run.spec.retry;
    if steps.is_empty() {
        let message = "nothing was done that could be taken back".to_owned();
        return write(RunStatus { phase: RunPhase::Undone, message, ended_at: Some(world.now), ..status });
    }
    // What was not done stays not done, and does not count against the undoing.
    for step in &mut status.steps {
        if matches!(step.phase, RunPhase::Failed | RunPhase::Ambiguous | RunPhase::Cancelled) {
            step.message = format!("{}: {}", step.phase.as_str(), step.message);
            step.phase = RunPhase::Undone;
        }
    }
    status.steps.extend(steps);
    write(anew(status))
}

/// What did not succeed is tried again, with attempts of its own; what keeps the machine out of service is done again,
/// for it was let go.
fn retried(run: &Run, mut status: RunStatus) -> RunStatus {
    status.retried = run.spec.retry;
    for step in &mut status.steps {
        let keeps = matches!(
            step.step.action,
            Action::Disrupt | Action::Release | Action::Cordon | Action::Drain | Action::Uncordon
        );
        let undoing_part = !status.undoing || !step.undoes.is_empty();
        let again = step.finally || keeps || step.phase != RunPhase::Succeeded;
        if undoing_part && again && step.phase != RunPhase::Undone {
            reset(step);
        }
    }
    if let Some(counts) = status.counts.take() {
        // Every chunk before the one that broke has succeeded; the steps of that one are reset once it is under way.
        let from = counts.broken.unwrap_or(0);
        let succeeded = from * CHUNK_STEPS as u32;
        status.counts = Some(StepCounts { total: counts.total, succeeded, ..StepCounts::default() });
        status.chunk = Some(from);
    }
    anew(status)
}

fn reset(step: &mut StepStatus) {
    step.phase = RunPhase::Pending;
    (step.before, step.held) = (step.attempt, 0);
    step.message = String::new();
    (step.started_at, step.ended_at, step.running_since) = (None, None, None);
    (step.due_at, step.retry_at, step.told_at) = (None, None, None);
}

fn anew(status: RunStatus) -> RunStatus {
    RunStatus {
        phase: RunPhase::Pending,
        message: String::new(),
        round: status.round + 1,
        ended_at: None,
        deadline: None,
        ..status
    }
}

/// A running run whose steps stand in chunks, one of them under way.
pub(super) fn chunked(run: &Run, world: &World, old: &RunStatus) -> Plan {
    let (Some(template), Some(index)) = (&old.template, old.chunk) else { return Plan::default() };
    let afters = Afters::of(template);
    // What was frozen was judged; were it not so, the run says it.
    let layout = match Layout::of(template, &afters, &old.parameters) {
        Ok(layout) => layout,
        Err(error) => {
            let worst = Some((RunPhase::Failed, error.to_string()));
            return conclude(run, world, old.clone(), Some(worst));
        }
    };
    if index >= layout.chunks() {
        return conclude(run, world, old.clone(), Some(worst_counted(old)));
    }
    let Some(chunk) = &world.chunk else {
        let spec = RunChunkSpec { run: run.name_any(), index };
        let chunk = RunChunk::new(&RunChunk::name_of(&run.name_any(), index), spec);
        return Plan { effects: vec![Effect::Chunk(Box::new(chunk))], ..Plan::default() };
    };
    let stands = chunk.status.clone().unwrap_or_default();
    if stands.steps.is_empty() || stands.round < old.round {
        return Plan { chunk: Some(taken_up(stands, &layout, index, old.round)), ..Plan::default() };
    }
    let mut status = old.clone();
    let mut steps = stands.steps.clone();
    let mut plan = steps::advance(run, world, &mut status, &mut steps);
    if plan.needs_fresh {
        return plan;
    }
    let done = steps.iter().all(is_over);
    let written = RunChunkStatus { done, steps, ..stands };
    if chunk.status.as_ref() != Some(&written) {
        return Plan { chunk: Some(written), effects: Vec::new(), ..plan };
    }
    if !plan.effects.is_empty() {
        return plan;
    }
    if done {
        return write(counted(status, &layout, &written.steps, index));
    }
    status.message = told(index, &layout);
    if status != *old {
        plan.status = Some(status);
    }
    plan
}

fn told(index: u32, layout: &Layout<'_>) -> String {
    format!("{index} of {} chunks of steps are done", layout.chunks())
}

/// A chunk at its begin, or in a new round: then what succeeded stays, except in the part that always runs.
fn taken_up(stands: RunChunkStatus, layout: &Layout<'_>, index: u32, round: u32) -> RunChunkStatus {
    let mut steps = if stands.steps.is_empty() { layout.chunk(index) } else { stands.steps };
    for step in steps.iter_mut().filter(|step| step.finally || step.phase != RunPhase::Succeeded) {
        reset(step);
    }
    RunChunkStatus { done: false, round, steps }
}

/// Counts a chunk that is done and goes on to the next; after a bad end, to the part that always runs.
fn counted(mut status: RunStatus, layout: &Layout<'_>, steps: &[StepStatus], index: u32) -> RunStatus {
    let mut counts = status.counts.take().unwrap_or_default();
    for step in steps {
        match step.phase {
            RunPhase::Succeeded => counts.succeeded += 1,
            RunPhase::Failed => counts.failed += 1,
            RunPhase::Ambiguous => counts.ambiguous += 1,
            RunPhase::Cancelled => counts.cancelled += 1,
            RunPhase::Pending | RunPhase::Running | RunPhase::Paused | RunPhase::Undone => {}
        }
    }
    if counts.worst.is_empty() {
        counts.worst = worst_of(steps).map(|(_, why)| why).unwrap_or_default();
    }
    if is_broken(steps) {
        counts.broken = counts.broken.or(Some(index));
    }
    let next = index + 1;
    let skip = is_broken(steps) && next < layout.first_finally();
    if skip {
        counts.cancelled += layout.main_steps_from(next);
    }
    let next = if skip { layout.first_finally() } else { next };
    status.chunk = Some(next);
    status.message = told(next, layout);
    status.counts = Some(counts);
    status
}

fn worst_counted(status: &RunStatus) -> Worst {
    let counts = status.counts.clone().unwrap_or_default();
    let phase = [
        (counts.ambiguous, RunPhase::Ambiguous),
        (counts.failed, RunPhase::Failed),
        (counts.cancelled, RunPhase::Cancelled),
    ];
    phase.into_iter().find(|(count, _)| *count > 0).map(|(_, phase)| (phase, counts.worst))
}
