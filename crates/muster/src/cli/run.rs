//! `muster run …`, as typed.

use clap::{Args, Subcommand};

use super::{ClientArgs, OutputArgs, ShowArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List runs
    #[command(after_help = "Example:\n  muster run list")]
    List(OutputArgs),
    /// Show one run with its steps
    #[command(after_help = "Example:\n  muster run show repair-m1.runtime.hung-1")]
    Show(ShowArgs),
    /// Do a workflow on a machine
    #[command(after_help = "Example:\n  muster run start update-firmware --machine m1 --param version=1.4")]
    Start(RunStartArgs),
    /// Say which actions a workflow would do on a machine, or which ones a run has done
    #[command(
        after_help = "Both print the same lines for the same plan.\n\nExamples:\n  muster run plan --dry-run update-firmware --machine m1 --param version=1.4\n  muster run plan update-firmware-m1-1"
    )]
    Plan(RunPlanArgs),
    /// Begin no further step of a run until it is resumed
    #[command(after_help = "Example:\n  muster run pause repair-m1.runtime.hung-1")]
    Pause(RunArgs),
    /// Go on with a paused run
    #[command(after_help = "Example:\n  muster run resume repair-m1.runtime.hung-1")]
    Resume(RunArgs),
    /// Try again what failed in a run that has ended
    #[command(
        after_help = "What succeeded is not done again; what is ambiguous is, on your word.\n\nExample:\n  muster run retry repair-m1.runtime.hung-1"
    )]
    Retry(RunArgs),
    /// End a run as soon as the step at hand has ended
    #[command(after_help = "Example:\n  muster run cancel repair-m1.runtime.hung-1")]
    Cancel(RunArgs),
    /// Take back what a run has done, last step first
    #[command(
        after_help = "Steps whose workflow says how they are undone are; a second undo changes nothing.\n\nExample:\n  muster run undo update-firmware-m1-1"
    )]
    Undo(RunArgs),
    /// Allow a step of a run that waits for a person
    #[command(after_help = "Example:\n  muster run approve wipe-m1-1 --step erase")]
    Approve(RunApproveArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Name of the run
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunStartArgs {
    /// Name of the workflow
    pub(crate) workflow: String,
    /// Machine it is done on
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: String,
    /// Value of a parameter; may be given again
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) parameters: Vec<String>,
    /// Name of the run; else WORKFLOW-MACHINE-NUMBER
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunPlanArgs {
    /// Name of the workflow with --dry-run, else of the run
    pub(crate) name: String,
    /// Plan the workflow and do nothing
    #[arg(long, requires = "machine")]
    pub(crate) dry_run: bool,
    /// Machine it would be done on
    #[arg(long, value_name = "NAME", requires = "dry_run")]
    pub(crate) machine: Option<String>,
    /// Value of a parameter; may be given again
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "dry_run")]
    pub(crate) parameters: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunApproveArgs {
    /// Name of the run
    pub(crate) name: String,
    /// Step that is allowed
    #[arg(long, value_name = "STEP")]
    pub(crate) step: String,
    /// Who allows it; else the name you are known by to the cluster
    #[arg(long, value_name = "PERSON")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
