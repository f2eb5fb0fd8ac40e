//! Takes machines in: answers whether a machine stands as written, and brings it to inspection.

mod holders;
mod plan;

use std::sync::Arc;

use kube::Api;
use kube::ResourceExt as _;
use kube::api::PostParams;
use muster_api::{HardwareProfile, Inventory, Machine, MachineRole, Rack, Site};
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, Sweep, Watched};

use crate::Context;
pub(crate) use holders::identities;
use holders::{Holders, keeps};

struct Intake {
    context: Context,
    machines: Informer<Machine>,
    sites: Informer<Site>,
    racks: Informer<Rack>,
    roles: Informer<MachineRole>,
    profiles: Informer<HardwareProfile>,
    inventories: Informer<Inventory>,
    holders: Holders,
}

pub(crate) fn start(context: &Context) {
    let intake = Arc::new(Intake {
        context: context.clone(),
        machines: context.informers.of(),
        sites: context.informers.of(),
        racks: context.informers.of(),
        roles: context.informers.of(),
        profiles: context.informers.of(),
        inventories: context.informers.of(),
        holders: Holders::default(),
    });
    let queue = Queue::new();
    intake.wire(&queue);
    Sweep::new("machines", context.config.sweep_every, context.metrics.clone())
        .refreshing(&intake.sites)
        .refreshing(&intake.racks)
        .refreshing(&intake.roles)
        .refreshing(&intake.profiles)
        .refreshing(&intake.inventories)
        .over_unsettled(&intake.machines, &queue, {
            let intake = Arc::clone(&intake);
            move |machine| intake.is_settled(machine)
        })
        .start(&context.tasks);
    Driver::new("machines", context.metrics.clone()).workers(4).start(&context.tasks, &queue, intake);
}

impl Intake {
    fn wire(&self, queue: &Queue<ObjectKey>) {
        let (to, holders) = (queue.clone(), self.holders.clone());
        self.machines.on_change(move |change| {
            let shared = holders.change(&change.key.name, change.old.as_deref(), change.new.as_deref());
            for name in shared {
                to.add(ObjectKey::cluster(name), Cause::Watch);
            }
            to.add(change.key.clone(), Cause::Watch);
        });
        let to = queue.clone();
        self.inventories.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
        self.on_named(&self.sites, queue, |machine| &machine.spec.site);
        self.on_named(&self.racks, queue, |machine| &machine.spec.rack);
        self.on_named(&self.roles, queue, |machine| &machine.spec.role);
        let (to, machines) = (queue.clone(), self.machines.clone());
        self.profiles.on_change(move |change| {
            let spec = |profile: &Option<Arc<HardwareProfile>>| profile.as_ref().map(|p| p.spec.clone());
            if spec(&change.old) == spec(&change.new) {
                return;
            }
            for machine in machines.filtered(|machine| machine.spec.profile == change.key.name) {
                to.add(ObjectKey::of(&*machine), Cause::Watch);
            }
        });
    }

    /// What a machine names came, went or changed.
    fn on_named<K: Watched>(&self, named: &Informer<K>, queue: &Queue<ObjectKey>, by: fn(&Machine) -> &str) {
        let (to, machines) = (queue.clone(), self.machines.clone());
        named.on_change(move |change| {
            if change.old.is_some() && change.new.is_some() {
                return;
            }
            for machine in machines.filtered(|machine| by(machine) == change.key.name) {
                to.add(ObjectKey::of(&*machine), Cause::Watch);
            }
        });
    }

    fn world(&self, machine: &Machine) -> plan::World {
        let cluster = |name: &str| ObjectKey::cluster(name);
        let first = |names: &[String]| {
            let there = names.iter().filter_map(|name| self.machines.get(&cluster(name)));
            there.filter(|other| keeps(other, machine)).map(|other| other.name_any()).min()
        };
        let [serial, bmc] = self.holders.others(machine);
        plan::World {
            site: self.sites.get(&cluster(&machine.spec.site)).is_some(),
            rack: self.racks.get(&cluster(&machine.spec.rack)).map(|rack| rack.spec.site.clone()),
            role: self.roles.get(&cluster(&machine.spec.role)).is_some(),
            profile: self.profiles.get(&cluster(&machine.spec.profile)).map(|found| found.spec.clone()),
            serial_of: first(&serial),
            bmc_of: first(&bmc),
            inventory: self.inventories.get(&ObjectKey::of(machine)).and_then(|found| found.status.clone()),
            now: self.context.clock.now(),
            inspection_deadline: self.context.config.inspection_deadline,
        }
    }
}

impl Intake {
    fn plan(&self, machine: &Machine) -> plan::Plan {
        plan::plan(machine, &self.world(machine))
    }

    fn is_settled(&self, machine: &Machine) -> bool {
        self.plan(machine).is_idle()
    }

    /// Reads the machine and what is said of it and by it anew: a watch may be behind or broken, and nothing is judged
    /// late that came in time, nor missing that is there.
    async fn read_anew(&self, key: &ObjectKey) -> Result<(), kube::Error> {
        let Some(machine) = self.machines.read(key).await? else { return Ok(()) };
        self.inventories.read(key).await?;
        let spec = &machine.spec;
        self.sites.read(&ObjectKey::cluster(&spec.site)).await?;
        self.racks.read(&ObjectKey::cluster(&spec.rack)).await?;
        self.roles.read(&ObjectKey::cluster(&spec.role)).await?;
        self.profiles.read(&ObjectKey::cluster(&spec.profile)).await?;
        Ok(())
    }
}

impl Pass for Intake {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.machines.ready().await;
        self.sites.ready().await;
        self.racks.ready().await;
        self.roles.ready().await;
        self.profiles.ready().await;
        self.inventories.ready().await;
        let Some(mut machine) = self.machines.get(key) else { return Ok(Outcome::IDLE) };
        let mut plan = self.plan(&machine);
        if plan::is_overdue(&machine, self.context.clock.now()) || plan.refuses() {
            self.read_anew(key).await?;
            let Some(fresh) = self.machines.get(key) else { return Ok(Outcome::IDLE) };
            machine = fresh;
            plan = self.plan(&machine);
        }
        let outcome = match plan.status {
            None => Outcome::IDLE,
            Some(status) => {
                let written = Machine { status: Some(status), ..(*machine).clone() };
                let stands = Api::<Machine>::all(self.context.client.clone())
                    .replace_status(&key.name, &PostParams::default(), &written)
                    .await?;
                self.machines.saw(stands);
                if let Some(phase) = plan.overdue {
                    let what = format!("machine {key} was {} for too long", phase.as_str());
                    self.context.metrics.deadline_passed("machines", &what);
                }
                Outcome::ACTED
            }
        };
        Ok(plan.look_again.map_or(outcome, |wait| outcome.again_after(wait)))
    }
}
