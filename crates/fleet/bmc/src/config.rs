use std::time::Duration;

/// How the actor works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often everything is looked at, changed or not.
    pub sweep_every: Duration,
    /// Controllers spoken with at once.
    pub concurrency: usize,
    /// Least time between two requests to one controller.
    pub spacing: Duration,
    /// One request may take so long.
    pub request_timeout: Duration,
    /// How often the power state of a machine is read.
    pub read_every: Duration,
    /// How often identity, sensors and event log are read.
    pub detail_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sweep_every: Duration::from_secs(15 * 60),
            concurrency: 64,
            spacing: Duration::from_millis(10),
            request_timeout: Duration::from_secs(10),
            read_every: Duration::from_secs(60),
            detail_every: Duration::from_secs(300),
        }
    }
}
