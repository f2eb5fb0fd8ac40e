//! Reads what a round needs: from what the watches have shown, or anew from the API.

use std::sync::Arc;

use kube::ResourceExt as _;
use muster_api::Problem;
use muster_api::problem::EpisodeKey;
use muster_api::workflow::{Action, Run, RunChunk, RunPhase, StepStatus};
use muster_base::clock::elapsed;
use muster_brake::holds;
use muster_control::rest::{Rest, path};
use muster_control::{Informer, ObjectKey, Watched, is_not_found};
use serde_json::{Value, json};

use super::plan::{World, grant_name};
use super::{Runner, container, evict, step, verdict};
use crate::parameters;
use crate::repair::policy;

/// Where objects are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// What was seen last.
    Seen,
    /// The API: nothing is judged late that came in time and was not seen.
    Api,
}

impl Runner {
    pub(super) async fn one<K>(
        &self,
        informer: &Informer<K>,
        name: &str,
        from: From,
    ) -> Result<Option<Arc<K>>, kube::Error>
    where
        K: Watched + kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>,
    {
        let key = ObjectKey::cluster(name);
        match from {
            From::Seen => Ok(informer.get(&key)),
            From::Api => informer.read(&key).await,
        }
    }

    pub(super) async fn world(&self, run: &Run, from: From) -> Result<World, kube::Error> {
        let mut world = World {
            workflow: self.one(&self.workflows, &run.spec.workflow, from).await?,
            machine: self.one(&self.machines, &run.spec.machine, from).await?,
            node: self.one(&self.nodes, &run.spec.machine, from).await?,
            disruption: self.grant(run, from).await?,
            destruction: self.destruction(run, from).await?,
            keep: Some(self.context.config.keep_runs),
            fresh: from == From::Api,
            now: self.context.clock.now(),
            ..World::default()
        };
        if let Some(machine) = &world.machine {
            world.role = self.one(&self.roles, &machine.spec.role, From::Seen).await?;
        }
        let pauses = self.pauses.list();
        world.holds = holds(world.machine.as_deref(), pauses.iter().map(|pause| &**pause), world.now);
        world.problems = self.problems_of.get(&run.spec.machine);
        if from == From::Api {
            for problem in std::mem::take(&mut world.problems) {
                world.problems.extend(self.one(&self.problems, &problem.name_any(), from).await?);
            }
        }
        if let Some(parent) = &run.spec.parent {
            world.parent = self.one(&self.runs, &parent.run, from).await?;
            if let Some(index) = world.parent.as_ref().and_then(|p| p.status.as_ref()?.chunk) {
                world.parent_chunk =
                    self.chunks.get(&ObjectKey::cluster(RunChunk::name_of(&parent.run, index)));
            }
        }
        let status = run.status.clone().unwrap_or_default();
        if let Some(ended_at) =
            status.ended_at.filter(|at| self.context.config.keep_runs <= elapsed(*at, world.now))
        {
            let class = run.spec.repair.as_ref().map(|rung| rung.class.as_str());
            let later =
                |other: &&Arc<Run>| other.status.as_ref().is_some_and(|s| Some(ended_at) < s.ended_at);
            world.followed_by = class.map_or(0, |class| self.repairs.get(class).iter().filter(later).count());
        }
        if let Some(index) = status.chunk {
            world.chunk = self.one(&self.chunks, &RunChunk::name_of(&run.name_any(), index), from).await?;
        }
        let chunk = world.chunk.as_ref().and_then(|chunk| chunk.status.clone()).unwrap_or_default();
        for step in status.steps.iter().chain(&chunk.steps) {
            let under_way = step.phase == RunPhase::Running && step.retry_at.is_none();
            if under_way || !step.leftover.is_empty() {
                self.around(run, step, from, &mut world).await?;
            }
        }
        Ok(world)
    }

    /// The grant of a run, or of the whole it is a part of.
    async fn grant(&self, run: &Run, from: From) -> Result<Option<Arc<muster_api::Disruption>>, kube::Error> {
        let mut whole = Arc::new(run.clone());
        for _ in 0..=step::child::DEPTH_MAX {
            let Some(parent) = &whole.spec.parent else { break };
            let Some(found) = self.runs.get(&ObjectKey::cluster(&parent.run)) else { return Ok(None) };
            whole = found;
        }
        self.one(&self.disruptions, &grant_name(&whole), from).await
    }

