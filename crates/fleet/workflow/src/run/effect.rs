//! Does what a plan says. Each effect can be done twice and happens once.

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use muster_api::machine::{IllegalPhase, Transition};
use muster_api::workflow::Run;
use muster_api::{CORDONED_BY, Disruption, Machine, Order};
use muster_control::{is_conflict, is_not_found};
use serde_json::json;

use super::NodeView;
use super::plan::{Effect, Enter, MachineChange, World};

pub(super) async fn perform(
    client: &Client,
    run: &Run,
    world: &World,
    effect: Effect,
) -> Result<(), kube::Error> {
    match effect {
        Effect::Machine(change) => machine(client, run, world, change).await,
        Effect::Order(order) => create(&Api::<Order>::all(client.clone()), &order).await,
        Effect::Disruption(disruption) => create(&Api::<Disruption>::all(client.clone()), &disruption).await,
        Effect::Release => release(client, &run.name_any()).await,
        Effect::Cordon => cordon(client, run, world, Some(run.name_any())).await,
        Effect::Uncordon => cordon(client, run, world, None).await,
    }
}

/// Names derive from the step, so an object that is there is the one that was meant.
async fn create<K>(api: &Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Err(error) if !is_conflict(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn release(client: &Client, name: &str) -> Result<(), kube::Error> {
    let given_back = Patch::Merge(json!({ "spec": { "released": true } }));
    match Api::<Disruption>::all(client.clone()).patch(name, &PatchParams::default(), &given_back).await {
        Err(error) if !is_not_found(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Writes against the version that was planned upon; a conflict has the run planned anew.
async fn machine(
    client: &Client,
    run: &Run,
    world: &World,
    change: MachineChange,
) -> Result<(), kube::Error> {
    let Some(machine) = &world.machine else { return Ok(()) };
    let written = match changed(machine, run, world, change) {
        Ok(written) => written,
        Err(illegal) => {
            tracing::warn!(run = run.name_any(), %illegal, "a change of phase was not done");
            return Ok(());
        }
    };
    Api::<Machine>::all(client.clone())
        .replace_status(&run.spec.machine, &PostParams::default(), &written)
        .await
        .map(|_| ())
}

/// The machine as the change leaves it.
pub(super) fn changed(
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

/// The version in the patch makes it a compare-and-swap.
async fn cordon(client: &Client, run: &Run, world: &World, owner: Option<String>) -> Result<(), kube::Error> {
    let Some(node) = &world.node else { return Ok(()) };
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": node.metadata.resource_version, "annotations": { CORDONED_BY: owner } },
        "spec": { "unschedulable": owner.is_some().then_some(true) },
    }));
    Api::<NodeView>::all(client.clone())
        .patch(&run.spec.machine, &PatchParams::default(), &patch)
        .await
        .map(|_| ())
}
