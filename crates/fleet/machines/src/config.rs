//! Settings of the machine database.

use std::time::Duration;

use crate::ledger::Timing;

/// Already valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often everything is looked at, changed or not.
    pub sweep_every: Duration,
    /// How long the facts of a machine may take to arrive.
    pub inspection_deadline: Duration,
    /// How long a waiting request for a grant rests at most before it is looked at again.
    pub look_again_every: Duration,
    /// After so long free places in budgets are kept for a waiting request.
    pub kept_after: Duration,
}

impl Config {
    pub(crate) fn ledger_timing(&self) -> Timing {
        Timing {
            look_again_every: self.look_again_every,
            look_again_max: self.look_again_every.max(Duration::from_secs(15 * 60)),
            kept_after: self.kept_after,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sweep_every: Duration::from_secs(15 * 60),
            inspection_deadline: Duration::from_secs(10 * 60),
            look_again_every: Duration::from_secs(30),
            kept_after: Duration::from_secs(10 * 60),
        }
    }
}
