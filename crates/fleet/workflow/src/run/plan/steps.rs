//! Brings the steps of a running run forward.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::workflow::{Action, Run, RunPhase, RunStatus, StepStatus};
use muster_base::clock::elapsed;

use super::super::hold;
use super::super::render;
use super::super::step::{self, Progress};
use super::{Effect, Plan, World, begin, end};
use crate::repair::rung;

/// The longest rest before another attempt.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(300);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Of a wait whose kind has not changed, the text is written this often at most: the reason of one of thousands of
/// waiting runs changes whenever any other moves.
const RETELL_EVERY: Duration = Duration::from_secs(60);
/// The same of waits whose text is about this run alone.
const RETELL_SOONER: Duration = Duration::from_secs(5);
/// Steps named in the message of a run.
const TOLD_MAX: usize = 3;

pub(super) fn running(run: &Run, world: &World, old: &RunStatus) -> Plan {
    if old.chunk.is_some() {
        return end::chunked(run, world, old);
    }
    let mut status = old.clone();
    let mut steps = std::mem::take(&mut status.steps);
    let mut plan = advance(run, world, &mut status, &mut steps);
    status.message = waiting_for(&steps);
    if let Some(end) = hold::ends(&steps, world) {
        plan.sooner(elapsed(world.now, end));
    }
    status.steps = steps;
    if plan.needs_fresh {
        return plan;
    }
    if let Some(wait) = settle_messages(old, &mut status, world.now) {
        plan.sooner(wait);
    }
    if status != *old {
        return Plan { status: Some(status), effects: Vec::new(), ..plan };
    }
    if plan.effects.is_empty() && status.steps.iter().all(is_over) {
        return end::conclude(run, world, status, None);
    }
    plan
}

/// Nothing more happens and nothing is left behind.
pub(super) fn is_over(step: &StepStatus) -> bool {
    step.phase.is_final() && step.leftover.is_empty()
}

/// One round over `steps`: what became of those under way, what cannot come any more, what may begin.
pub(super) fn advance(run: &Run, world: &World, status: &mut RunStatus, steps: &mut [StepStatus]) -> Plan {
    let mut plan = Plan::default();
    status.phase = if run.spec.pause { RunPhase::Paused } else { RunPhase::Running };
    for step in steps.iter_mut() {
        tidy(step, world, &mut plan);
        observe(run, step, status.fence, world, &mut plan);
    }
    if plan.needs_fresh {
        return plan;
    }
    cancel_rest(run, world, status, steps);
    if !run.spec.pause {
        let parallel = status.template.as_ref().map(|template| template.limits.parallel);
        let parallel = parallel.or_else(|| world.workflow.as_ref().map(|w| w.spec.limits.parallel));
        begin_steps(world, steps, parallel.flatten().unwrap_or(u32::MAX) as usize);
    }
    plan
}

/// Removes what an attempt has left behind.
fn tidy(step: &mut StepStatus, world: &World, plan: &mut Plan) {
    if step.leftover.is_empty() {
        return;
    }
    if world.containers.contains_key(&step.leftover) {
        plan.effects.push(Effect::RemovePod(step.leftover.clone()));
        plan.sooner(Duration::from_secs(2));
    } else {
        step.leftover = String::new();
    }
}

/// Takes over what became of a step that is under way, and collects what it needs done.
fn observe(run: &Run, step: &mut StepStatus, fence: i64, world: &World, plan: &mut Plan) {
    if step.phase != RunPhase::Running {
        return;
    }
    if let Some(at) = step.retry_at {
        let left = elapsed(world.now, at);
        if left.is_zero() && step.leftover.is_empty() && !run.spec.pause && !run.spec.cancel {
            begin_attempt(step, world.now);
        } else if run.spec.cancel {
            finish(step, RunPhase::Cancelled, "not tried again".to_owned(), world.now);
        } else {
            plan.sooner(left.max(Duration::from_millis(10)));
        }
        return;
    }
    let before = step.message.clone();
    match step::progress(run, step, fence, world) {
        Progress::Late(_) if !world.fresh => {
            plan.needs_fresh = true;
            return;
        }
        Progress::Late(waited_for) => {
            let (phase, message) = step::late(run, step, &waited_for, world);
            plan.overdue.push(format!("step {} of run {}: {message}", step.step.name, run.name_any()));
            end_attempt(run, step, phase, message, world.now);
        }
        Progress::Do(effect, message) => {
            if let Some(line) = render::effect(run, &effect)
                && !step.actions.contains(&line)
                && step.actions.len() < 64
            {
                step.actions.push(line);
            }
            plan.effects.push(effect);
            step.message = message;
        }
        Progress::Wait(message) => step.message = message,
        Progress::Held(message) => return hold::put_back(step, message),
        Progress::Under(since, message) => {
            step.message = message;
            step.running_since = Some(since);
            step.due_at = since.checked_add(step.step.deadline.0).ok();
        }
        Progress::Told(whom) => step.told.push(whom),
        Progress::Refused(message) => finish(step, RunPhase::Failed, message, world.now),
        Progress::Ended(phase, message) => end_attempt(run, step, phase, message, world.now),
    }
    if step.message != before {
        step.told_at = Some(world.now);
    }
    if step.phase == RunPhase::Running && step.retry_at.is_none() {
        let left = step.due_at.map_or(BACKOFF_MAX, |due| elapsed(world.now, due));
        plan.sooner(step::look_again(step, world).map_or(left, |wait| wait.min(left)));
    }
}

