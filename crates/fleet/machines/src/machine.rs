//! Takes machines in: answers whether a machine stands as written, and brings it to inspection.

mod plan;

use kube::Api;
use kube::api::PostParams;
use muster_api::{Inventory, Machine, MachineRole, Site};
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, Sweep};

use crate::Context;

struct Intake {
    context: Context,
    machines: Informer<Machine>,
    sites: Informer<Site>,
    roles: Informer<MachineRole>,
    inventories: Informer<Inventory>,
}

pub(crate) fn start(context: &Context) {
    let intake = Intake {
        context: context.clone(),
        machines: context.informers.of(),
        sites: context.informers.of(),
        roles: context.informers.of(),
        inventories: context.informers.of(),
    };
    let queue = Queue::new();
    intake.wire(&queue);
    Sweep::new("machines", context.config.sweep_every, context.metrics.clone())
        .refreshing(&intake.sites)
        .refreshing(&intake.roles)
        .refreshing(&intake.inventories)
        .over(&intake.machines, &queue)
        .start(&context.tasks);
    Driver::new("machines", context.metrics.clone()).workers(4).start(&context.tasks, &queue, intake);
}

impl Intake {
    fn wire(&self, queue: &Queue<ObjectKey>) {
        let to = queue.clone();
        self.machines.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
        let to = queue.clone();
        self.inventories.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
        let (to, machines) = (queue.clone(), self.machines.clone());
        self.sites.on_change(move |change| {
            for machine in machines.filtered(|machine| machine.spec.site == change.key.name) {
                to.add(ObjectKey::of(&*machine), Cause::Watch);
            }
        });
        let (to, machines) = (queue.clone(), self.machines.clone());
        self.roles.on_change(move |change| {
            for machine in machines.filtered(|machine| machine.spec.role == change.key.name) {
                to.add(ObjectKey::of(&*machine), Cause::Watch);
            }
        });
    }
}

impl Pass for Intake {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.sites.ready().await;
        self.roles.ready().await;
        self.inventories.ready().await;
        let Some(machine) = self.machines.get(key) else { return Ok(Outcome::IDLE) };
        let world = plan::World {
            site: self.sites.get(&ObjectKey::cluster(&machine.spec.site)).is_some(),
            role: self.roles.get(&ObjectKey::cluster(&machine.spec.role)).is_some(),
            inventory: self.inventories.get(key).and_then(|inventory| inventory.status.clone()),
            now: self.context.clock.now(),
            inspection_deadline: self.context.config.inspection_deadline,
        };
        let plan = plan::plan(&machine, &world);
        let outcome = match plan.status {
            None => Outcome::IDLE,
            Some(status) => {
                let written = Machine { status: Some(status), ..(*machine).clone() };
                Api::<Machine>::all(self.context.client.clone())
                    .replace_status(&key.name, &PostParams::default(), &written)
                    .await?;
                Outcome::ACTED
            }
        };
        Ok(plan.look_again.map_or(outcome, |wait| outcome.again_after(wait)))
    }
}
