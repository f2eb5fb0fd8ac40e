//! The command line, as typed.

pub(crate) mod bmc;
pub(crate) mod doctor;
pub(crate) mod fleet;
pub(crate) mod history;
pub(crate) mod intake;
mod pause;
mod run;
pub(crate) mod sim;

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use pause::{DisruptionCommand, PauseArgs, PlaceArgs, ResumeArgs};
pub(crate) use run::{RunApproveArgs, RunArgs, RunCommand, RunPlanArgs, RunStartArgs};

/// Cluster management: machines, what they are to become, who heals them.
#[derive(Debug, Parser)]
#[command(name = "muster", version, about, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole cluster on this machine
    Up(UpArgs),
    /// End Muster on this machine and remove everything it made
    Down(DownArgs),
    /// Say whether all is well (exit code 0) and what is not
    Status(ClientArgs),
    /// Run the node agent alone, against any Kubernetes; with --token it joins first
    #[command(after_help = intake::AGENT_HELP)]
    Agent(AgentArgs),
    /// Run the local doctor of one machine; it files Problems and does nothing else
    Doctor(DoctorArgs),
    /// Run the fleet controllers against any Kubernetes (1.33 or later)
    Controllers(ControllersArgs),
    /// Machines: what they are meant to be, and how far they are
    #[command(subcommand)]
    Machine(MachineCommand),
    /// Claims: so many machines of a kind, for a role
    #[command(subcommand)]
    Claim(intake::ClaimCommand),
    /// Tokens: each lets one new machine join
    #[command(subcommand)]
    Token(intake::TokenCommand),
    /// Problems: what the doctors found
    #[command(subcommand)]
    Problem(ProblemCommand),
    /// Runs: what the workflow manager does and did
    #[command(subcommand)]
    Run(RunCommand),
    /// Settings of `muster up`
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The history of the machine database: what changed, who, why; and whether it is whole
    #[command(subcommand)]
    History(history::HistoryCommand),
    /// Begin nothing disruptive any more, everywhere or in one site, and say what is held
    #[command(
        after_help = "What was begun is brought to its end; everything else is held, and nothing is lost. It holds within a second.\n\nExamples:\n  muster pause --reason 'smoke in the hall'\n  muster pause --site berlin\n  muster pause --machine m1 --for 2h --reason forensics"
    )]
    Pause(PauseArgs),
    /// Go on after a pause; everything held is looked at again first
    #[command(
        after_help = "Examples:\n  muster resume\n  muster resume --site berlin\n  muster resume --machine m1"
    )]
    Resume(ResumeArgs),
    /// Disruptions: who may disturb which machine, and who waits for what
    #[command(subcommand)]
    Disruption(DisruptionCommand),
    /// The fleet as a whole
    #[command(subcommand)]
    Fleet(fleet::FleetCommand),
    /// Rehearse the repair of a fleet that is imagined
    #[command(subcommand)]
    Sim(sim::SimCommand),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completion {
        /// Shell to complete for
        shell: Shell,
    },
}

/// An empty variable of the environment is none.
fn maybe_empty() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Where the data directory is.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataDir {
    /// Data directory
    #[arg(long, default_value = "/var/lib/muster", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

/// How a client finds its cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Kubeconfig; else $KUBECONFIG, else the one in the data directory
    #[arg(long, value_name = "FILE", env = "KUBECONFIG", value_parser = maybe_empty())]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns
    Table,
    /// More columns
    Wide,
    /// A Kubernetes object or List
    Json,
    /// The same as YAML
    Yaml,
}

