//! Machines that are slower than their like, by what each one's Inventory says that it was measured to do.

use std::sync::Arc;
use std::time::Duration;

use muster_api::inventory::InventoryStatus;
use muster_api::problem::{ProblemStatus, State};
use muster_api::{Inventory, Machine};
use muster_control::{Cause, Change, Driver, ObjectKey, Outcome, Pass, Queue};
use parking_lot::Mutex;

use super::plan::burst::SLOW;
use super::plan::peers::{Figure, Peers, Verdict};
use super::plan::record;
use super::plan::standing::{Expected, expected};
use super::{Context, desk};

const NAME: &str = "peers";
const WORKERS: usize = 4;
/// An Inventory is told anew every ten minutes: one that is not for so long says nothing any more.
const LEASE: Duration = Duration::from_secs(35 * 60);

struct Comparer {
    context: Context,
    peers: Arc<Mutex<Peers>>,
}

pub(super) fn start(context: &Context) {
    let comparer = Comparer { context: context.clone(), peers: Arc::default() };
    let (queue, peers) = (Queue::new(), Arc::clone(&comparer.peers));
    let to = queue.clone();
    context.world.inventories.on_change(move |change| {
        let (old, new) = (figure(&change.old), figure(&change.new));
        peers.lock().note(&change.key.name, old.as_ref(), new.as_ref());
        if new.is_some() && is_a_look(change) {
            to.add(change.key.clone(), Cause::Watch);
        }
    });
    Driver::new(NAME, context.metrics.clone()).workers(WORKERS).start(&context.tasks, &queue, comparer);
}

fn status(inventory: &Option<Arc<Inventory>>) -> Option<&InventoryStatus> {
    inventory.as_ref().and_then(|inventory| inventory.status.as_ref())
}

fn figure(inventory: &Option<Arc<Inventory>>) -> Option<Figure> {
    status(inventory).and_then(Figure::of)
}

/// The machine said it anew; what is read at the start was said before.
fn is_a_look(change: &Change<Inventory>) -> bool {
    let said = |inventory| status(inventory).map(|status| status.observed_at);
    change.old.is_some() && said(&change.old) != said(&change.new)
}

impl Comparer {
    fn filed(&self, machine: &str) -> bool {
        let filed = self.context.desk.filed(&desk::spec(machine, SLOW));
        let status = filed.as_ref().and_then(|problem| problem.status.as_ref());
        status.is_some_and(|status| status.state != State::Clear)
    }

    /// Whether it works for us, undisturbed: what is done to a machine may well slow it down.
    fn is_at_work(&self, machine: &Machine) -> bool {
        let grace = self.context.config.maintenance_grace;
        let now = self.context.clock.now();
        expected(&machine.spec, machine.status.as_ref(), grace, now) == Expected::Speaks
    }
}

impl Pass for Comparer {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        let (world, desk) = (&self.context.world, &self.context.desk);
        world.machines.ready().await;
        world.inventories.ready().await;
        desk.problems.ready().await;
        let Some(machine) = world.machines.get(key) else { return Ok(Outcome::IDLE) };
        let Some(figure) = figure(&world.inventories.get(key)) else { return Ok(Outcome::IDLE) };
        if !self.is_at_work(&machine) {
            return Ok(Outcome::IDLE);
        }
        let verdict = self.peers.lock().look(&key.name, &figure, self.filed(&key.name));
        let now = self.context.clock.now();
        let spec = desk::spec(&key.name, SLOW);
        match verdict {
            Verdict::Unknown => return Ok(Outcome::IDLE),
            Verdict::Slow(text) => {
                let boot_id =
                    machine.status.as_ref().map(|status| status.boot_id.clone()).unwrap_or_default();
                let seen = |before: Option<&ProblemStatus>| {
                    Some(ProblemStatus { boot_id, ..record::seen(before, text, LEASE, now) })
                };
                desk.file(&spec, seen).await?;
            }
            Verdict::Well => {
                desk.file(&spec, |before| record::gone(before, now)).await?;
            }
        }
        Ok(Outcome::ACTED)
    }
}
