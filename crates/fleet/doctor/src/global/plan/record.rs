//! What the global doctor reads from Problems, and what it writes into those that it found itself: of one machine, or of
//! many.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::Problem;
use muster_api::problem::canary::is_canary;
use muster_api::problem::{EVIDENCE_KEPT, Evidence, ProblemStatus, State};

use super::burst::Opening;
use super::correlation::{Case, Parent};
use super::place::Place;

/// The fault was seen: it opens, or is there still. What had become unknown goes on in its episode.
pub fn seen(before: Option<&ProblemStatus>, text: String, lease: Duration, now: Timestamp) -> ProblemStatus {
    let mut status = before.cloned().unwrap_or_default();
    let goes_on = match status.state {
        State::Open => true,
        State::Unknown => status.opened_at.is_some(),
        State::Suspect | State::Clear => false,
    };
    if !goes_on {
        status.episode += 1;
        status.count = 0;
        status.first_seen = Some(now);
        status.opened_at = Some(now);
        status.cleared_at = None;
        status.evidence.clear();
    }
    status.state = State::Open;
    status.count += 1;
    status.last_seen = Some(now);
    status.lease_until = now.checked_add(lease).ok();
    note(&mut status, text, now);
    status
}

/// The fault is gone; `None` where that is said already.
pub fn gone(before: Option<&ProblemStatus>, now: Timestamp) -> Option<ProblemStatus> {
    let before = before.filter(|before| before.state != State::Clear)?;
    Some(ProblemStatus { state: State::Clear, cleared_at: Some(now), lease_until: None, ..before.clone() })
}

/// Its doctor does not vouch for it any more. The rest stays as its doctor wrote it.
pub fn unknown(before: &ProblemStatus, now: Timestamp) -> ProblemStatus {
    let mut status = ProblemStatus { state: State::Unknown, ..before.clone() };
    let until = before.lease_until.map(|until| until.to_string()).unwrap_or_default();
    note(&mut status, format!("nothing was heard of its doctor: it vouched until {until}"), now);
    status
}

/// What a Problem of one machine is to the judgement of bursts; none where it is not open and nothing holds it.
pub fn case(problem: &Problem, place: impl FnOnce() -> Place, now: Timestamp) -> Option<Case> {
    let status = problem.status.as_ref().filter(|_| !is_canary(&problem.spec))?;
    let opened_at = status.opened_at.or(status.first_seen)?;
    let is_open = matches!(status.state, State::Open | State::Unknown) && status.opened_at.is_some();
    if !is_open && status.parent.is_empty() {
        return None;
    }
    let opening = Opening {
        machine: problem.spec.machine.clone(),
        at: opened_at.min(now),
        class: problem.spec.class.clone(),
        rule: status.rule.clone(),
        place: place(),
    };
    let state = if is_open { status.state } else { State::Clear };
    Some(Case { opening, state, last_seen: status.last_seen, parent: status.parent.clone() })
}

/// A Problem of many as it was filed in an earlier life, by its name.
pub fn parent(problem: &Problem) -> Option<(String, Parent)> {
    let status = problem.status.as_ref()?;
    let is_open = status.state != State::Clear;
    let since = status.first_seen?;
    let suspect = status.suspect.clone()?;
    let parent = Parent {
        opened_at: status.opened_at.unwrap_or(since),
        last_seen: status.last_seen.unwrap_or(since),
        cleared_at: status.cleared_at,
        evidence: status.evidence.first().map(|evidence| evidence.text.clone()).unwrap_or_default(),
        ..Parent::filed(suspect, is_open, status.episode, since)
    };
    Some((problem.metadata.name.clone()?, parent))
}

/// What is written of a Problem of many.
pub fn of_many(
    parent: &Parent,
    before: Option<&ProblemStatus>,
    lease: Duration,
    now: Timestamp,
) -> ProblemStatus {
    let before = before.filter(|before| before.episode == parent.episode).cloned().unwrap_or_default();
    let mut status = ProblemStatus {
        state: if parent.is_open { State::Open } else { State::Clear },
        episode: parent.episode,
        count: u64::from(parent.suspect.machines),
        first_seen: Some(parent.since),
        opened_at: Some(parent.opened_at),
        last_seen: Some(parent.last_seen),
        cleared_at: parent.cleared_at,
        evidence: before.evidence,
        suspect: Some(parent.suspect.clone()),
        lease_until: now.checked_add(lease).ok().filter(|_| parent.is_open),
        ..ProblemStatus::default()
    };
    note(&mut status, parent.evidence.clone(), now);
    status
}

fn note(status: &mut ProblemStatus, text: String, now: Timestamp) {
    // The same again is counted, not written again.
    if status.evidence.first().is_some_and(|last| last.text == text) {
        return;
    }
    status.evidence.insert(0, Evidence { at: now, text });
    status.evidence.truncate(EVIDENCE_KEPT);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(300);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn told(status: &ProblemStatus) -> (State, i64, u64, Option<Timestamp>) {
        (status.state, status.episode, status.count, status.opened_at)
    }

    #[test]
    fn an_episode_opens_goes_on_and_ends_and_the_next_is_counted() {
        let first = seen(None, "silent".into(), LEASE, at(0));
        assert_eq!(told(&first), (State::Open, 1, 1, Some(at(0))));
        let more = seen(Some(&first), "silent".into(), LEASE, at(100));
        assert_eq!(told(&more), (State::Open, 1, 2, Some(at(0))));
        assert_eq!((more.evidence.len(), more.lease_until), (1, Some(at(400))));
        let cleared = gone(Some(&more), at(200)).unwrap();
        assert_eq!((cleared.state, cleared.cleared_at, cleared.episode), (State::Clear, Some(at(200)), 1));
        assert_eq!(gone(Some(&cleared), at(300)), None);
        let second = seen(Some(&cleared), "silent".into(), LEASE, at(400));
        assert_eq!(told(&second), (State::Open, 2, 1, Some(at(400))));
        assert_eq!(second.cleared_at, None);
    }

    #[test]
    fn what_became_unknown_is_neither_cleared_nor_begun_anew() {
        let open = seen(None, "silent".into(), LEASE, at(0));
        let lost = unknown(&open, at(400));
        assert_eq!(told(&lost), (State::Unknown, 1, 1, Some(at(0))));
        assert_eq!(
            lost.evidence[0].text,
            "nothing was heard of its doctor: it vouched until 2027-01-15T08:05:00Z"
        );
        assert_eq!(
            told(&seen(Some(&lost), "silent".into(), LEASE, at(500))),
            (State::Open, 1, 2, Some(at(0)))
        );
        let suspect = ProblemStatus { state: State::Suspect, ..ProblemStatus::default() };
        let lost = unknown(&suspect, at(0));
        assert_eq!(told(&seen(Some(&lost), "x".into(), LEASE, at(1))), (State::Open, 1, 1, Some(at(1))));
    }
}
