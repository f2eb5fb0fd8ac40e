//! What is typed about the history.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{ClientArgs, OutputArgs};

pub(super) const LIST_EXAMPLES: &str = r#"Examples:
  muster machine list -o wide
  muster machine list --where 'machine.spec.role == "storage" && inventory.memoryGiB < 256'
  muster machine list --as-of 2026-11-01T14:05:00Z --group-by site

A condition is CEL over `machine` and `inventory`. A machine without a field that the condition needs does not match; ask `has(machine.spec.role)` where it may be absent."#;

pub(super) const HISTORY_EXAMPLES: &str = r#"Examples:
  muster machine history m1
  muster machine history m1 --field spec.role
  muster machine history m1 --all --since 2026-11-01T00:00:00Z -o json

Give a reason for a change with --reason, or in the annotation muster.dev/reason of the object as you write it."#;

const SHOW_EXAMPLES: &str = "Examples:\n  muster history show MachineRole storage\n  muster history show Problem m1.disk.media_error --field status.state";

const VERIFY_EXAMPLES: &str = r"Examples:
  muster history verify
  muster history verify --anchor 184467:8f14e45f…
  muster history verify --files /backup/history

Note RECORD:CHAIN of a verification elsewhere, and give it as --anchor later: then nobody can have rewritten what was before.";

#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// Every change of one object, field by field, also after its end
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Walk the chain of all records and name the first that is not as it was written
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
}

/// Which changes.
#[derive(Debug, Clone, Args)]
pub(crate) struct RangeArgs {
    /// Only this field and what is in it, such as spec.role
    #[arg(long, value_name = "FIELD")]
    pub(crate) field: Option<String>,
    /// Only from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Timestamp>,
    /// Only up to this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// Kind: Machine, Inventory, Problem, MachineRole, Run, Site, Rack or HardwareProfile
    pub(crate) kind: String,
    /// Name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) range: RangeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StoryArgs {
    /// Name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) range: RangeArgs,
    /// Every change of every field of the machine and its inventory, one by one
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Only machines for which this holds
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) condition: Option<String>,
    /// As it was at this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<Timestamp>,
    /// Count the machines by this field: site, rack, role, profile, phase, or one such as inventory.kernel
    #[arg(long, value_name = "FIELD")]
    pub(crate) group_by: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// RECORD:CHAIN that an earlier verification told
    #[arg(long, value_name = "RECORD:CHAIN")]
    pub(crate) anchor: Option<String>,
    /// Files of a history that nobody serves, such as a backup
    #[arg(long, value_name = "DIR")]
    pub(crate) files: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// How the controllers serve the history.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Directory of the history of the machine database; keep it on a disk that lasts
    #[arg(long, default_value = "/var/lib/muster/history", value_name = "DIR")]
    pub(crate) history_dir: PathBuf,
    /// Where the webhook and the API of the history listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    pub(crate) webhook_listen: SocketAddr,
    /// Where the API server reaches them: HOST:PORT, or service/NAMESPACE/NAME[:PORT]; else where they listen
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) webhook_address: Option<muster_history::Reach>,
}

impl ServeArgs {
    pub(crate) fn config(self) -> muster_history::Config {
        muster_history::Config {
            directory: self.history_dir,
            listen: self.webhook_listen,
            reach: self.webhook_address,
        }
    }
}
