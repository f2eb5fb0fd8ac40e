//! One module per command.

mod agent;
mod controllers;
mod disruption;
mod doctor;
mod down;
mod fleet;
mod history;
mod machine;
mod objects;
mod run;
mod status;
mod up;

use std::future::Future;

use clap::CommandFactory as _;
use muster_api::{Disruption, DisruptionBudget, Machine, MachineClaim, Problem};
use muster_base::clock::{SharedClock, SteadyClock, SystemClock};
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use crate::cli::doctor::DoctorCommand;
use crate::cli::fleet::FleetCommand;
use crate::cli::history::HistoryCommand;
use crate::cli::intake::{ClaimCommand, TokenCommand};
use crate::cli::sim::SimCommand;
use crate::cli::{Cli, Command, ConfigCommand, DisruptionCommand, MachineCommand, ProblemCommand};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// Does what the command line says.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Up(args) => {
            let settings = up::settings(args)?;
            service(&settings.log.clone(), up::run(settings))
        }
        Command::Down(args) => wait(down::run(args)),
        Command::Status(args) => wait(status::run(args)),
        Command::Agent(args) => service(LOG, agent::run(args)),
        Command::Doctor(mut args) => match args.command.take() {
            Some(DoctorCommand::Replay(args)) => wait(doctor::replay::run(args)),
            None => doctor::run(args),
        },
        Command::Controllers(args) => service(LOG, controllers::run(args)),
        Command::Machine(MachineCommand::List(args)) => wait(machine::list(args)),
        Command::Machine(MachineCommand::Show(args)) => wait(objects::show::<Machine>(args)),
        Command::Machine(MachineCommand::History(args)) => wait(history::story::history(args)),
        Command::Machine(MachineCommand::Power(args)) => wait(machine::power::run(args)),
        Command::Machine(MachineCommand::Discover(args)) => wait(machine::discover::run(args)),
        Command::Machine(MachineCommand::Import(args)) => wait(machine::import(args)),
        Command::Machine(MachineCommand::Retire(args)) => wait(machine::retire(args)),
        Command::Claim(ClaimCommand::List(args)) => wait(objects::list::<MachineClaim>(args)),
        Command::Claim(ClaimCommand::Show(args)) => wait(objects::show::<MachineClaim>(args)),
        Command::Token(TokenCommand::Create(args)) => wait(machine::token::create(args)),
        Command::Token(TokenCommand::List(args)) => wait(machine::token::list(args)),
        Command::Token(TokenCommand::Revoke(args)) => wait(machine::token::revoke(args)),
        Command::Problem(ProblemCommand::List(args)) => wait(objects::list::<Problem>(args)),
        Command::Problem(ProblemCommand::Show(args)) => wait(objects::show::<Problem>(args)),
        Command::Run(command) => wait(run::run(command)),
        Command::Config(ConfigCommand::Show { config }) => {
            output::text(&Settings::read(config.as_deref())?.to_yaml())
        }
        Command::History(HistoryCommand::Show(args)) => wait(history::show(args)),
        Command::History(HistoryCommand::Verify(args)) => wait(history::verify(args)),
        Command::Pause(args) => wait(disruption::pause::pause(args)),
        Command::Resume(args) => wait(disruption::pause::resume(args)),
        Command::Disruption(DisruptionCommand::List(args)) => wait(objects::list::<Disruption>(args)),
        Command::Disruption(DisruptionCommand::Show(args)) => wait(objects::show::<Disruption>(args)),
        Command::Disruption(DisruptionCommand::Budgets(args)) => {
            wait(objects::list::<DisruptionBudget>(args))
        }
        Command::Fleet(FleetCommand::Report(args)) => wait(fleet::run(args)),
        Command::Sim(SimCommand::Fleet(args)) => fleet::sim::fleet(&args),
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

/// The clock of a control plane: deadlines and leases are those of many, and do not jump when this machine's clock is set.
pub(crate) fn steady_clock() -> SharedClock {
    std::sync::Arc::new(SteadyClock::new())
}

/// Runs a command that ends by itself.
fn wait(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    on(&mut Builder::new_current_thread(), work)
}

/// What is logged where nothing else is said.
const LOG: &str = "info";

/// Runs a command that stays, with a log on standard error.
fn service(log: &str, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    service_on(&mut Builder::new_multi_thread(), log, work)
}

/// The same, on the threads of the builder.
fn service_on(
    builder: &mut Builder,
    log: &str,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(log)
        .map_err(|error| Failure::Refused(format!("{log:?} is no filter of the log: {error}")))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    on(builder, work)
}

fn on(builder: &mut Builder, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime =
        builder.enable_all().build().map_err(|error| Failure::failed("cannot start the runtime", &error))?;
    runtime.block_on(work)
}

/// The name of this machine: the given one, else its host name in the syntax of object names.
pub(crate) fn machine_name(given: Option<String>) -> Result<String, Failure> {
    if let Some(name) = given {
        return checked_machine_name(name).map_err(|fault| Failure::Refused(format!("--machine: {fault}")));
    }
    let host =
        nix::unistd::gethostname().map_err(|error| Failure::failed("cannot read the host name", &error))?;
    checked_machine_name(host.to_string_lossy().to_lowercase())
        .map_err(|fault| Failure::Refused(format!("the host name {fault}; or give another with --machine")))
}

/// The name, if an object may bear it.
pub(crate) fn checked_machine_name(name: String) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fine = name.len() <= 253 && name.chars().all(inner) && name.starts_with(edge) && name.ends_with(edge);
    if fine {
        return Ok(name);
    }
    Err(format!("{name:?} is no name of a machine: use lower case letters, digits, '-' and '.'"))
}
