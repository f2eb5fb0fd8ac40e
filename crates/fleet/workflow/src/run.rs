//! Brings runs forward: observe, plan, write the plan down, do.

mod effect;
mod fresh;
mod hold;
mod plan;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use muster_api::workflow::Run;
use muster_api::{Disruption, Machine, MachineRole, Order, Pause, Problem, Workflow};
use muster_brake::holds;
use muster_control::{Acted, Cause, Driver, Informer, Next, ObjectKey, Outcome, Pass, Queue, Sweep};
use serde::Deserialize;

use crate::Context;

/// What a run reads of a Node.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeView {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: NodeSpecView,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct NodeSpecView {
    #[serde(default)]
    pub(crate) unschedulable: bool,
}

muster_control::view!(NodeView: "", "v1", "Node", "nodes", kube::core::ClusterResourceScope);

struct Runner {
    context: Context,
    runs: Informer<Run>,
    workflows: Informer<Workflow>,
    machines: Informer<Machine>,
    roles: Informer<MachineRole>,
    nodes: Informer<NodeView>,
    orders: Informer<Order>,
    disruptions: Informer<Disruption>,
    problems: Informer<Problem>,
    pauses: Informer<Pause>,
}

pub(crate) fn start(context: &Context) {
    let runner = Runner {
        context: context.clone(),
        runs: context.informers.of(),
        workflows: context.informers.of(),
        machines: context.informers.of(),
        roles: context.informers.of(),
        nodes: context.informers.of(),
        orders: context.informers.of(),
        disruptions: context.informers.of(),
        problems: context.informers.of(),
        pauses: context.informers.of(),
    };
    let queue = Queue::new();
    runner.wire(&queue);
    Sweep::new("runs", context.config.sweep_every, context.metrics.clone())
        .refreshing(&runner.workflows)
        .refreshing(&runner.machines)
        .refreshing(&runner.roles)
        .refreshing(&runner.nodes)
        .refreshing(&runner.orders)
        .refreshing(&runner.disruptions)
        .refreshing(&runner.problems)
        .refreshing(&runner.pauses)
        .over(&runner.runs, &queue)
        .start(&context.tasks);
    Driver::new("runs", context.metrics.clone()).workers(4).start(&context.tasks, &queue, runner);
}

/// Has the unfinished runs on a machine looked at.
fn add_runs_on(machine: &str, runs: &Informer<Run>, queue: &Queue<ObjectKey>) {
    let concerns =
        |run: &Run| run.spec.machine == machine && !run.status.as_ref().is_some_and(|s| s.phase.is_final());
    for run in runs.filtered(concerns) {
        queue.add(ObjectKey::of(&*run), Cause::Watch);
    }
}

impl Runner {
    fn wire(&self, queue: &Queue<ObjectKey>) {
        let to = queue.clone();
        self.runs.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
        let to = queue.clone();
        self.orders.on_change(move |change| {
            if let Some(order) = &change.new {
                to.add(ObjectKey::cluster(&order.spec.run), Cause::Watch);
            }
        });
        let to = queue.clone();
        self.disruptions.on_change(move |change| {
            if let Some(disruption) = &change.new {
                to.add(ObjectKey::cluster(&disruption.spec.run), Cause::Watch);
            }
        });
        let (to, runs) = (queue.clone(), self.runs.clone());
        self.machines.on_change(move |change| add_runs_on(&change.key.name, &runs, &to));
        let (to, runs) = (queue.clone(), self.runs.clone());
        self.nodes.on_change(move |change| {
            let cordon = |node: &Option<Arc<NodeView>>| {
                node.as_ref().map(|node| (node.spec.unschedulable, node.metadata.annotations.clone()))
            };
            if cordon(&change.old) != cordon(&change.new) {
                add_runs_on(&change.key.name, &runs, &to);
            }
        });
        let (to, runs) = (queue.clone(), self.runs.clone());
        self.problems.on_change(move |change| {
            if let Some(problem) = &change.new {
                add_runs_on(&problem.spec.machine, &runs, &to);
            }
        });
        let (to, runs) = (queue.clone(), self.runs.clone());
        self.pauses.on_change(move |_| {
            for run in runs.filtered(|run| !run.status.as_ref().is_some_and(|s| s.phase.is_final())) {
                to.add(ObjectKey::of(&*run), Cause::Watch);
            }
        });
        let (to, runs) = (queue.clone(), self.runs.clone());
        self.workflows.on_change(move |change| {
            for run in runs.filtered(|run| run.spec.workflow == change.key.name) {
                to.add(ObjectKey::of(&*run), Cause::Watch);
            }
        });
    }

    async fn ready(&self) {
        self.workflows.ready().await;
        self.machines.ready().await;
        self.roles.ready().await;
        self.nodes.ready().await;
        self.orders.ready().await;
        self.disruptions.ready().await;
        self.problems.ready().await;
        self.pauses.ready().await;
    }

    fn world(&self, run: &Run) -> plan::World {
        let machine = self.machines.get(&ObjectKey::cluster(&run.spec.machine));
        let role =
            machine.as_ref().and_then(|machine| self.roles.get(&ObjectKey::cluster(&machine.spec.role)));
        let name = run.name_any();
        let orders: BTreeMap<String, Arc<Order>> = self
            .orders
            .filtered(|order| order.spec.run == name)
            .into_iter()
            .map(|order| (order.name_any(), order))
            .collect();
        let now = self.context.clock.now();
        let pauses = self.pauses.list();
        plan::World {
            holds: holds(machine.as_deref(), pauses.iter().map(|pause| &**pause), now),
            workflow: self.workflows.get(&ObjectKey::cluster(&run.spec.workflow)),
            machine,
            role,
            node: self.nodes.get(&ObjectKey::cluster(&run.spec.machine)),
            orders,
            disruption: self.disruptions.get(&ObjectKey::cluster(&name)),
            problems: self.problems.filtered(|problem| problem.spec.machine == run.spec.machine),
            now,
        }
    }
}

impl Pass for Runner {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.ready().await;
        let Some(run) = self.runs.get(key) else { return Ok(Outcome::IDLE) };
        let world = self.world(&run);
        let plan = plan::plan(&run, &world);
        if plan.effects.iter().any(plan::Effect::disrupts) && !self.still_stands(&run, &world, &plan).await? {
            return Ok(Outcome::IDLE.again_after(fresh::AGAIN_AFTER));
        }
        let next = plan.look_again.map_or(Next::Change, Next::After);
        if let Some(status) = plan.status {
            let written = Run { status: Some(status), ..(*run).clone() };
            Api::<Run>::all(self.context.client.clone())
                .replace_status(&key.name, &PostParams::default(), &written)
                .await?;
            return Ok(Outcome { acted: Acted::Something, next });
        }
        let acted = if plan.effects.is_empty() { Acted::Nothing } else { Acted::Something };
        for effect in plan.effects {
            effect::perform(&self.context.client, &run, &world, effect).await?;
        }
        Ok(Outcome { acted, next })
    }
}
