//! The workflow manager: looks at the machine database, sees what is new or wrong, and does what is to be done.
//!
//! A Run is durable: its plan is frozen in its status when it begins, a step is written as begun before its effect, and
//! every effect bears a name derived from (run, step, attempt), so that a crash after any line repeats harmlessly. This
//! crate calls no machine: it writes Orders, which the agent reads.

pub mod builtin;
mod config;
pub mod dry_run;
mod graph;
mod many;
mod parameters;
pub mod planner;
mod repair;
pub mod report;
mod run;
mod start;
mod template;

use kube::Client;
use muster_base::clock::SharedClock;
use muster_base::task::Tasks;
use muster_control::{Informers, Metrics};

pub use config::Config;
pub use repair::metrics::Metrics as RepairMetrics;

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) informers: Informers,
    pub(crate) clock: SharedClock,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Metrics,
    pub(crate) repairs: RepairMetrics,
    pub(crate) config: Config,
}

/// Starts the workflow manager; it ends with `tasks`. Only the leader may do so.
pub fn start(
    informers: &Informers,
    clock: &SharedClock,
    tasks: &Tasks,
    metrics: &Metrics,
    repairs: &RepairMetrics,
    config: Config,
) {
    let context = Context {
        client: informers.client(),
        informers: informers.clone(),
        clock: SharedClock::clone(clock),
        tasks: tasks.clone(),
        metrics: metrics.clone(),
        repairs: repairs.clone(),
        config,
    };
    template::start(&context);
    let starter = start::start(&context);
    many::start(&context, starter);
    run::start(&context);
}
