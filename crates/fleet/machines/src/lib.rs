//! The machine database: sites, machines, inventory, roles, and the disruption ledger.
//!
//! It says how far a machine is and who may disturb it. It repairs nothing, installs nothing and talks to no machine:
//! runs do that (crate `workflow`), through orders to the agent.

pub mod builtin;
mod census;
mod claim;
mod config;
pub mod history;
pub mod import;
mod join;
mod ledger;
mod machine;
pub mod planner;
mod problem;
mod profile;

use kube::Client;
use muster_base::clock::SharedClock;
use muster_base::task::Tasks;
use muster_control::{Informers, Metrics};

pub use config::Config;
pub use join::start as start_joining;

/// What each part of this crate stands on.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) informers: Informers,
    pub(crate) clock: SharedClock,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Metrics,
    pub(crate) config: Config,
}

impl Context {
    fn new(
        client: Client,
        informers: &Informers,
        clock: &SharedClock,
        tasks: &Tasks,
        metrics: &Metrics,
        config: Config,
    ) -> Self {
        Self {
            client,
            informers: informers.clone(),
            clock: SharedClock::clone(clock),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
            config,
        }
    }
}

/// Starts the controllers of the machine database; they end with `tasks`. Only the leader may do so.
pub fn start(informers: &Informers, clock: &SharedClock, tasks: &Tasks, metrics: &Metrics, config: Config) {
    let context = Context::new(informers.client(), informers, clock, tasks, metrics, config);
    machine::start(&context);
    problem::start(&context);
    ledger::start(&context);
    census::start(&context);
    profile::start(&context);
}

/// Starts serving claims, under the identity of `client`: who says what machines are to be is not who says what they
/// are. It ends with `tasks`. Only the leader may do so.
pub fn start_claims(
    client: &Client,
    informers: &Informers,
    clock: &SharedClock,
    tasks: &Tasks,
    metrics: &Metrics,
    config: &Config,
) {
    claim::start(&Context::new(client.clone(), informers, clock, tasks, metrics, config.clone()));
}
