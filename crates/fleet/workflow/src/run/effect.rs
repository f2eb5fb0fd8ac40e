//! Does what a plan says. Each effect can be done twice and happens once.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ClusterResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use muster_api::machine::{IllegalPhase, Transition};
use muster_api::workflow::Run;
use muster_api::{CORDONED_BY, Disruption, Machine};
use muster_control::{Informer, ObjectKey, Queue, Watched, is_conflict, is_not_found};
use serde_json::json;

use super::plan::{Effect, Enter, MachineChange, World};
use super::{NodeView, Runner, container};

impl Runner {
    pub(super) async fn perform(
        &self,
        run: &Run,
        world: &World,
        effect: Effect,
        queue: &Queue<ObjectKey>,
    ) -> Result<(), kube::Error> {
        let client = &self.context.client;
        match effect {
            Effect::Machine(change) => self.machine(run, world, change).await,
            Effect::Order(order) => self.create(&self.orders, owned(*order, run)).await,
            Effect::Disruption(asked) => self.create(&self.disruptions, *asked).await,
            Effect::Release(name) => self.release(&name).await,
            Effect::Cordon => self.cordon(run, world, Some(run.name_any())).await,
            Effect::Uncordon => self.cordon(run, world, None).await,
            Effect::Evict(pods) => self.evictions.evict(client, &run.name_any(), &pods).await,
            Effect::Container(pod) => container::create(client, &pod).await,
            Effect::RemovePod(name) => container::remove(client, &name).await,
            Effect::Call(call) => {
                self.caller.call(*call, ObjectKey::of(run), queue);
                Ok(())
            }
            Effect::Mail(letter) => {
                self.caller.mail(*letter, ObjectKey::of(run), queue);
                Ok(())
            }
            Effect::Child(child) => self.create(&self.runs, owned(*child, run)).await,
            Effect::CancelChild(name) => self.cancel(&name).await,
            Effect::Chunk(chunk) => self.create(&self.chunks, owned(*chunk, run)).await,
            Effect::Remove => self.remove(run).await,
        }
    }

    /// Names derive from the step, so an object that is there is the one that was meant.
    async fn create<K>(&self, informer: &Informer<K>, object: K) -> Result<(), kube::Error>
    where
        K: Watched + serde::Serialize + Resource<DynamicType = (), Scope = ClusterResourceScope>,
    {
        let api: Api<K> = Api::all(self.context.client.clone());
        match api.create(&PostParams::default(), &object).await {
            Ok(created) => informer.saw(created),
            Err(error) if is_conflict(&error) => {
                if let Some(there) = api.get_opt(&object.name_any()).await? {
                    informer.saw(there);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn release(&self, name: &str) -> Result<(), kube::Error> {
        let given_back = Patch::Merge(json!({ "spec": { "released": true } }));
        let api = Api::<Disruption>::all(self.context.client.clone());
        match api.patch(name, &PatchParams::default(), &given_back).await {
            Ok(released) => self.disruptions.saw(released),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn cancel(&self, name: &str) -> Result<(), kube::Error> {
        let cancel = Patch::Merge(json!({ "spec": { "cancel": true } }));
        let api = Api::<Run>::all(self.context.client.clone());
        match api.patch(name, &PatchParams::default(), &cancel).await {
            Ok(cancelled) => self.runs.saw(cancelled),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Only what was planned upon: whoever asks meanwhile that it be undone or tried again is heard.
    async fn remove(&self, run: &Run) -> Result<(), kube::Error> {
        let (uid, resource_version) = (run.uid(), run.resource_version());
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version }),
            ..DeleteParams::default()
        };
        match Api::<Run>::all(self.context.client.clone()).delete(&run.name_any(), &params).await {
            Err(error) if !is_not_found(&error) => return Err(error),
            Err(_) => {}
            Ok(_) => tracing::info!(run = run.name_any(), "a run that ended long ago was removed"),
        }
        Ok(())
    }

    /// Writes against the version that was planned upon; a conflict has the run planned anew.
    async fn machine(&self, run: &Run, world: &World, change: MachineChange) -> Result<(), kube::Error> {
        let Some(machine) = &world.machine else { return Ok(()) };
        let written = match changed(machine, run, world, change) {
            Ok(written) => written,
            Err(illegal) => {
                tracing::warn!(run = run.name_any(), %illegal, "a change of phase was not done");
                return Ok(());
            }
        };
        let api = Api::<Machine>::all(self.context.client.clone());
        let stands = api.replace_status(&run.spec.machine, &PostParams::default(), &written).await?;
        self.machines.saw(stands);
        Ok(())
    }

    /// The version in the patch makes it a compare-and-swap.
    async fn cordon(&self, run: &Run, world: &World, owner: Option<String>) -> Result<(), kube::Error> {
        let Some(node) = &world.node else { return Ok(()) };
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": node.metadata.resource_version, "annotations": { CORDONED_BY: owner } },
            "spec": { "unschedulable": owner.is_some().then_some(true) },
        }));
        let api = Api::<NodeView>::all(self.context.client.clone());
        let stands = api.patch(&run.spec.machine, &PatchParams::default(), &patch).await?;
        self.nodes.saw(stands);
        Ok(())
    }
}

/// What a run makes goes when the run is deleted.
fn owned<K: Resource<DynamicType = ()>>(mut object: K, run: &Run) -> K {
    let owner = run.owner_ref(&());
    object.owner_references_mut().extend(owner);
    object
}

/// The machine as the change leaves it.
pub fn changed(
    machine: &Machine,
    run: &Run,
    world: &World,
    change: MachineChange,
) -> Result<Machine, IllegalPhase> {
    let mut written = machine.clone();
    let status = written.status.get_or_insert_default();
    if let Some(fence) = change.fence {
        status.run = run.name_any();
        status.fence = fence;
    }
    if let Some(Enter { phase, reason, deadline }) = change.enter {
        let transition = Transition { at: world.now, from: None, to: phase, reason, run: run.name_any() };
        status.enter(transition, deadline)?;
        tracing::info!(
            machine = run.spec.machine,
            phase = phase.as_str(),
            run = run.name_any(),
            "phase changes"
        );
    }
    if world.node.is_some() {
        status.node.clone_from(&run.spec.machine);
    }
    if change.let_go {
        status.run = String::new();
    }
    Ok(written)
}