/// Format of lists, shows and histories.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// Output format
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// Settings in YAML; `muster config show` prints them with what each means
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data directory [default: /var/lib/muster]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address of the API [default: 127.0.0.1:6443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Use this container runtime instead of Muster's own containerd
    #[arg(long, value_name = "SOCKET")]
    pub(crate) container_runtime_endpoint: Option<PathBuf>,
    /// Name of this machine; else its host name
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    /// Run the control plane alone, no containers on this machine
    #[arg(long)]
    pub(crate) without_node: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings of `muster up`, each with what it means; the defaults unless a file is given
    Show {
        /// Settings in YAML; every fault in it is told
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Also delete the data directory
    #[arg(long)]
    pub(crate) purge: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Use this container runtime instead of Muster's own containerd
    #[arg(long, value_name = "SOCKET")]
    pub(crate) container_runtime_endpoint: Option<PathBuf>,
    /// Name of this machine; else its host name
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    /// Address of this node, where the API server reaches it; else the one from which it reaches --server, else 127.0.0.1
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) node_address: Option<std::net::Ipv4Addr>,
    #[command(flatten)]
    pub(crate) join: intake::JoinArgs,
    /// Time server the doctor compares the clock with; may be given several times
    #[arg(long = "time-server", value_name = "HOST[:PORT]")]
    pub(crate) time_servers: Vec<String>,
    /// Program that boots this machine anew, where systemd does not run it
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) reboot_program: Option<PathBuf>,
    /// Certificate authority that signs the clients of the log endpoint; else that of the kubeconfig
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct DoctorArgs {
    /// Something else than to run it
    #[command(subcommand)]
    pub(crate) command: Option<doctor::DoctorCommand>,
    /// Kubeconfig of the doctor's own identity
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Name of the machine; else its host name
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    /// Read-only socket of the agent
    #[arg(long, default_value = "/var/lib/muster/agent/probe.sock", value_name = "SOCKET")]
    pub(crate) probe_socket: PathBuf,
    /// Directory of what it keeps between two lives; it is made and given to the user nobody
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Directory of rules of the kernel log (*.yaml), beside those built in
    #[arg(long, default_value = "/etc/muster/rules.d", value_name = "DIR")]
    pub(crate) rules_dir: PathBuf,
    /// Time server the clock is compared with; may be given several times
    #[arg(long = "time-server", value_name = "HOST[:PORT]")]
    pub(crate) time_servers: Vec<String>,
    /// File that names the resolvers
    #[arg(long, default_value = "/etc/resolv.conf", value_name = "FILE")]
    pub(crate) resolv_conf: PathBuf,
    #[command(flatten)]
    pub(crate) eyes: DoctorEyes,
    /// End when the process that started it ends
    #[arg(long, hide = true)]
    pub(crate) end_with_parent: bool,
}

/// What tests make a doctor see.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorEyes {
    /// Directory that stands for /proc
    #[arg(long, hide = true, default_value = "/proc", value_name = "DIR")]
    pub(crate) proc_root: PathBuf,
    /// Directory that stands for /sys
    #[arg(long, hide = true, default_value = "/sys", value_name = "DIR")]
    pub(crate) sysfs_root: PathBuf,
    /// Believe lines of the kernel log that the kernel did not say
    #[arg(long, hide = true)]
    pub(crate) believe_forged: bool,
    /// Look at devices without hardware too
    #[arg(long, hide = true)]
    pub(crate) watch_virtual: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ControllersArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// How often everything is looked at, changed or not
    #[arg(long, default_value = "15m", value_name = "DURATION")]
    pub(crate) sweep_every: muster_api::GoDuration,
    /// How long a run is kept once it has ended, 24h at least; what became of it stays in the history
    #[arg(long, default_value = "30d", value_name = "DURATION", value_parser = fleet::keep_runs)]
    pub(crate) keep_runs: muster_api::GoDuration,
    /// Address and port at which /metrics is answered over plain HTTP, such as 0.0.0.0:9127; else nowhere
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<std::net::SocketAddr>,
    /// Name of this process among those that compete for leadership; else host name and process id
    #[arg(long, value_name = "NAME")]
    pub(crate) identity: Option<String>,
    #[command(flatten)]
    pub(crate) history: history::ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// List machines; those of a condition, of a past time, counted by a field
    #[command(after_help = history::LIST_EXAMPLES)]
    List(history::ListArgs),
    /// Show one machine
    #[command(after_help = "Example:\n  muster machine show m1")]
    Show(ShowArgs),
    /// Tell the story of one machine: its phases, its Problems, its Runs, and who changed what it is meant to be
    #[command(after_help = history::HISTORY_EXAMPLES)]
    History(history::StoryArgs),
    /// See the power of one machine, or switch it
    #[command(after_help = bmc::POWER_HELP)]
    Power(bmc::PowerArgs),
    /// Find the management controllers in a range of addresses
    #[command(after_help = bmc::DISCOVER_HELP)]
    Discover(bmc::DiscoverArgs),
    /// End the life of one machine: it is emptied once a person agrees, and never taken into service again
    #[command(after_help = intake::RETIRE_HELP)]
    Retire(intake::RetireArgs),
    /// Bring machines in from a CSV, YAML or NetBox file; a bad row and nothing is imported
    #[command(after_help = intake::IMPORT_HELP)]
    Import(intake::ImportArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// Name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProblemCommand {
    /// List problems
    #[command(after_help = "Example:\n  muster problem list -o wide")]
    List(OutputArgs),
    /// Show one problem with its evidence
    #[command(after_help = "Example:\n  muster problem show m1.runtime.hung.containerd")]
    Show(ShowArgs),
}
