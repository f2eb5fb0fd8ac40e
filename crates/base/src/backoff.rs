//! Exponential back-off with jitter.

use std::time::Duration;

/// How long to wait before attempt *n* of something that fails.
///
/// The wait doubles from `first` up to `most`; a random part of up to a quarter is taken off, so that many
/// clients that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Waits from `first` to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The wait after `failures` failures in a row (1 = the first), without jitter.
    pub fn base(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }

    /// The wait after `failures` failures in a row, with jitter.
    pub fn wait(&self, failures: u32) -> Duration {
        self.base(failures).mul_f64(1.0 - rand::random::<f64>() / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<u128> = (1..=6).map(|n| backoff.base(n).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.base(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn jitter_takes_off_at_most_a_quarter() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for _ in 0..1000 {
            let wait = backoff.wait(1);
            assert!((Duration::from_millis(75)..=Duration::from_millis(100)).contains(&wait), "{wait:?}");
        }
    }
}