    /// The leave of a run to destroy something, where it has steps that do.
    pub(super) async fn destruction(
        &self,
        run: &Run,
        from: From,
    ) -> Result<Option<Arc<muster_api::Disruption>>, kube::Error> {
        if step::intends(run).is_some() {
            self.one(&self.disruptions, &super::plan::destruction_name(run), from).await
        } else {
            Ok(None)
        }
    }

    /// What one step needs.
    async fn around(
        &self,
        run: &Run,
        step: &StepStatus,
        from: From,
        world: &mut World,
    ) -> Result<(), kube::Error> {
        let client = &self.context.client;
        if !step.leftover.is_empty()
            && let Some(seen) = container::look(client, &step.leftover).await?
        {
            world.containers.insert(step.leftover.clone(), seen);
        }
        match step.step.action {
            Action::Order | Action::Probation | Action::Verify => {
                let role = world.role.as_ref().map(|role| &role.spec);
                for name in step::order_names(run, step, role) {
                    if let Some(order) = self.one(&self.orders, &name, from).await? {
                        world.orders.insert(name, order);
                    }
                }
            }
            Action::Container => {
                let name = step::container::pod_name(run, step);
                if let Some(seen) = container::look(client, &name).await? {
                    world.containers.insert(name, seen);
                }
            }
            Action::Drain => {
                world.pods = evict::pods(client, &run.spec.machine).await?;
                world.evictions = self.evictions.of(&run.name_any());
            }
            Action::Webhook => self.answered(step::key(run, step), world),
            Action::Ticket => {
                world.ticket = policy::ticket(run, &self.policies.list());
                world.told = self.told_before(run);
                for key in step::ticket::keys(run, step) {
                    self.answered(key, world);
                }
            }
            Action::Run => {
                let name = step::child::name(run, step);
                if let Some(child) = self.one(&self.runs, &name, from).await? {
                    world.children.insert(name, child);
                }
            }
            Action::Wait
            | Action::Approve
            | Action::Disrupt
            | Action::Release
            | Action::Cordon
            | Action::Uncordon
            | Action::Healthy
            | Action::Quarantine
            | Action::Retire => {}
        }
        if !step.step.expression.is_empty() {
            let verdict = self.verdict(run, &step.step.expression, world, from).await?;
            world.verdicts.insert(step.step.name.clone(), verdict);
        }
        Ok(())
    }

    /// Who was told by other runs for the same opening of a problem.
    fn told_before(&self, run: &Run) -> Vec<String> {
        if run.spec.problem.is_empty() {
            return Vec::new();
        }
        let others = self.told.get(&run.spec.problem).into_iter();
        let same = others.filter(|other| EpisodeKey::of_run(other) == EpisodeKey::of_run(run));
        same.flat_map(|other| step::ticket::told(&other)).collect()
    }

    fn answered(&self, key: String, world: &mut World) {
        if let Some(answer) = self.caller.answer(&key) {
            world.answers.insert(key, answer);
        }
    }

    async fn verdict(
        &self,
        run: &Run,
        text: &str,
        world: &World,
        from: From,
    ) -> Result<Result<bool, String>, kube::Error> {
        let expression = match self.expressions.get(text) {
            Ok(expression) => expression,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut objects: Vec<(&str, Value)> = Vec::new();
        if expression.uses("machine") {
            objects.push(("machine", json!(world.machine.as_deref())));
        }
        if expression.uses("inventory") {
            let inventory = self.one(&self.inventories, &run.spec.machine, from).await?;
            objects.push(("inventory", json!(inventory.as_deref())));
        }
        if expression.uses("problems") {
            let problems: Vec<&Problem> = world.problems.iter().map(Arc::as_ref).collect();
            objects.push(("problems", json!(problems)));
        }
        if expression.uses("parameters") {
            let values = run.status.as_ref().map(|status| status.parameters.clone()).unwrap_or_default();
            let schema = world.workflow.as_ref().map(|workflow| workflow.spec.parameters.clone());
            objects.push(("parameters", parameters::as_json(&schema.unwrap_or_default(), &values)));
        }
        if expression.uses("node") {
            let rest = Rest::new(self.context.client.clone());
            match rest.get(&path("v1", "", "nodes", &run.spec.machine)).await {
                Ok(node) => objects.push(("node", node)),
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(verdict::judge(&expression, &objects))
    }
}
