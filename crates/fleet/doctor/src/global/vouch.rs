//! States that nobody vouches for any more become `Unknown`.
//!
//! The doctor that returns writes its own state again: this writes only where its word ran out a good while ago, where it
//! changed nothing for a good while, and where the API itself says the same as the watch.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use muster_api::problem::ProblemStatus;
use muster_base::clock::{SharedClock, elapsed};
use muster_control::{Driver, ObjectKey, Outcome, Pass, Queue, Sweep};
use parking_lot::Mutex;

use super::Context;
use super::plan::record;
use super::plan::standing::runs_out;

const NAME: &str = "vouching";
const WORKERS: usize = 4;

struct Notary {
    context: Context,
    /// When each problem that is vouched for was changed last, by the own clock.
    changed: Arc<Mutex<HashMap<String, Timestamp>>>,
    deaf: AtomicBool,
    /// Since when the API answers.
    floor: Mutex<Timestamp>,
}

pub(super) fn start(context: &Context, sweep: Sweep) -> Sweep {
    let notary = Notary {
        context: context.clone(),
        changed: Arc::default(),
        deaf: AtomicBool::new(false),
        floor: Mutex::new(context.steady.now()),
    };
    let queue = Queue::new();
    let (to, changed) = (queue.clone(), Arc::clone(&notary.changed));
    let (steady, clock) = (context.steady, SharedClock::clone(&context.clock));
    let margin = context.config.lease_margin;
    context.desk.problems.on_change(move |change| {
        let status = change.new.as_ref().and_then(|problem| problem.status.as_ref());
        let Some(due) = status.and_then(|status| runs_out(status, margin)) else {
            changed.lock().remove(&change.key.name);
            return;
        };
        changed.lock().insert(change.key.name.clone(), steady.now());
        to.add_after(change.key.clone(), elapsed(clock.now(), due).max(margin));
    });
    Driver::new(NAME, context.metrics.clone()).workers(WORKERS).start(&context.tasks, &queue, notary);
    sweep.refreshing(&context.desk.problems)
}

impl Notary {
    /// How long until the state counts as unknown.
    fn left(&self, name: &str, status: &ProblemStatus) -> Option<std::time::Duration> {
        let margin = self.context.config.lease_margin;
        let due = runs_out(status, margin)?;
        let changed = self.changed.lock().get(name).copied();
        let unchanged =
            elapsed(changed.unwrap_or(Timestamp::MIN).max(*self.floor.lock()), self.context.steady.now());
        let left = elapsed(self.context.clock.now(), due);
        Some(left.max(margin.saturating_sub(unchanged)))
    }
}

impl Pass for Notary {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        let margin = self.context.config.lease_margin;
        let Some(problem) = self.context.desk.problems.get(key) else { return Ok(Outcome::IDLE) };
        let Some(left) = problem.status.as_ref().and_then(|status| self.left(&key.name, status)) else {
            return Ok(Outcome::IDLE);
        };
        if !left.is_zero() {
            return Ok(Outcome::IDLE.again_after(left));
        }
        if self.deaf.load(Ordering::Relaxed) {
            // Doctors could not write either.
            self.context.desk.problems.read(key).await?;
            self.deaf.store(false, Ordering::Relaxed);
            *self.floor.lock() = self.context.steady.now();
            return Ok(Outcome::IDLE.again_after(margin));
        }
        let now = self.context.clock.now();
        let vouched = problem.status.as_ref().and_then(|status| status.lease_until);
        let unknown = |there: Option<&ProblemStatus>| {
            let there = there.filter(|there| there.lease_until == vouched)?;
            runs_out(there, margin).filter(|due| *due <= now).map(|_| record::unknown(there, now))
        };
        match self.context.desk.file(&problem.spec, unknown).await {
            Ok(true) => Ok(Outcome::ACTED),
            Ok(false) => Ok(Outcome::IDLE.again_after(margin)),
            Err(error) => {
                self.deaf.store(!matches!(error, kube::Error::Api(_)), Ordering::Relaxed);
                Err(error)
            }
        }
    }
}
