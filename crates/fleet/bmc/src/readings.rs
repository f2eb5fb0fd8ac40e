//! Reads the controllers and writes what they tell: power often, the rest rarely, and only what changed or grew old.

mod plan;

use std::collections::HashMap;
use std::time::Duration;

use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use muster_api::inventory::bmc::{BmcReading, BmcReadingSpec};
use muster_api::{MACHINE_LABEL, Machine};
use muster_base::backoff::Backoff;
use muster_base::clock::elapsed;
use muster_control::{
    Acted, Cause, Driver, Informer, Next, ObjectKey, Outcome, Pass, Queue, Sweep, is_conflict,
};
use parking_lot::Mutex;

use self::plan::{Detail, Told};
use crate::Context;
use crate::bmc::{Read, ReadError};
use crate::line;
use crate::pacing::Purpose;

const WORKERS: usize = 16;
const CROWDED: Duration = Duration::from_secs(1);
const SILENT_READ_MAX: Duration = Duration::from_secs(300);

struct Reader {
    context: Context,
    machines: Informer<Machine>,
    readings: Informer<BmcReading>,
    /// When each controller was last asked, and how often it has failed since.
    asked: Mutex<HashMap<String, (jiff::Timestamp, u32)>>,
}

pub(crate) fn start(context: &Context) {
    let reader = Reader {
        context: context.clone(),
        machines: context.informers.of(),
        readings: context.informers.of(),
        asked: Mutex::default(),
    };
    let queue = Queue::new();
    let to = queue.clone();
    reader.machines.on_change(move |change| {
        let bmc =
            |machine: &Option<std::sync::Arc<Machine>>| machine.as_ref().and_then(|m| m.spec.bmc.clone());
        if bmc(&change.old) != bmc(&change.new) {
            to.add(change.key.clone(), Cause::Watch);
        }
    });
    Sweep::new("bmc-readings", context.config.sweep_every, context.metrics.clone())
        .refreshing(&reader.machines)
        .refreshing(&reader.readings)
        .start(&context.tasks);
    Driver::new("bmc-readings", context.metrics.clone()).workers(WORKERS).start(
        &context.tasks,
        &queue,
        reader,
    );
}

impl Reader {
    /// How long until the controller is to be asked again. A former life of this process may have asked it just now.
    fn due_in(&self, name: &str) -> Duration {
        let written = || {
            let status = self.readings.get(&ObjectKey::cluster(name))?.status.clone()?;
            Some((status.observed_at?, status.failures))
        };
        let asked = self.asked.lock().get(name).copied();
        let Some((at, failures)) = asked.or_else(written) else { return Duration::ZERO };
        let every = self.context.config.read_every;
        let wait = Backoff::new(every, SILENT_READ_MAX.max(every)).base(failures.max(1));
        wait.saturating_sub(elapsed(at, self.context.clock.now()))
    }

    async fn told(&self, machine: &Machine, wants_detail: bool) -> Option<Read<Told>> {
        let line = match line::open(&self.context, machine, self.context.config.request_timeout).await {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        let turn = self.context.gates.enter(&line.address.controller(), Purpose::Reading).await.ok()?;
        let power = line.bmc.power().await;
        let answered = !matches!(power, Err(ReadError::Silent(_)));
        turn.end(answered);
        let power = match power {
            Ok(power) => power,
            Err(error) => return Some(Err(error)),
        };
        if !wants_detail {
            return Some(Ok(Told { power, detail: None }));
        }
        // The rest has time where an order waits for this controller.
        let Ok(turn) = self.context.gates.enter(&line.address.controller(), Purpose::Reading).await else {
            return Some(Ok(Told { power, detail: None }));
        };
        let identity = line.bmc.identity().await;
        // Many controllers lack one or the other: what cannot be read stays as it was.
        let (sensors, events) = (line.bmc.sensors().await, line.bmc.events().await);
        turn.end(true);
        let detail = Detail { identity: identity.ok(), sensors: sensors.ok(), events: events.ok() };
        Some(Ok(Told { power, detail: Some(detail) }))
    }

    async fn write(
        &self,
        machine: &Machine,
        old: Option<&BmcReading>,
        written: BmcReading,
    ) -> Result<(), kube::Error> {
        let api: Api<BmcReading> = Api::all(self.context.client.clone());
        let name = machine.name_any();
        let there = match old {
            Some(old) => old.clone(),
            None => {
                let mut fresh = BmcReading::new(&name, BmcReadingSpec {});
                fresh.labels_mut().insert(MACHINE_LABEL.to_owned(), name.clone());
                match api.create(&PostParams::default(), &fresh).await {
                    Ok(there) => there,
                    Err(error) if is_conflict(&error) => api.get(&name).await?,
                    Err(error) => return Err(error),
                }
            }
        };
        let written = BmcReading { status: written.status, ..there };
        api.replace_status(&name, &PostParams::default(), &written).await.map(|_| ())
    }
}

impl Pass for Reader {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.machines.ready().await;
        self.readings.ready().await;
        let machine = self.machines.get(key).filter(|machine| machine.spec.bmc.is_some());
        let Some(machine) = machine else {
            self.asked.lock().remove(&key.name);
            return Ok(Outcome::IDLE);
        };
        let wait = self.due_in(&key.name);
        if !wait.is_zero() {
            return Ok(Outcome::IDLE.again_after(wait));
        }
        let old = self.readings.get(key);
        let status = old.as_ref().and_then(|old| old.status.clone());
        let began = self.context.clock.now();
        let wants_detail = plan::wants_detail(status.as_ref(), began, self.context.config.detail_every);
        let Some(told) = self.told(&machine, wants_detail).await else {
            return Ok(Outcome::IDLE.again_after(CROWDED));
        };
        let now = self.context.clock.now();
        let failures = self.asked.lock().get(&key.name).map_or(0, |(_, failures)| *failures);
        let failures = if told.is_ok() { 0 } else { failures + 1 };
        self.asked.lock().insert(key.name.clone(), (now, failures));
        let new = plan::merge(status.as_ref(), told, now);
        let next = Next::After(self.due_in(&key.name));
        if !plan::is_worth_writing(status.as_ref(), &new, self.context.config.detail_every) {
            return Ok(Outcome { acted: Acted::Nothing, next });
        }
        let reading = BmcReading { status: Some(new), ..BmcReading::new(&key.name, BmcReadingSpec {}) };
        self.write(&machine, old.as_deref(), reading).await?;
        Ok(Outcome { acted: Acted::Something, next })
    }
}
