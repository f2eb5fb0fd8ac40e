//! Where time comes from. Nothing else in Muster reads the machine's clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A source of wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// A clock handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Follows the machine's clock without its jumps: it goes at most a tenth faster or slower than time does, until it shows
/// the same. Who sets the clock lets no deadline pass and calls none back.
#[derive(Debug)]
pub struct SteadyClock(Mutex<(Timestamp, Instant)>);

/// The share of time that has passed by which the clock may be set right.
const CATCHING_UP: i32 = 10;

impl SteadyClock {
    /// A clock that shows now what the machine's does.
    pub fn new() -> Self {
        Self(Mutex::new((SystemClock.now(), Instant::now())))
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        last.0 = followed(last.0, at.duration_since(last.1), SystemClock.now());
        last.1 = at;
        last.0
    }
}

/// What is shown so long after `last`, when the machine's clock shows `wall`.
fn followed(last: Timestamp, passed: Duration, wall: Timestamp) -> Timestamp {
    let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
    let expected = last.saturating_add(passed).unwrap_or(last);
    let most = passed / CATCHING_UP;
    let off = wall.duration_since(expected).clamp(-most, most);
    expected.saturating_add(off).unwrap_or(expected)
}

/// A clock that moves only when told to; for tests and simulation.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).expect("a test does not advance by 292 billion years");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signed time from `from` to `to`, cut at zero.
pub fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a7_a_clock_that_is_set_is_followed_by_a_tenth_of_the_time_and_never_backwards() {
        let start: Timestamp = "2026-11-01T14:00:00Z".parse().unwrap();
        let hour = SignedDuration::from_hours(1);
        for (jump, gained) in [(hour, 60), (-hour, -60), (SignedDuration::ZERO, 0)] {
            let mut shown = start;
            for second in 1..=600 {
                let wall = start + SignedDuration::from_secs(second) + jump;
                let next = followed(shown, Duration::from_secs(1), wall);
                assert!(shown < next);
                shown = next;
            }
            assert_eq!(shown.duration_since(start), SignedDuration::from_secs(600 + gained), "{jump}");
        }
        let small = SignedDuration::from_millis(20);
        let shown = followed(start, Duration::from_secs(1), start + SignedDuration::from_secs(1) - small);
        assert_eq!(shown, start + SignedDuration::from_millis(980), "what is small is followed at once");
        let clock = SteadyClock::new();
        let (one, other) = (clock.now(), clock.now());
        assert!(one <= other && elapsed(other, SystemClock.now()) < Duration::from_secs(60));
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let start: Timestamp = "2026-11-01T14:05:00Z".parse().unwrap();
        let clock = ManualClock::new(start);
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(90));
        assert_eq!(clock.now().to_string(), "2026-11-01T14:06:30Z");
        assert_eq!(elapsed(start, clock.now()), Duration::from_secs(90));
        assert_eq!(elapsed(clock.now(), start), Duration::ZERO);
    }
}
