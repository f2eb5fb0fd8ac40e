//! Chance that a seed decides.

use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Seeded chance. Each user gets dice of its own, so that one more throw here changes nothing there.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<StdRng>);

impl Dice {
    /// The dice of `user` under `seed`.
    pub(crate) fn new(seed: u64, user: &str) -> Self {
        // FNV-1a: the standard library's hashes are not promised to stay the same.
        let mixed = user.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(Mutex::new(StdRng::seed_from_u64(mixed)))
    }

    pub(crate) fn happens(&self, probability: f64) -> bool {
        probability > 0.0 && self.0.lock().random_bool(probability.min(1.0))
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        self.0.lock().random_range(0..bound.max(1))
    }

    pub(crate) fn between(&self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
        least + Duration::from_millis(self.0.lock().random_range(0..=span))
    }
}
