//! The settings of `muster up`: one YAML file below the command line. Every value that comes out of here is valid.

mod file;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::Failure;

/// Whether this machine is to run containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodePart {
    On,
    Off,
}

/// The shortest that runs are kept: how often a fault was repaired within a day is counted in them.
pub(crate) const KEEP_RUNS_MIN: Duration = Duration::from_secs(24 * 3600);

/// What `muster up` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    /// None: the host name.
    pub(crate) machine: Option<String>,
    pub(crate) node: NodePart,
    /// None: Muster's own containerd.
    pub(crate) container_runtime_endpoint: Option<PathBuf>,
    pub(crate) sweep_every: Duration,
    /// How long a run is kept once it has ended.
    pub(crate) keep_runs: Duration,
    /// Time servers the doctor compares the clock with.
    pub(crate) time_servers: Vec<String>,
    /// A filter in the syntax of tracing.
    pub(crate) log: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/muster".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 6443)),
            machine: None,
            node: NodePart::On,
            container_runtime_endpoint: None,
            sweep_every: Duration::from_secs(15 * 60),
            keep_runs: muster_workflow::Config::default().keep_runs,
            time_servers: Vec::new(),
            log: "info".to_owned(),
        }
    }
}

impl Settings {
    /// The settings of a file, the defaults where there is none.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(file) = file else { return Ok(Self::default()) };
        let shown = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::Refused(format!("cannot read the settings {shown}: {error}; name another with --config"))
        })?;
        file::parse(&text).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(|fault| format!("{shown}:{fault}")).collect();
            Failure::Refused(format!("the settings are not used\n{}", lines.join("\n")))
        })
    }

    /// As a file that says the same, each key with what it means.
    pub(crate) fn to_yaml(&self) -> String {
        let mut text = String::from(
            "# Settings of `muster up`. What is left out has its default, an unknown key is refused, a flag of the command line wins.\n",
        );
        for key in file::KEYS {
            write!(text, "\n# {}\n{}: {}\n", key.means, key.name, (key.get)(self))
                .expect("writing to a String cannot fail");
        }
        text
    }
}
