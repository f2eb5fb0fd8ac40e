//! Settings of a local doctor.

use std::path::PathBuf;
use std::time::Duration;

use crate::kernel::Roots;
use crate::klog::scan::Trust;

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
    /// The machine's own files; none: only what the agent tells of its services.
    pub local: Option<Local>,
}

/// What else of the machine is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// Where the kernel's files are.
    pub roots: Roots,
    /// The agent's socket of the kernel log.
    pub kmsg_socket: Option<PathBuf>,
    /// Rules of the kernel log beside those built in.
    pub rules_dir: Option<PathBuf>,
    /// Where it keeps what it saw between two lives.
    pub state_dir: Option<PathBuf>,
    /// Time servers the clock is compared with, `HOST[:PORT]`.
    pub time_servers: Vec<String>,
    /// File that names the resolvers.
    pub resolv_conf: Option<PathBuf>,
    /// Which lines and devices count.
    pub trust: Trust,
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
            local: None,
        }
    }
}
