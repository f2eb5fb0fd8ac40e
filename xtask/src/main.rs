//! Development tasks: `cargo xtask help` lists them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

mod check;
mod conformance;
mod tables;
mod tidy;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of Muster", version)]
enum Task {
    /// Format, lints, tests and tidy: what a commit must pass.
    Check,
    /// The rules that no compiler knows: dependencies between crates, sizes, comments, named paths, words.
    Tidy,
    /// The real [Conformance] specs of Kubernetes against a cluster; keeps tests/conformance/passing.txt.
    Conformance(conformance::Options),
    /// Generate the tables of built-in types from what Kubernetes publishes.
    Tables(tables::Args),
}

fn main() -> ExitCode {
    let task = Task::parse();
    let outcome = root().and_then(|root| match task {
        Task::Check => check::run(&root),
        Task::Tidy => tidy::run(&root).map_err(|error| error.to_string()),
        Task::Tables(args) => tables::run(&args).map_err(|error| error.to_string()),
        Task::Conformance(options) => conformance::run(&root, &options).map_err(|error| error.to_string()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the working tree that the task was started in.
fn root() -> Result<PathBuf, String> {
    let output = Command::new("git")
        .args(["rev-parse", "--show-toplevel"])
        .output()
        .map_err(|error| format!("git cannot be started ({error}): install git"))?;
    if !output.status.success() {
        return Err("not inside a git working tree: start this from a clone of Muster".to_owned());
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}
