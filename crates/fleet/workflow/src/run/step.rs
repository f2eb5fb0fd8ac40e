//! How far one step is, seen from what is observed.

pub(crate) mod child;
pub(crate) mod container;
mod drain;
mod grant;
mod judge;
mod order;
pub(crate) mod ticket;
mod web;

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::disruption::Destruction;
use muster_api::machine::Phase;
use muster_api::workflow::{Action, Run, RunPhase, StepStatus};
use muster_base::clock::elapsed;

use super::hold;
use super::plan::{Effect, Enter, MachineChange, World};

pub(crate) use grant::is_granted;
pub use order::order_names;

/// What is to be said of a step under way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress {
    /// Something has to be done first.
    Do(Effect, String),
    /// Something has to happen first.
    Wait(String),
    /// It has done nothing, and may not begin now.
    Held(String),
    /// It is under way since.
    Under(Timestamp, String),
    /// Its deadline has passed, and what it waited for.
    Late(String),
    /// This one was told, and is not told again.
    Told(String),
    /// The attempt has failed, and so would any further one.
    Refused(String),
    /// The attempt is over.
    Ended(RunPhase, String),
}

fn done(message: impl Into<String>) -> Progress {
    Progress::Ended(RunPhase::Succeeded, message.into())
}

fn failed(message: impl Into<String>) -> Progress {
    Progress::Ended(RunPhase::Failed, message.into())
}

/// What the steps of a run are going to destroy for good.
pub(crate) fn intends(run: &Run) -> Option<Destruction> {
    let mut steps = run.status.iter().flat_map(|status| &status.steps);
    steps.find_map(|step| step.step.order.as_ref()?.verb.destroys())
}

/// Whether a step waits for somebody else to begin; its deadline counts from there.
pub(crate) const fn is_pending_first(action: Action) -> bool {
    match action {
        Action::Order | Action::Container | Action::Disrupt => true,
        Action::Release
        | Action::Cordon
        | Action::Drain
        | Action::Uncordon
        | Action::Webhook
        | Action::Wait
        | Action::Approve
        | Action::Verify
        | Action::Run
        | Action::Probation
        | Action::Healthy
        | Action::Quarantine
        | Action::Ticket
        | Action::Retire => false,
    }
}

/// When a step under way is to be looked at again although nothing changed.
pub(crate) fn look_again(step: &StepStatus, world: &World) -> Option<Duration> {
    let since = step.started_at.map_or(Duration::ZERO, |since| elapsed(since, world.now));
    // What is asked for again and again is asked for less often the longer it takes.
    let patient =
        |first: u64, most: u64| (since / 8).clamp(Duration::from_secs(first), Duration::from_secs(most));
    match step.step.action {
        Action::Probation => {
            let status = world.machine.as_ref()?.status.as_ref()?;
            let until = status.since?.checked_add(world.role.as_ref()?.spec.probation.duration.0).ok()?;
            Some(elapsed(world.now, until)).filter(|left| !left.is_zero())
        }
        Action::Drain => Some(patient(2, 15)),
        Action::Container => Some(patient(1, 15)),
        Action::Wait => Some(patient(5, 30)),
        Action::Disrupt
        | Action::Release
        | Action::Cordon
        | Action::Uncordon
        | Action::Order
        | Action::Webhook
        | Action::Approve
        | Action::Verify
        | Action::Run
        | Action::Healthy
        | Action::Quarantine
        | Action::Ticket
        | Action::Retire => None,
    }
}

