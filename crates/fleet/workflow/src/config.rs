//! Settings of the workflow manager.

use std::time::Duration;

/// Already valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often everything is looked at, changed or not.
    pub sweep_every: Duration,
    /// How long a run is kept once it has ended. What became of it stands in the history.
    pub keep_runs: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { sweep_every: Duration::from_secs(15 * 60), keep_runs: Duration::from_secs(30 * 24 * 3600) }
    }
}
