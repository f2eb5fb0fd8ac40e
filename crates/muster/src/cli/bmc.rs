//! `muster machine power` and `muster machine discover`, as typed.

use clap::{Args, ValueEnum};

use super::{ClientArgs, Format};

pub(crate) const POWER_HELP: &str = "\
What switches a machine is a Run: a machine that serves is taken out of service under a grant of the disruption \
ledger, and proves itself before it serves again; `off` leaves it out of service until `cycle`. `status` shows what \
its management controller last told.

Examples:
  muster machine power m1 status
  muster machine power m1 cycle
  muster machine power m1 off --no-wait";

pub(crate) const DISCOVER_HELP: &str = "\
Whether somebody answers is asked without credentials. With --secret, a Secret in the namespace muster-system, those \
that answer are asked what their machines are. Keys of a Secret: username, password, ca.crt, insecure, scheme, \
cipherSuite; see docs/bmc.md.

Examples:
  muster machine discover 10.0.0.0/24
  muster machine discover 10.0.0.0/24 --secret bmc --site berlin -o csv > machines.csv
  muster machine discover 10.0.0.0/24 --secret bmc --site berlin --import";

/// What is to happen to the power of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PowerVerb {
    /// Show it
    Status,
    /// Turn it on
    On,
    /// Cut it
    Off,
    /// Cut it and turn it on again, each seen
    Cycle,
    /// Press the reset button, once
    Reset,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PowerArgs {
    /// Name of the machine
    pub(crate) name: String,
    /// What to do
    pub(crate) verb: PowerVerb,
    /// Return when the Run is created
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Output format of `status`
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// How what was found is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FoundFormat {
    /// Columns
    Table,
    /// Rows for `muster machine import`
    Csv,
    /// A Kubernetes List of Machines
    Json,
    /// The same as YAML
    Yaml,
}

/// A protocol to ask by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AskBy {
    /// Redfish
    Redfish,
    /// IPMI over LAN
    Ipmi,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DiscoverArgs {
    /// Network such as 10.0.0.0/24, a /16 at most, or one address
    pub(crate) range: String,
    /// Protocols to ask by; the first that is answered counts
    #[arg(long, value_enum, value_delimiter = ',', default_value = "redfish,ipmi")]
    pub(crate) protocol: Vec<AskBy>,
    /// Secret in muster-system with the credentials of the controllers
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) secret: String,
    /// Site of the machines
    #[arg(long, value_name = "SITE", default_value = "")]
    pub(crate) site: String,
    /// Create a Machine for each that is found and not yet known; needs --site and --secret
    #[arg(long)]
    pub(crate) import: bool,
    /// Port of Redfish
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    pub(crate) redfish_port: u16,
    /// Port of IPMI
    #[arg(long, value_name = "PORT", default_value_t = 623)]
    pub(crate) ipmi_port: u16,
    /// How long one answer may take
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    pub(crate) timeout: muster_api::GoDuration,
    /// Output format
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: FoundFormat,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
