//! Brings runs forward: observe, plan, write the plan down, do.

pub(crate) mod call;
pub(crate) mod container;
pub(crate) mod effect;
pub(crate) mod evict;
mod freeze;
mod fresh;
mod hold;
mod observe;
pub(crate) mod plan;
mod render;
pub(crate) mod step;
pub(crate) mod verdict;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use muster_api::workflow::{Action, Run, RunChunk, RunPhase};
use muster_api::{
    Disruption, Inventory, Machine, MachineRole, Order, Pause, Problem, RepairPolicy, Workflow,
};
use muster_control::{
    Acted, Cause, Driver, Index, Informer, Next, ObjectKey, Outcome, Pass, Queue, Sweep, is_conflict,
};
use serde::Deserialize;

use crate::Context;
use call::Caller;
use evict::Evictions;
use observe::From;
use plan::Plan;
use verdict::Expressions;

/// What a run reads of a Node.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeView {
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: NodeSpecView,
}

impl NodeView {
    /// A node of that name that takes pods.
    pub fn named(name: &str) -> Self {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        Self { metadata, spec: NodeSpecView::default() }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct NodeSpecView {
    #[serde(default)]
    pub unschedulable: bool,
}

muster_control::view!(NodeView: "", "v1", "Node", "nodes", kube::core::ClusterResourceScope);

/// Runs that are carried on at one time. Most of a round is the wait until what it wrote is on disk, and those waits are
/// shared: with few of them ten thousand runs wait for each other.
const WORKERS: usize = 32;

struct Runner {
    context: Context,
    runs: Informer<Run>,
    /// Those that have told somebody, by problem.
    told: Index<Run>,
    /// Repairs that have ended, by class.
    repairs: Index<Run>,
    chunks: Informer<RunChunk>,
    workflows: Informer<Workflow>,
    machines: Informer<Machine>,
    inventories: Informer<Inventory>,
    roles: Informer<MachineRole>,
    nodes: Informer<NodeView>,
    orders: Informer<Order>,
    disruptions: Informer<Disruption>,
    problems: Informer<Problem>,
    problems_of: Index<Problem>,
    pauses: Informer<Pause>,
    policies: Informer<RepairPolicy>,
    caller: Caller,
    evictions: Evictions,
    expressions: Expressions,
    queue: Queue<ObjectKey>,
}

pub(crate) fn start(context: &Context) {
    let informers = &context.informers;
    let problems: Informer<Problem> = informers.of();
    let runs: Informer<Run> = informers.of();
    let queue = Queue::new();
    let runner = Runner {
        context: context.clone(),
        told: runs.index(|run| {
            let has_told = !run.spec.problem.is_empty() && !step::ticket::told(run).is_empty();
            has_told.then(|| run.spec.problem.clone())
        }),
        repairs: runs.index(|run| {
            let rung = run.spec.repair.as_ref().filter(|_| !is_unfinished(run))?;
            Some(rung.class.clone())
        }),
        runs,
        chunks: informers.of(),
        workflows: informers.of(),
        machines: informers.of(),
        inventories: informers.of(),
        roles: informers.of(),
        nodes: informers.of(),
        orders: informers.of(),
        disruptions: informers.of(),
        problems_of: problems.index(|problem| Some(problem.spec.machine.clone())),
        problems,
        pauses: informers.of(),
        policies: informers.of(),
        caller: Caller::new(&context.tasks, context.client.clone()),
        evictions: Evictions::default(),
        expressions: Expressions::default(),
        queue: queue.clone(),
    };
    runner.wire(&queue);
    Sweep::new("runs", context.config.sweep_every, context.metrics.clone())
        .refreshing(&runner.chunks)
        .refreshing(&runner.workflows)
        .refreshing(&runner.machines)
        .refreshing(&runner.inventories)
        .refreshing(&runner.roles)
        .refreshing(&runner.nodes)
        .refreshing(&runner.orders)
        .refreshing(&runner.disruptions)
        .refreshing(&runner.problems)
        .refreshing(&runner.pauses)
        .refreshing(&runner.policies)
        .over(&runner.runs, &queue)
        .start(&context.tasks);
    Driver::new("runs", context.metrics.clone()).workers(WORKERS).start(&context.tasks, &queue, runner);
}

fn is_unfinished(run: &Run) -> bool {
    !run.status.as_ref().is_some_and(|status| status.phase.is_final())
}

impl Runner {
    fn wire(&self, queue: &Queue<ObjectKey>) {
        let to = queue.clone();
        self.runs.on_change(move |change| {
            to.add(change.key.clone(), Cause::Watch);
            if let Some(parent) = change.new.as_ref().and_then(|run| run.spec.parent.clone()) {
                to.add(ObjectKey::cluster(parent.run), Cause::Watch);
            }
        });
        let to = queue.clone();
        self.chunks.on_change(move |change| {
            if let Some(chunk) = &change.new {
                to.add(ObjectKey::cluster(&chunk.spec.run), Cause::Watch);
            }
        });
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
        self.wire_machines(queue);
        let (to, runs) = (queue.clone(), self.runs.clone());
        self.pauses.on_change(move |_| {
            for run in runs.filtered(is_unfinished) {
                to.add(ObjectKey::of(&*run), Cause::Watch);
            }
        });
        let unfinished = self.runs.index(|run| is_unfinished(run).then(|| run.spec.workflow.clone()));
        let to = queue.clone();
        self.workflows.on_change(move |change| {
            for run in unfinished.get(&change.key.name) {
                to.add(ObjectKey::of(&*run), Cause::Watch);
            }
        });
    }

    /// What happens on a machine concerns the unfinished runs on it.
    fn wire_machines(&self, queue: &Queue<ObjectKey>) {
        let unfinished = self.runs.index(|run| is_unfinished(run).then(|| run.spec.machine.clone()));
        let to = queue.clone();
        let look = Arc::new(move |machine: &str| {
            for run in unfinished.get(machine) {
                to.add(ObjectKey::of(&*run), Cause::Watch);
            }
        });
        let add = Arc::clone(&look);
        self.machines.on_change(move |change| add(&change.key.name));
        let add = Arc::clone(&look);
        self.inventories.on_change(move |change| add(&change.key.name));
        let add = Arc::clone(&look);
        self.nodes.on_change(move |change| {
            let cordon = |node: &Option<Arc<NodeView>>| {
                node.as_ref().map(|node| (node.spec.unschedulable, node.metadata.annotations.clone()))
            };
            if cordon(&change.old) != cordon(&change.new) {
                add(&change.key.name);
            }
        });
        self.problems.on_change(move |change| {
            if let Some(problem) = &change.new {
                look(&problem.spec.machine);
            }
        });
    }

    async fn ready(&self) {
        self.chunks.ready().await;
        self.workflows.ready().await;
        self.machines.ready().await;
        self.inventories.ready().await;
        self.roles.ready().await;
        self.nodes.ready().await;
        self.orders.ready().await;
        self.disruptions.ready().await;
        self.problems.ready().await;
        self.pauses.ready().await;
        self.policies.ready().await;
    }

    /// One round. Where a deadline seems to have passed, everything is read anew before that is believed.
    async fn round(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(mut run) = self.runs.get(key) else { return Ok(Outcome::IDLE) };
        let mut world = self.world(&run, From::Seen).await?;
        let mut plan = plan::plan(&run, &world);
        if plan.needs_fresh {
            let Some(fresh) = self.one(&self.runs, &key.name, From::Api).await? else {
                return Ok(Outcome::IDLE);
            };
            run = fresh;
            world = self.world(&run, From::Api).await?;
            plan = plan::plan(&run, &world);
        }
        if plan.effects.iter().any(plan::Effect::disrupts) && !self.still_stands(&run, &world, &plan).await? {
            return Ok(Outcome::IDLE.again_after(fresh::AGAIN_AFTER));
        }
        let next = plan.look_again.map_or(Next::Change, Next::After);
        if self.write(&run, &mut plan).await? {
            for what in &plan.overdue {
                self.context.metrics.deadline_passed("runs", what);
            }
            self.forget(&run);
            return Ok(Outcome { acted: Acted::Something, next });
        }
        let acted = if plan.effects.is_empty() { Acted::Nothing } else { Acted::Something };
        for effect in plan.effects {
            self.perform(&run, &world, effect, &self.queue).await?;
        }
        Ok(Outcome { acted, next })
    }

    /// Writes what is to stand; what was written is seen at once.
    async fn write(&self, run: &Run, plan: &mut Plan) -> Result<bool, kube::Error> {
        let client = &self.context.client;
        if let Some(status) = plan.chunk.take() {
            let index = run.status.as_ref().and_then(|status| status.chunk).unwrap_or_default();
            let name = RunChunk::name_of(&run.name_any(), index);
            let Some(chunk) = self.chunks.get(&ObjectKey::cluster(&name)) else { return Ok(true) };
            let written = RunChunk { status: Some(status), ..(*chunk).clone() };
            let api = Api::<RunChunk>::all(client.clone());
            self.chunks.saw(api.replace_status(&name, &PostParams::default(), &written).await?);
            return Ok(true);
        }
        let Some(status) = plan.status.take() else { return Ok(false) };
        let written = Run { status: Some(status), ..run.clone() };
        let api = Api::<Run>::all(client.clone());
        self.runs.saw(api.replace_status(&run.name_any(), &PostParams::default(), &written).await?);
        Ok(true)
    }

    /// Drops what was kept in memory for attempts that have ended.
    fn forget(&self, run: &Run) {
        let name = run.name_any();
        let Some(now) = self.runs.get(&ObjectKey::of(run)) else { return };
        let steps = |run: &Run| run.status.as_ref().map(|status| status.steps.clone()).unwrap_or_default();
        for (old, new) in steps(run).iter().zip(steps(&now)) {
            let ended = old.phase == RunPhase::Running
                && (new.phase != RunPhase::Running || new.attempt != old.attempt || new.retry_at.is_some());
            if ended && old.step.action == Action::Webhook {
                self.caller.forget(&step::key(run, old));
            }
            if ended && old.step.action == Action::Ticket {
                step::ticket::keys(run, old).iter().for_each(|key| self.caller.forget(key));
            }
            if ended && old.step.action == Action::Drain {
                self.evictions.forget(&name);
            }
        }
    }
}

impl Pass for Runner {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.ready().await;
        let result = self.round(key).await;
        if result.as_ref().is_err_and(is_conflict)
            && let Some(run) = self.one(&self.runs, &key.name, From::Api).await?
        {
            // Somebody else wrote: without a watch nobody would tell.
            self.world(&run, From::Api).await?;
        }
        result
    }
}
