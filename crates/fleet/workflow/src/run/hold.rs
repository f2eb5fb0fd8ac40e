//! What a pause or `handsOff` does to the steps of a run: nothing is begun, and nothing is lost.
//!
//! A step that has done nothing yet goes back to Pending, its deadline with it. One whose effect is under way is seen to its
//! end.

use jiff::Timestamp;
use muster_api::disruption::{DisruptionPhase, DisruptionStatus};
use muster_api::order::Verb;
use muster_api::workflow::{Action, Run, RunPhase, StepStatus};
use muster_brake::Act;

use super::plan::{Effect, World, cause_gone};
use super::step::Progress;

/// What a step does to its machine; `None` for one that only gives something back.
fn act(step: &StepStatus) -> Option<Act> {
    match step.step.action {
        Action::Disrupt | Action::Cordon | Action::Drain | Action::Quarantine | Action::Retire => {
            Some(Act::Disrupts)
        }
        Action::Order => Some(step.step.order.as_ref().map_or(Act::Disrupts, |order| Act::of(order.verb))),
        Action::Uncordon | Action::Container | Action::Webhook | Action::Probation | Action::Healthy => {
            Some(Act::Touches)
        }
        Action::Verify => step.step.expression.is_empty().then_some(Act::Touches),
        // A part of a run is held by itself.
        Action::Release | Action::Wait | Action::Approve | Action::Ticket | Action::Run => None,
    }
}

/// Whether a grant is held, by what the ledger has seen or is about to see.
pub(crate) fn is_held(grant: &DisruptionStatus, world: &World) -> bool {
    grant.held_since.is_some() || world.holds.on(Act::Disrupts).is_some()
}

/// Why a step may not begin now.
pub(crate) fn on(step: &StepStatus, world: &World) -> Option<String> {
    let act = act(step)?;
    if let Some(hold) = world.holds.on(act) {
        return Some(format!("held: {hold}"));
    }
    let grant = world.disruption.as_ref().and_then(|asked| asked.status.as_ref());
    let unseen = act == Act::Disrupts && grant.is_some_and(|grant| grant.held_since.is_some());
    unseen.then(|| "held: the ledger has not looked at the grant again since the hold ended".to_owned())
}

/// Whether a step may not begin now. Asking for a grant is no act: who waits is to be seen in the line.
pub(crate) fn begin(step: &StepStatus, world: &World) -> Option<String> {
    on(step, world).filter(|_| step.step.action != Action::Disrupt)
}

/// What becomes of what a step has `seen` while something holds it; `None` where nothing does.
pub(crate) fn held(step: &StepStatus, seen: &Progress, overdue: bool, world: &World) -> Option<Progress> {
    let disrupt = step.step.action == Action::Disrupt;
    let text = match seen {
        Progress::Do(Effect::Disruption(_), _)
        | Progress::Under(..)
        | Progress::Late(_)
        | Progress::Held(_)
        | Progress::Told(_)
        | Progress::Refused(_)
        | Progress::Ended(..) => None,
        Progress::Do(..) => on(step, world),
        Progress::Wait(_) if overdue => on(step, world),
        Progress::Wait(_) => None,
    }?;
    Some(if disrupt && !overdue { Progress::Wait(text) } else { Progress::Held(text) })
}

/// Puts a step back that has done nothing in this attempt.
pub(crate) fn put_back(step: &mut StepStatus, message: String) {
    step.phase = RunPhase::Pending;
    step.held += 1;
    (step.started_at, step.running_since, step.due_at) = (None, None, None);
    step.told_at = None;
    step.message = message;
}

/// Attempts of this round that were not put back.
pub(crate) fn tried(step: &StepStatus) -> u32 {
    step.attempt.saturating_sub(step.before + step.held)
}

/// Whether the machine is about to be taken from service and is not yet: its cause is looked at until the last moment.
pub(crate) fn is_before_disruption(step: &StepStatus) -> bool {
    let waits = step.phase == RunPhase::Running || (step.phase == RunPhase::Pending && 0 < step.held);
    step.step.action == Action::Disrupt && waits
}

/// What has to be said before a disruptive order may be given: the grant must stand, and a cause that went away while
/// the step was held needs no order any more.
pub(crate) fn before_order(run: &Run, step: &StepStatus, verb: Verb, world: &World) -> Option<Progress> {
    if Act::of(verb) == Act::Touches {
        return None;
    }
    if 0 < step.held
        && let Some(gone) = cause_gone(run, world)
    {
        return Some(Progress::Ended(RunPhase::Succeeded, format!("not needed any more: {gone}")));
    }
    let needs_grant =
        run.status.iter().flat_map(|status| &status.steps).any(|step| step.step.action == Action::Disrupt);
    let grant = world.disruption.as_ref().and_then(|asked| asked.status.as_ref());
    match grant {
        _ if !needs_grant => None,
        Some(grant) if grant.phase == DisruptionPhase::Granted => None,
        Some(grant) => {
            Some(Progress::Ended(RunPhase::Failed, format!("the grant is gone: {}", grant.reason)))
        }
        None => Some(Progress::Ended(RunPhase::Failed, "the grant is not there any more".to_owned())),
    }
}

/// When a hold ends by itself, if steps wait for it.
pub(crate) fn ends(steps: &[StepStatus], world: &World) -> Option<Timestamp> {
    let waits = |step: &StepStatus| step.phase == RunPhase::Pending && !step.message.is_empty();
    world.holds.hands_off.as_ref().filter(|_| steps.iter().any(waits))?.until
}

impl Effect {
    /// Whether it may take something from service: what it was planned upon is then looked at once more.
    pub(crate) fn disrupts(&self) -> bool {
        match self {
            Self::Machine(change) => change
                .enter
                .as_ref()
                .is_some_and(|enter| enter.phase == muster_api::machine::Phase::Disrupted),
            Self::Order(_) | Self::Cordon | Self::Evict(_) | Self::Container(_) => true,
            Self::Disruption(_)
            | Self::Release(_)
            | Self::Uncordon
            | Self::RemovePod(_)
            | Self::Call(_)
            | Self::Mail(_)
            | Self::Child(_)
            | Self::CancelChild(_)
            | Self::Chunk(_)
            | Self::Remove => false,
        }
    }
}
