//! `muster sim`, as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Break and heal an imagined fleet in virtual time, and print what came of it as JSON
    #[command(
        after_help = "The planners are those of a real fleet; the machines are not. One seed gives one rehearsal.\nExit code 1: something was broken that nothing may break, or the report does not say what was true.\n\nExample:\n  muster sim fleet --machines 1000 --sites 10 --days 365 --mix mix.yaml --seed 7"
    )]
    Fleet(SimFleetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SimFleetArgs {
    /// Machines of the fleet
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) machines: u32,
    /// Sites they stand in
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) sites: u32,
    /// Days that pass
    #[arg(long, default_value_t = 30.0, value_parser = days)]
    pub(crate) days: f64,
    /// What happens to machines, and what it takes to cure it (YAML); the standard mix unless told
    #[arg(long, value_name = "FILE")]
    pub(crate) mix: Option<PathBuf>,
    /// Where chance comes from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How probable it is that a part of the control plane dies after an effect
    #[arg(long, default_value_t = 0.0, value_parser = probability)]
    pub(crate) crashes: f64,
}

fn between(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("must be from {least} to {most}")) }
}

fn days(text: &str) -> Result<f64, String> {
    between(text, 0.01, 36_500.0)
}

fn probability(text: &str) -> Result<f64, String> {
    between(text, 0.0, 0.5)
}
