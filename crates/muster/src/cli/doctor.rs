//! `muster doctor` and what can be asked beside it, as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use muster_api::GoDuration;

use super::ClientArgs;
use super::fleet::duration;

const REPLAY_EXAMPLES: &str = "Examples:\n  muster doctor replay my-rule.yaml --since 30d\n  muster doctor replay my-rule.yaml --log kernel.log --log db-02.json\n  journalctl -k -o json --since -30d > db-02.json\n\nWithout --log the lines are those kept as evidence in Problems: what some rule found before. Lines that no rule was about were not kept; a log has them all. Nothing is filed.";

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DoctorCommand {
    /// Replay a rule of the kernel log over what was recorded, before it may file
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
}

/// How a replay is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReplayFormat {
    /// Lines
    Table,
    /// Every figure
    Json,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReplayArgs {
    /// File of rules, in the form of those built in
    #[arg(value_name = "RULE.yaml")]
    pub(crate) rules: PathBuf,
    /// Lines of this time before now
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration)]
    pub(crate) since: GoDuration,
    /// Log of a kernel instead of the history: what dmesg or journalctl -k prints (-o short-iso, -o json); its name is that
    /// of the machine where it names none. May be given several times
    #[arg(long = "log", value_name = "FILE")]
    pub(crate) logs: Vec<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: ReplayFormat,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
