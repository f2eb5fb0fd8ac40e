//! Management controllers that do not answer, by what the actor that speaks with them wrote down.

use std::time::Duration;

use kube::ResourceExt as _;
use muster_api::problem::{ProblemStatus, State};
use muster_api::{BmcReading, Machine};
use muster_base::clock::elapsed;
use muster_control::{Cause, Change, Driver, Informer, ObjectKey, Outcome, Pass, Queue, Sweep};

use super::plan::burst::UNREACHABLE;
use super::plan::record;
use super::plan::standing::{Controller, controller, maintained_until};
use super::{Context, desk};

const NAME: &str = "controllers";
const WORKERS: usize = 4;

struct Watcher {
    context: Context,
    readings: Informer<BmcReading>,
}

pub(super) fn start(context: &Context, sweep: Sweep) -> Sweep {
    let watcher = Watcher { context: context.clone(), readings: context.informers.of() };
    let (queue, readings) = (Queue::new(), watcher.readings.clone());
    let to = queue.clone();
    readings.on_change(move |change| {
        if matters(change) {
            to.add(change.key.clone(), Cause::Watch);
        }
    });
    let to = queue.clone();
    context.desk.problems.on_change(move |change| {
        let first =
            change.new.as_ref().filter(|problem| change.old.is_none() && problem.spec.class == UNREACHABLE);
        if let Some(problem) = first {
            to.add(ObjectKey::cluster(&problem.spec.machine), Cause::Watch);
        }
    });
    Driver::new(NAME, context.metrics.clone()).workers(WORKERS).start(&context.tasks, &queue, watcher);
    sweep.refreshing(&readings)
}

/// A controller that answers, now as before, is of no interest.
fn matters(change: &Change<BmcReading>) -> bool {
    let answers = |reading: &Option<std::sync::Arc<BmcReading>>| {
        reading.as_ref().and_then(|reading| reading.status.as_ref()).is_none_or(|status| status.reachable)
    };
    !answers(&change.old) || !answers(&change.new)
}

impl Watcher {
    fn controller(&self, machine: &Machine) -> Controller {
        let now = self.context.clock.now();
        if machine.spec.bmc.is_none() {
            return Controller::Answers(jiff::Timestamp::MIN);
        }
        let reading = self.readings.get(&ObjectKey::of(machine)).and_then(|reading| reading.status.clone());
        let config = &self.context.config;
        controller(&reading.unwrap_or_default(), config.bmc_failures, config.bmc_stale, now)
    }

    fn filed(&self, machine: &str) -> Option<ProblemStatus> {
        self.context.desk.filed(&desk::spec(machine, UNREACHABLE))?.status.clone()
    }

    async fn silent(&self, machine: &Machine, text: String) -> Result<Outcome, kube::Error> {
        let (name, lease) = (machine.name_any(), self.context.desk.lease);
        let again = lease / 3;
        let now = self.context.clock.now();
        let filed = self.filed(&name).filter(|status| status.state == State::Open);
        let vouched =
            filed.and_then(|status| status.lease_until).map_or(Duration::ZERO, |until| elapsed(now, until));
        if lease - again < vouched {
            return Ok(Outcome::IDLE.again_after(vouched - (lease - again)));
        }
        let seen = |before: Option<&ProblemStatus>| Some(record::seen(before, text, lease, now));
        self.context.desk.file(&desk::spec(&name, UNREACHABLE), seen).await?;
        Ok(Outcome::ACTED.again_after(again))
    }

    async fn answers(&self, machine: &Machine, since: jiff::Timestamp) -> Result<Outcome, kube::Error> {
        let name = machine.name_any();
        let now = self.context.clock.now();
        if self.filed(&name).is_none_or(|status| status.state == State::Clear) {
            return Ok(Outcome::IDLE);
        }
        let left = self.context.config.bmc_quiet.saturating_sub(elapsed(since, now));
        if !left.is_zero() {
            return Ok(Outcome::IDLE.again_after(left));
        }
        let gone = |before: Option<&ProblemStatus>| record::gone(before, now);
        self.context.desk.file(&desk::spec(&name, UNREACHABLE), gone).await?;
        Ok(Outcome::ACTED)
    }
}

impl Pass for Watcher {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.context.world.machines.ready().await;
        self.context.desk.problems.ready().await;
        let machines = &self.context.world.machines;
        let Some(mut machine) = machines.get(key) else { return Ok(Outcome::IDLE) };
        let mut told = self.controller(&machine);
        if matches!(told, Controller::Silent(_)) {
            // The watch may be behind: nothing is said before the API was asked.
            self.readings.read(key).await?;
            let Some(fresh) = machines.read(key).await? else { return Ok(Outcome::IDLE) };
            machine = fresh;
            told = self.controller(&machine);
        }
        match told {
            Controller::Unknown => Ok(Outcome::IDLE),
            Controller::Answers(since) => self.answers(&machine, since).await,
            Controller::Silent(text) => {
                let (now, grace) = (self.context.clock.now(), self.context.config.maintenance_grace);
                let is_new = self.filed(&key.name).is_none_or(|status| status.state == State::Clear);
                match maintained_until(&machine.spec, grace, now).filter(|_| is_new) {
                    Some(until) => Ok(Outcome::IDLE.again_after(elapsed(now, until))),
                    None => self.silent(&machine, text).await,
                }
            }
        }
    }
}