fn begin_attempt(step: &mut StepStatus, now: Timestamp) {
    step.attempt += 1;
    step.retry_at = None;
    step.started_at = Some(now);
    step.running_since = None;
    let pending = step.step.pending.unwrap_or(step.step.deadline);
    let counted = if step::is_pending_first(step.step.action) { pending } else { step.step.deadline };
    step.due_at = now.checked_add(counted.0).ok();
    if hold::tried(step) > 1 {
        let (attempt, of) = (hold::tried(step), step.step.attempts);
        let before = step.message.split_once("; before: ").map_or("", |(_, before)| before).to_owned();
        step.message = format!("attempt {attempt} of {of}; before: {before}");
    } else {
        step.message.clear();
    }
}

/// Ends an attempt; a failed one is tried anew after a rest while attempts are left, an ambiguous one never.
fn end_attempt(run: &Run, step: &mut StepStatus, phase: RunPhase, message: String, now: Timestamp) {
    if step.step.action == Action::Container {
        step.leftover = step::container::pod_name(run, step);
    }
    let used = hold::tried(step);
    if phase != RunPhase::Failed || used >= step.step.attempts {
        finish(step, phase, message, now);
        return;
    }
    let rest = rest(run, step, used);
    step.retry_at = now.checked_add(rest).ok();
    step.due_at = step.retry_at;
    let rest = muster_api::GoDuration(rest);
    step.message = format!("attempt {} of {} in {rest}; before: {message}", used + 1, step.step.attempts);
}

fn finish(step: &mut StepStatus, phase: RunPhase, message: String, now: Timestamp) {
    step.phase = phase;
    step.message = message;
    step.ended_at = Some(now);
    (step.retry_at, step.due_at, step.told_at) = (None, None, None);
}

/// The rest after `failures` failures: it doubles, and a part of it depends on what is tried, so that runs that failed
/// together do not come back together.
fn rest(run: &Run, step: &StepStatus, failures: u32) -> Duration {
    let first = step.step.backoff.map_or(BACKOFF_FIRST, |backoff| backoff.0);
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    let millis = doubled.mul_f64(1.0 - jitter(&run.name_any(), &step.step.name, step.attempt) / 4.0);
    Duration::from_millis(u64::try_from(millis.as_millis()).unwrap_or(u64::MAX))
}

