//! `muster fleet`, as typed.

use clap::{Args, Subcommand, ValueEnum};
use muster_api::GoDuration;

use super::ClientArgs;
use crate::settings::KEEP_RUNS_MIN;

const REPORT_EXAMPLES: &str = "Examples:\n  muster fleet report\n  muster fleet report --since 168h -o json\n  muster fleet report -o html > report.html\n\nCounted anew from the history at each call: the same history gives the same figures.";

#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// What became of the problems: who closed them, how long it took, what each rung fixed
    #[command(after_help = REPORT_EXAMPLES)]
    Report(FleetReportArgs),
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Lines
    Table,
    /// Every figure
    Json,
    /// A page
    Html,
}

#[derive(Debug, Args)]
pub(crate) struct FleetReportArgs {
    /// Problems that opened within this time before now
    #[arg(long, value_name = "DURATION", default_value = "720h", value_parser = duration)]
    pub(crate) since: GoDuration,
    /// Output format
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: ReportFormat,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// How long runs are kept, on the command line and in the settings.
pub(crate) fn keep_runs(text: &str) -> Result<GoDuration, String> {
    let kept = duration(text)?;
    if kept.0 < KEEP_RUNS_MIN {
        return Err(format!("must be at least {}", GoDuration(KEEP_RUNS_MIN)));
    }
    Ok(kept)
}

/// Days are not of Go's notation, and everybody types them.
pub(super) fn duration(text: &str) -> Result<GoDuration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    match days {
        Some(days) => Ok(GoDuration(std::time::Duration::from_secs(days * 24 * 3600))),
        None => text.parse::<GoDuration>().map_err(|error| error.to_string()),
    }
}
