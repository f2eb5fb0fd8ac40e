//! The one binary: parses, wires, runs, drains. Logic lives in the other crates.

mod child;
mod cli;
mod client;
mod command;
mod failure;
mod node;
mod output;
mod plane;
mod progress;
mod rights;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure);
            failure.exit_code()
        }
    }
}

#[expect(clippy::print_stderr, reason = "errors of the command line go to standard error")]
fn report(failure: &Failure) {
    eprintln!("muster: {failure}");
}