/// Says how far `step` of `run` is. What has come counts, whenever it is seen; only what has not come can be late.
pub(crate) fn progress(run: &Run, step: &StepStatus, fence: i64, world: &World) -> Progress {
    let seen = match step.step.action {
        Action::Disrupt => grant::disrupt(run, world),
        Action::Release => grant::release(run, world),
        Action::Cordon => drain::cordon(run, world),
        Action::Drain => drain::drain(run, world),
        Action::Uncordon => drain::uncordon(run, world),
        Action::Order => order::order(run, step, fence, world),
        Action::Container => container::run(run, step, world),
        Action::Webhook => web::call(run, step, world),
        Action::Wait => judge::wait(step, world),
        Action::Approve => judge::approve(run, step),
        Action::Verify => judge::verify(run, step, fence, world),
        Action::Run => child::run(run, step, world),
        Action::Probation => judge::probation(run, step, fence, world),
        Action::Healthy => enter(world, Phase::Healthy, "back in service: every step is done", None),
        Action::Quarantine => quarantine(run, world),
        Action::Ticket => ticket::ticket(run, step, world),
        Action::Retire => retire(run, world),
    };
    let due = match &seen {
        Progress::Under(since, _) => since.checked_add(step.step.deadline.0).ok(),
        Progress::Do(..)
        | Progress::Wait(_)
        | Progress::Late(_)
        | Progress::Held(_)
        | Progress::Told(_)
        | Progress::Refused(_)
        | Progress::Ended(..) => step.due_at,
    };
    // A part of the run is told to end and has deadlines of its own.
    let overdue = due.is_some_and(|due| due <= world.now) && step.step.action != Action::Run;
    let begun = order::is_begun(run, step, world);
    if let Some(held) = hold::held(step, &seen, overdue && !begun, world) {
        return held;
    }
    match seen {
        Progress::Do(_, message) | Progress::Wait(message) | Progress::Under(_, message) if overdue => {
            Progress::Late(message)
        }
        Progress::Do(..)
        | Progress::Wait(_)
        | Progress::Under(..)
        | Progress::Late(_)
        | Progress::Held(_)
        | Progress::Told(_)
        | Progress::Refused(_)
        | Progress::Ended(..) => seen,
    }
}

/// How a step ends whose deadline has passed: what was begun and not answered may or may not have taken effect.
pub(crate) fn late(run: &Run, step: &StepStatus, waited_for: &str, world: &World) -> (RunPhase, String) {
    let begun = step.step.action == Action::Order && order::is_begun(run, step, world);
    let pending = is_pending_first(step.step.action) && step.running_since.is_none();
    let limit = if pending { step.step.pending.unwrap_or(step.step.deadline) } else { step.step.deadline };
    let text = format!("not done within {limit}: {waited_for}");
    if begun { (RunPhase::Ambiguous, text) } else { (RunPhase::Failed, text) }
}

fn quarantine(run: &Run, world: &World) -> Progress {
    let why = run.spec.repair.as_ref().map(|rung| rung.why.as_str()).filter(|why| !why.is_empty());
    let cause = if run.spec.problem.is_empty() { "a failed return to service" } else { &run.spec.problem };
    let reason = match why {
        Some(why) => format!("a person decides about {cause}: {why}"),
        None => format!("a person decides about {cause}"),
    };
    enter(world, Phase::Quarantined, &reason, None)
}

fn retire(run: &Run, world: &World) -> Progress {
    let reason =
        run.status.as_ref().and_then(|status| status.parameters.get("reason")).map_or("", String::as_str);
    let reason =
        if reason.is_empty() { "its life has ended".to_owned() } else { format!("retired: {reason}") };
    enter(world, Phase::Retired, &reason, None)
}

fn enter(world: &World, wanted: Phase, reason: &str, deadline: Option<Timestamp>) -> Progress {
    let phase = world.machine.as_ref().and_then(|machine| machine.status.as_ref()).map(|status| status.phase);
    match phase {
        Some(phase) if phase == wanted => done(format!("machine is {}", wanted.as_str())),
        Some(phase) if phase.may_become(wanted) => {
            let enter = Enter { phase: wanted, reason: reason.to_owned(), deadline };
            let change = MachineChange { enter: Some(enter), ..MachineChange::default() };
            Progress::Do(Effect::Machine(change), format!("the machine becomes {}", wanted.as_str()))
        }
        Some(phase) => failed(format!("a machine cannot go from {} to {}", phase.as_str(), wanted.as_str())),
        None => failed("the machine is not there any more"),
    }
}

/// The key of an effect.
pub(crate) fn key(run: &Run, step: &StepStatus) -> String {
    format!("{}/{}/{}", run.name_any(), step.step.name, step.attempt)
}
