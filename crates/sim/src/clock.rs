//! Wall-clock time that follows tokio's clock, paused or not.

use jiff::{SignedDuration, Timestamp};
use muster_base::clock::Clock;
use tokio::time::Instant;

/// Stands at a given time when made, and goes on as tokio's clock does.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock {
    start: Timestamp,
    origin: Instant,
}

impl VirtualClock {
    /// A clock that shows `start` now.
    pub fn new(start: Timestamp) -> Self {
        Self { start, origin: Instant::now() }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let passed =
            SignedDuration::try_from(self.origin.elapsed()).expect("no simulation lasts 292 billion years");
        self.start + passed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn hours_pass_with_tokios_clock() {
        let clock = VirtualClock::new("2026-01-05T00:00:00Z".parse().unwrap());
        tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
        assert_eq!(clock.now().to_string(), "2026-01-05T03:00:00Z");
    }
}
