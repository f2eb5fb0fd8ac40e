//! Starts the runs that the state of a machine calls for.

mod plan;

use kube::Api;
use kube::api::PostParams;
use muster_api::workflow::Run;
use muster_api::{Inventory, Machine, Problem, Workflow};
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, Sweep, is_conflict};

use crate::Context;

struct Starter {
    context: Context,
    machines: Informer<Machine>,
    inventories: Informer<Inventory>,
    problems: Informer<Problem>,
    workflows: Informer<Workflow>,
    runs: Informer<Run>,
}

pub(crate) fn start(context: &Context) {
    let starter = Starter {
        context: context.clone(),
        machines: context.informers.of(),
        inventories: context.informers.of(),
        problems: context.informers.of(),
        workflows: context.informers.of(),
        runs: context.informers.of(),
    };
    let queue = Queue::new();
    starter.wire(&queue);
    Sweep::new("starter", context.config.sweep_every, context.metrics.clone())
        .refreshing(&starter.inventories)
        .refreshing(&starter.problems)
        .refreshing(&starter.workflows)
        .refreshing(&starter.runs)
        .over(&starter.machines, &queue)
        .start(&context.tasks);
    Driver::new("starter", context.metrics.clone()).workers(4).start(&context.tasks, &queue, starter);
}

impl Starter {
    /// Keys are names of machines.
    fn wire(&self, queue: &Queue<ObjectKey>) {
        let to = queue.clone();
        self.machines.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
        let to = queue.clone();
        self.inventories.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
        let to = queue.clone();
        self.problems.on_change(move |change| {
            if let Some(problem) = &change.new {
                to.add(ObjectKey::cluster(&problem.spec.machine), Cause::Watch);
            }
        });
        let (to, machines) = (queue.clone(), self.machines.clone());
        self.workflows.on_change(move |_| {
            for machine in machines.list() {
                to.add(ObjectKey::of(&*machine), Cause::Watch);
            }
        });
    }
}

impl Pass for Starter {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.inventories.ready().await;
        self.problems.ready().await;
        self.workflows.ready().await;
        self.runs.ready().await;
        let Some(machine) = self.machines.get(key) else { return Ok(Outcome::IDLE) };
        let problems = self.problems.filtered(|problem| problem.spec.machine == key.name);
        let world = plan::World {
            inventory: self.inventories.get(key).is_some_and(|inventory| inventory.status.is_some()),
            problems: &problems,
            workflows: &self.workflows.list(),
            now: self.context.clock.now(),
        };
        let idle = match plan::hands_off(&machine, world.now) {
            Some(left) => Outcome::IDLE.again_after(left),
            None => Outcome::IDLE,
        };
        let Some(run) = plan::plan(&machine, &world) else { return Ok(idle) };
        let name = run.metadata.name.clone().unwrap_or_default();
        if self.runs.get(&ObjectKey::cluster(&name)).is_some() {
            return Ok(Outcome::IDLE);
        }
        match Api::<Run>::all(self.context.client.clone()).create(&PostParams::default(), &run).await {
            Err(error) if !is_conflict(&error) => Err(error),
            Err(_) => Ok(Outcome::IDLE),
            Ok(created) => {
                self.runs.saw(created);
                tracing::info!(run = name, machine = key.name, "a run was started");
                Ok(Outcome::ACTED)
            }
        }
    }
}
