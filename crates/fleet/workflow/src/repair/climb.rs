//! What was tried for a problem before, read from the runs that did it.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::Problem;
use muster_api::problem::{EpisodeKey, State};
use muster_api::repair::{RepairRef, RungAction};
use muster_api::workflow::{Action, Run, RunPhase, StepStatus};
use muster_base::clock::elapsed;

/// One doing of a rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    pub run: String,
    pub episode: EpisodeKey,
    pub rung: RepairRef,
    pub phase: RunPhase,
    /// Something was done to the machine: a run that never had its grant has tried nothing.
    pub acted: bool,
    /// A person gave it up.
    pub stopped: bool,
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
}

impl Tried {
    /// The doing that `run` is, if it is one.
    pub fn of(run: &Run) -> Option<Self> {
        let rung = run.spec.repair.clone()?;
        let status = run.status.clone().unwrap_or_default();
        let created = run.creation_timestamp().map(|time| time.0);
        Some(Self {
            run: run.name_any(),
            episode: EpisodeKey::of_run(run),
            acted: status.steps.iter().any(|step| acts(step, rung.action)),
            rung,
            phase: status.phase,
            stopped: run.spec.cancel,
            began: status.started_at.or(created).unwrap_or(Timestamp::UNIX_EPOCH),
            ended: status.ended_at.filter(|_| status.phase.is_final()),
        })
    }

    pub fn is_under_way(&self) -> bool {
        !self.phase.is_final()
    }

    /// Whether it was done to its end, well or not: then it counts.
    pub fn counts(&self) -> bool {
        self.acted && self.phase.is_final()
    }
}

/// Whether a step has done something towards the cure.
fn acts(step: &StepStatus, rung: RungAction) -> bool {
    let begun = step.held < step.attempt;
    let asks_first = step.step.order.as_ref().is_some_and(|order| order.verb.destroys().is_some());
    match step.step.action {
        // It may have waited for leave alone.
        Action::Order if asks_first => step.running_since.is_some() || step.phase == RunPhase::Succeeded,
        Action::Order | Action::Container | Action::Webhook | Action::Run => begun,
        Action::Quarantine => rung == RungAction::Quarantine && step.phase == RunPhase::Succeeded,
        Action::Disrupt
        | Action::Release
        | Action::Cordon
        | Action::Drain
        | Action::Uncordon
        | Action::Wait
        | Action::Approve
        | Action::Verify
        | Action::Probation
        | Action::Healthy
        | Action::Ticket
        | Action::Retire => false,
    }
}

/// The doings that belong to what opened at `opened`: each began within `within` of the end of the one before. `tried`
/// is in the order in which they began.
pub(crate) fn climb(tried: &[Tried], opened: Timestamp, within: Duration) -> &[Tried] {
    let mut next = opened;
    let mut from = tried.len();
    for (index, one) in tried.iter().enumerate().rev() {
        let end = one.ended.unwrap_or(one.began);
        if within < elapsed(end, next) {
            break;
        }
        (next, from) = (one.began.min(next), index);
    }
    &tried[from..]
}

/// The last opening known of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    pub episode: EpisodeKey,
    pub at: Timestamp,
    /// It is gone.
    pub cleared: bool,
}

impl Opening {
    /// The one that stands in the status of `problem`, if it ever opened.
    pub fn of(problem: &Problem) -> Option<Self> {
        let status = problem.status.as_ref()?;
        let cleared = status.state == State::Clear;
        Some(Self { episode: EpisodeKey::of(problem), at: status.opened_at?, cleared })
    }
}

/// Whether the doing at `index` has fixed the problem, so far; `None` where it does not count. It has when the problem went
/// away without anything further being done, and did not come back too soon.
pub(crate) fn fixed(tried: &[Tried], index: usize, last: Option<Opening>) -> Option<bool> {
    let one = tried.get(index).filter(|one| one.counts())?;
    let end = one.ended.unwrap_or(one.began);
    let mut later = tried.iter().skip(index + 1);
    if later.clone().any(|later| later.episode == one.episode && later.counts()) {
        return Some(false);
    }
    let anew = last.filter(|last| one.episode < last.episode).map(|last| last.at);
    let gone = last.is_some_and(|last| last.episode == one.episode && last.cleared);
    let again = later.clone().filter(|later| one.episode < later.episode).map(|later| later.began).min();
    let went_away = one.phase == RunPhase::Succeeded
        || gone
        || anew.is_some()
        || later.any(|later| one.episode < later.episode);
    let soon = |at: Timestamp| elapsed(end, at) <= one.rung.success_after.0;
    Some(went_away && !again.into_iter().chain(anew).min().is_some_and(soon))
}
