//! What is written into a Problem of one machine that the global doctor found itself.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::problem::{EVIDENCE_KEPT, Evidence, ProblemStatus, State};

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
