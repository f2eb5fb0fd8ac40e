//! One module per command.

mod agent;
mod controllers;
mod doctor;
mod down;
mod machine;
mod problem;
mod run;
mod status;
mod story;
mod up;

use std::future::Future;

use clap::CommandFactory as _;
use muster_base::clock::{SharedClock, SystemClock};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, MachineCommand, ProblemCommand, RunCommand};
use crate::failure::Failure;
use crate::output;

/// Does what the command line says.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Up(args) => service(up::run(args)),
        Command::Down(args) => wait(down::run(args)),
        Command::Status(args) => wait(status::run(args)),
        Command::Agent(args) => service(agent::run(args)),
        Command::Doctor(args) => doctor::run(args),
        Command::Controllers(args) => service(controllers::run(args)),
        Command::Machine(MachineCommand::List(args)) => wait(machine::list(args)),
        Command::Machine(MachineCommand::Show(args)) => wait(machine::show(args)),
        Command::Machine(MachineCommand::History(args)) => wait(story::history(args)),
        Command::Machine(MachineCommand::Import(args)) => wait(machine::import(args)),
        Command::Problem(ProblemCommand::List(args)) => wait(problem::list(args)),
        Command::Problem(ProblemCommand::Show(args)) => wait(problem::show(args)),
        Command::Run(RunCommand::List(args)) => wait(run::list(args)),
        Command::Run(RunCommand::Show(args)) => wait(run::show(args)),
        Command::Version => output::text(concat!("muster ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "muster", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// The clock of the process.
pub(crate) fn clock() -> SharedClock {
    std::sync::Arc::new(SystemClock)
}

/// Runs a command that ends by itself.
fn wait(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start the runtime", &error))?
        .block_on(work)
}

/// Runs a command that stays, with a log on standard error.
pub(crate) fn service(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start the runtime", &error))?
        .block_on(work)
}

/// The name of this machine: the given one, else its host name in the syntax of object names.
pub(crate) fn machine_name(given: Option<String>) -> Result<String, Failure> {
    if let Some(name) = given {
        return Ok(name);
    }
    let host =
        nix::unistd::gethostname().map_err(|error| Failure::failed("cannot read the host name", &error))?;
    let name = host.to_string_lossy().to_lowercase();
    let fine = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
    if fine && !name.is_empty() {
        return Ok(name);
    }
    Err(Failure::Refused(format!(
        "the host name {name:?} cannot be the name of a machine; give one with --machine"
    )))
}
