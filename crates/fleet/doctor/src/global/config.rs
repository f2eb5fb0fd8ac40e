//! Settings of the global doctor.

use std::time::Duration;

use super::plan::{burst, canary, correlation, silence};

/// Already valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often everything is looked at, changed or not.
    pub sweep_every: Duration,
    /// When a machine is silent, and when not any more.
    pub silence: silence::Limits,
    /// After planned maintenance a machine may be silent for so long.
    pub maintenance_grace: Duration,
    /// Failures of a management controller in a row after which it is unreachable.
    pub bmc_failures: u32,
    /// It answers again for so long, then it is not unreachable any more.
    pub bmc_quiet: Duration,
    /// A reading older than this says nothing.
    pub bmc_stale: Duration,
    /// How long the global doctor vouches for what it files.
    pub lease: Duration,
    /// So long after its lease ended, and after its last change, a state is unknown.
    pub lease_margin: Duration,
    /// Openings are gathered for so long before they are judged.
    pub settle: Duration,
    /// When a cause is suspected.
    pub burst: burst::Limits,
    /// When a Problem of many clears.
    pub closing: correlation::Closing,
    /// When a fault is made up; never without.
    pub canary: Option<canary::Limits>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sweep_every: Duration::from_secs(15 * 60),
            silence: silence::Limits::default(),
            maintenance_grace: Duration::from_secs(5 * 60),
            bmc_failures: 3,
            bmc_quiet: Duration::from_secs(60),
            bmc_stale: Duration::from_secs(15 * 60),
            lease: Duration::from_secs(5 * 60),
            lease_margin: Duration::from_secs(60),
            settle: Duration::from_secs(5),
            burst: burst::Limits::default(),
            closing: correlation::Closing::default(),
            canary: Some(canary::Limits::default()),
        }
    }
}
