//! Starts the runs that the state of a machine calls for.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::PostParams;
use muster_api::workflow::Run;
use muster_api::{Inventory, Machine, Problem, Workflow};
use muster_control::{Cause, Driver, Index, Informer, ObjectKey, Outcome, Pass, Queue, Sweep, is_conflict};

use crate::Context;

struct Starter {
    context: Context,
    machines: Informer<Machine>,
    inventories: Informer<Inventory>,
    problems: Informer<Problem>,
    problems_of: Index<Problem>,
    workflows: Informer<Workflow>,
    runs: Informer<Run>,
}

pub(crate) fn start(context: &Context) {
    let problems = context.informers.of::<Problem>();
    let starter = Arc::new(Starter {
        context: context.clone(),
        machines: context.informers.of(),
        inventories: context.informers.of(),
        problems_of: problems.index(|problem| Some(problem.spec.machine.clone())),
        problems,
        workflows: context.informers.of(),
        runs: context.informers.of(),
    });
    let queue = Queue::new();
    starter.wire(&queue);
    Sweep::new("starter", context.config.sweep_every, context.metrics.clone())
        .refreshing(&starter.inventories)
        .refreshing(&starter.problems)
        .refreshing(&starter.workflows)
        .refreshing(&starter.runs)
        .over_unsettled(&starter.machines, &queue, {
            let starter = Arc::clone(&starter);
            move |machine| matches!(starter.look(machine), Look::Idle)
        })
        .start(&context.tasks);
    Driver::new("starter", context.metrics.clone()).workers(4).start(&context.tasks, &queue, starter);
}

/// What a machine calls for.
enum Look {
    /// This run.
    Starts(Box<Run>),
    /// Nothing for so long.
    Waits(Duration),
    /// Nothing.
    Idle,
}

impl Starter {
    fn look(&self, machine: &Machine) -> Look {
        let key = ObjectKey::of(machine);
        let (problems, workflows) = (self.problems_of.get(&key.name), self.workflows.list());
        let world = plan::World {
            inventory: self.inventories.get(&key).is_some_and(|inventory| inventory.status.is_some()),
            problems: &problems,
            workflows: &workflows,
            now: self.context.clock.now(),
        };
        match (plan::plan(machine, &world), plan::hands_off(machine, world.now)) {
            (Some(run), _) => Look::Starts(Box::new(run)),
            (None, Some(left)) => Look::Waits(left),
            (None, None) => Look::Idle,
        }
    }

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
        let run = match self.look(&machine) {
            Look::Starts(run) => run,
            Look::Waits(left) => return Ok(Outcome::IDLE.again_after(left)),
            Look::Idle => return Ok(Outcome::IDLE),
        };
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
