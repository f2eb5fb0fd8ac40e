//! Settings of a local doctor.

use std::path::PathBuf;
use std::time::Duration;

/// Already valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Machine it looks at.
    pub machine: String,
    /// The agent's read-only socket.
    pub probe_socket: PathBuf,
    /// Rest between two looks.
    pub look_every: Duration,
    /// How long the agent may take to answer; it gives the runtime two seconds itself.
    pub answer_within: Duration,
    /// How long a filed state is vouched for.
    pub lease: Duration,
}

impl Config {
    /// The usual rhythm, for one machine.
    pub fn new(machine: String, probe_socket: PathBuf) -> Self {
        Self {
            machine,
            probe_socket,
            look_every: Duration::from_secs(1),
            answer_within: Duration::from_secs(4),
            lease: Duration::from_secs(60),
        }
    }
}
