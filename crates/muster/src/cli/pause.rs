//! What `muster pause`, `muster resume` and `muster disruption` take.

use clap::{Args, Subcommand};
use muster_api::GoDuration;

use super::{ClientArgs, OutputArgs, ShowArgs};

/// Where: everywhere unless told otherwise.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// In this site alone
    #[arg(long, value_name = "SITE", value_parser = one_name)]
    pub(crate) site: Option<String>,
    /// This machine alone (its handsOff)
    #[arg(long, value_name = "MACHINE", conflicts_with = "site", value_parser = one_name)]
    pub(crate) machine: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Why, for those who wonder
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Who pauses; else the user of this shell
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// For how long, with --machine
    #[arg(long = "for", value_name = "DURATION", requires = "machine")]
    pub(crate) length: Option<GoDuration>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DisruptionCommand {
    /// List who may disturb which machine, who waits, and for what
    #[command(after_help = "Example:\n  muster disruption list -o wide")]
    List(OutputArgs),
    /// Show one request or grant
    #[command(after_help = "Example:\n  muster disruption show repair-m1.runtime.hung.containerd-1")]
    Show(ShowArgs),
    /// List the budgets: how many may be down, how many are, how many requests wait
    #[command(after_help = "Example:\n  muster disruption budgets")]
    Budgets(OutputArgs),
}

/// One name: never empty, never a pattern.
fn one_name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if !text.is_empty() && text.chars().all(fine) {
        return Ok(text.to_owned());
    }
    Err("exactly one name is needed, of a-z, 0-9, - and .; nothing and patterns mean nothing, never everything".to_owned())
}
