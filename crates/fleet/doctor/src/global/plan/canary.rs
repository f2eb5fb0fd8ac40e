//! When a fault is made up in a site, whether it was answered in time, and when it is taken back.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::problem::{ProblemStatus, State};
use muster_api::workflow::RunPhase;
use muster_base::clock::elapsed;

/// How often, and what is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often in each site.
    pub every: Duration,
    /// It has to be answered and clear within so long.
    pub within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { every: Duration::from_secs(3600), within: Duration::from_secs(300) }
    }
}

/// What is to be done about the canary of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, for so long.
    Wait(Duration),
    /// A fault is made up.
    File,
    /// It was answered, so long after it was filed.
    Clear(Duration),
    /// It was not answered in time, which is told.
    Late,
    /// The next one is due: the one that was never answered is taken back.
    GiveUp,
}

impl Limits {
    /// The first one of a site: the sites take turns, and a program that has just begun has other things to do.
    pub fn first(&self, site: &str) -> Duration {
        let turn = site.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        self.every / 6 + self.every.mul_f64(f64::from(turn % 1000) / 1200.0)
    }

    /// What comes next. `open` is the made-up fault that stands, with what became of its run; `last` is when the last one
    /// opened, `begun` when this program began to look after the site.
    pub fn next(
        &self,
        site: &str,
        open: Option<(&ProblemStatus, Option<RunPhase>)>,
        (last, begun): (Option<Timestamp>, Timestamp),
        now: Timestamp,
    ) -> Next {
        let Some((status, run)) = open else {
            let (from, rest) = last.map_or((begun, self.first(site)), |last| (last, self.every));
            let left = rest.saturating_sub(elapsed(from, now));
            return if left.is_zero() { Next::File } else { Next::Wait(left) };
        };
        let took = status.opened_at.map_or(Duration::ZERO, |opened| elapsed(opened, now));
        if run == Some(RunPhase::Succeeded) {
            return Next::Clear(took);
        }
        if self.every <= took {
            return Next::GiveUp;
        }
        // Its lateness is the second that is said of it.
        if self.within <= took && status.count < 2 {
            return Next::Late;
        }
        Next::Wait(if took < self.within { self.within - took } else { self.every - took })
    }
}

/// Whether a made-up fault stands.
pub fn stands(status: &ProblemStatus) -> bool {
    match status.state {
        State::Open | State::Suspect | State::Unknown => true,
        State::Clear => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { every: Duration::from_secs(3600), within: Duration::from_secs(300) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn open(second: i64) -> ProblemStatus {
        ProblemStatus { state: State::Open, opened_at: Some(at(second)), ..ProblemStatus::default() }
    }

    fn seconds(seconds: u64) -> Next {
        Next::Wait(Duration::from_secs(seconds))
    }

    #[test]
    fn one_is_filed_an_hour_and_the_first_after_a_turn() {
        let first = |site: &str, now| LIMITS.next(site, None, (None, at(0)), at(now));
        for site in ["a", "b", "berlin-3", ""] {
            let turn = LIMITS.first(site);
            assert!(LIMITS.every / 6 <= turn && turn <= LIMITS.every, "{site}: {turn:?}");
            assert_eq!(first(site, 0), Next::Wait(turn));
            assert_eq!(first(site, 3600), Next::File);
        }
        assert_ne!(LIMITS.first("a"), LIMITS.first("b"));
        let later = |now| LIMITS.next("a", None, (Some(at(100)), at(0)), at(now));
        assert_eq!((later(200), later(3700)), (seconds(3500), Next::File));
    }

    #[test]
    fn it_clears_when_it_was_answered_and_is_late_once_when_it_was_not() {
        let next = |run, told: bool, now| {
            let status = ProblemStatus { count: 1 + u64::from(told), ..open(0) };
            LIMITS.next("a", Some((&status, run)), (Some(at(0)), at(0)), at(now))
        };
        assert_eq!(next(None, false, 10), seconds(290));
        assert_eq!(next(Some(RunPhase::Running), false, 10), seconds(290));
        assert_eq!(next(Some(RunPhase::Succeeded), false, 10), Next::Clear(Duration::from_secs(10)));
        for run in [None, Some(RunPhase::Running), Some(RunPhase::Failed)] {
            assert_eq!(next(run, false, 300), Next::Late);
            assert_eq!(next(run, true, 300), seconds(3300));
            assert_eq!(next(run, true, 3600), Next::GiveUp);
        }
        assert_eq!(next(Some(RunPhase::Succeeded), true, 4000), Next::Clear(Duration::from_secs(4000)));
    }
}
