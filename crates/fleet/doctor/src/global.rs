//! The global doctor: sees what no machine sees of itself, and files Problems. It does nothing else.
//!
//! - [`silent`]: a machine in service whose signs of life stopped (`machine.silent`);
//! - [`unreachable`]: a management controller that does not answer (`bmc.unreachable`);
//! - [`slow`]: a machine that does less than its like (`slow`);
//! - [`vouch`]: a state that its doctor does not vouch for any more is `Unknown`, never silently healthy or sick;
//! - [`correlate`]: many that fail together have one Problem (`correlated.*`), which holds theirs;
//! - [`canary`]: a harmless fault that is made up, to see that it is answered.
//!
//! All of it moves by change: a machine that is well costs one write into a map for each of its signs of life.

mod canary;
mod config;
mod correlate;
mod desk;
mod metrics;
pub mod plan;
mod silent;
mod slow;
mod unreachable;
mod view;
mod vouch;
mod world;

use jiff::Timestamp;
use muster_base::clock::SharedClock;
use muster_base::task::Tasks;
use muster_control::{Informers, Sweep};
use tokio::time::Instant;

pub use config::Config;
use desk::Desk;
pub use metrics::Metrics;
use world::World;

/// What each part stands on.
#[derive(Clone)]
struct Context {
    informers: Informers,
    clock: SharedClock,
    tasks: Tasks,
    metrics: muster_control::Metrics,
    config: Config,
    desk: Desk,
    world: World,
    steady: Steady,
}

/// The time by a clock that nobody sets: silence is measured by it.
#[derive(Clone, Copy)]
struct Steady {
    at: Timestamp,
    began: Instant,
}

impl Steady {
    fn now(self) -> Timestamp {
        self.at.checked_add(self.began.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

/// Starts the global doctor, under the identity of `informers`; it ends with `tasks`. Only the leader may do so.
pub fn start(
    informers: &Informers,
    clock: &SharedClock,
    tasks: &Tasks,
    metrics: &muster_control::Metrics,
    counts: &Metrics,
    config: Config,
) {
    let context = Context {
        informers: informers.clone(),
        clock: SharedClock::clone(clock),
        tasks: tasks.clone(),
        metrics: metrics.clone(),
        desk: Desk::new(informers, config.lease),
        world: World::new(informers),
        steady: Steady { at: clock.now(), began: Instant::now() },
        config,
    };
    counts.follow(&context.desk.problems);
    let sweep = Sweep::new("globaldoctor", context.config.sweep_every, metrics.clone())
        .refreshing(&context.world.machines)
        .refreshing(&context.world.racks)
        .refreshing(&context.world.inventories);
    let sweep = silent::start(&context, sweep);
    let sweep = unreachable::start(&context, sweep);
    let sweep = vouch::start(&context, sweep);
    slow::start(&context);
    correlate::start(&context, counts);
    if let Some(limits) = context.config.canary {
        canary::start(&context, counts, limits);
    }
    sweep.start(tasks);
}