/// From 0 to below 1, the same for the same attempt (FNV-1a).
fn jitter(run: &str, step: &str, attempt: u32) -> f64 {
    let key = format!("{run}/{step}/{attempt}");
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Whether a main step has ended badly.
pub(super) fn is_broken(steps: &[StepStatus]) -> bool {
    steps.iter().any(|step| {
        !step.finally && matches!(step.phase, RunPhase::Failed | RunPhase::Ambiguous | RunPhase::Cancelled)
    })
}

/// Gives up the steps that cannot come any more.
fn cancel_rest(run: &Run, world: &World, status: &RunStatus, steps: &mut [StepStatus]) {
    let harmless =
        |step: &StepStatus| matches!(step.step.action, Action::Disrupt | Action::Approve | Action::Ticket);
    let undisturbed = steps
        .iter()
        .all(|step| harmless(step) || matches!(step.phase, RunPhase::Pending | RunPhase::Cancelled));
    let waiting_for_grant = steps.iter().any(hold::is_before_disruption);
    let told = run.spec.cancel || (run.spec.undo && !status.undoing);
    let asked = (told && waiting_for_grant).then(|| "given up on request".to_owned());
    let asks = |step: &StepStatus| step.step.action == Action::Approve && step.phase == RunPhase::Running;
    let waits = waiting_for_grant || steps.iter().any(asks);
    let gone = (undisturbed && waits && status.round == 0)
        .then(|| begin::cause_gone(run, world))
        .flatten()
        .or(asked);
    let late = overdue(run, world, status, steps);
    if !is_broken(steps) && !told && gone.is_none() && late.is_none() {
        return;
    }
    // Nobody answers a question that is not asked any more, and a wait that is given up has no effect.
    let idle =
        |step: &StepStatus| matches!(step.step.action, Action::Approve | Action::Wait | Action::Disrupt);
    let message = gone.clone().or(late).unwrap_or_else(|| "not done".to_owned());
    for step in steps.iter_mut().filter(|step| !step.finally) {
        let given_up = step.phase == RunPhase::Pending
            || (step.phase == RunPhase::Running && (gone.is_some() || told) && idle(step));
        if given_up {
            finish(step, RunPhase::Cancelled, message.clone(), world.now);
        }
    }
}

/// Why nothing more of a rung is begun, where its deadline has passed. What is under way has a deadline of its own.
fn overdue(run: &Run, world: &World, status: &RunStatus, steps: &[StepStatus]) -> Option<String> {
    let rung = run.spec.repair.as_ref()?;
    let deadline = rung::deadline(rung, status, steps).filter(|deadline| *deadline <= world.now)?;
    Some(format!("the rung {} was not over within {}: {deadline}", rung.action.as_str(), rung.deadline))
}

/// How far the steps of one name are: a repeated one counts as all its repetitions.
struct Group {
    over: bool,
    succeeded: bool,
}

/// Begins every step whose predecessors are done; the last part begins when the first has ended.
fn begin_steps(world: &World, steps: &mut [StepStatus], parallel: usize) {
    let main_over = steps.iter().filter(|step| !step.finally).all(is_over);
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for step in steps.iter() {
        let name = if step.of.is_empty() { &step.step.name } else { &step.of };
        let succeeded = step.phase == RunPhase::Succeeded;
        let group = groups.entry(name.clone()).or_insert(Group { over: true, succeeded: true });
        group.over &= is_over(step);
        group.succeeded &= succeeded && is_over(step);
    }
    let mut under_way = steps.iter().filter(|step| step.phase == RunPhase::Running).count();
    for step in steps.iter_mut().filter(|step| step.phase == RunPhase::Pending) {
        if under_way >= parallel {
            return;
        }
        let mut before = step.step.after.iter().flatten().filter_map(|name| groups.get(name));
        let may_begin = if step.finally {
            main_over && before.all(|group| group.over)
        } else {
            before.all(|group| group.succeeded)
        };
        if !may_begin {
            continue;
        }
        if let Some(held) = hold::begin(step, world) {
            step.message = held;
            continue;
        }
        under_way += 1;
        step.phase = RunPhase::Running;
        if let Some(line) = render::opening(&step.step)
            && !step.actions.contains(&line)
        {
            step.actions.push(line);
        }
        begin_attempt(step, world.now);
    }
}

pub(super) fn waiting_for(steps: &[StepStatus]) -> String {
    let under_way = || {
        steps.iter().filter(|step| {
            let held = step.phase == RunPhase::Pending && !step.message.is_empty();
            step.phase == RunPhase::Running || held
        })
    };
    let mut texts: Vec<String> = under_way()
        .take(TOLD_MAX)
        .map(|step| match step.message.as_str() {
            "" => step.step.name.clone(),
            message => format!("{}: {message}", step.step.name),
        })
        .collect();
    let more = under_way().count().saturating_sub(TOLD_MAX);
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}

/// What kind of wait a message tells of.
fn kind(message: &str) -> &str {
    message.split(':').next().unwrap_or_default()
}

/// How often at most the text of a wait of that kind is written.
const fn retold_every(action: Action) -> Duration {
    if matches!(action, Action::Disrupt) { RETELL_EVERY } else { RETELL_SOONER }
}

/// Keeps the old texts where nothing but a text has changed, of the same kind, and it was told not long ago; then says
/// when it may be told.
fn settle_messages(old: &RunStatus, new: &mut RunStatus, now: Timestamp) -> Option<Duration> {
    let mut wait = Duration::ZERO;
    let quiet = old.steps.len() == new.steps.len()
        && old.steps.iter().zip(&new.steps).all(|(old, new)| {
            let same = StepStatus { message: old.message.clone(), told_at: old.told_at, ..new.clone() };
            if old.message == new.message || same != *old || kind(&old.message) != kind(&new.message) {
                return same == *old && old.message == new.message;
            }
            let told = old.told_at.map_or(Duration::MAX, |told| elapsed(told, now));
            let left = retold_every(old.step.action).saturating_sub(told);
            wait = wait.max(left);
            !left.is_zero()
        });
    let same = RunStatus { steps: old.steps.clone(), message: old.message.clone(), ..new.clone() };
    if !quiet || same != *old || wait.is_zero() {
        return None;
    }
    new.steps.clone_from(&old.steps);
    new.message.clone_from(&old.message);
    Some(wait)
}
