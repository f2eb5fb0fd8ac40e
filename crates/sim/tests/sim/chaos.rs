//! Seeded disorder: whatever comes, nothing happens twice, nothing is lost, nothing hangs for ever.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use kube::Api;
use kube::api::PostParams;
use muster_api::budget::{DisruptionBudgetSpec, Scope};
use muster_api::workflow::Run;
use muster_api::{DisruptionBudget, Machine};
use muster_sim::{Phase, Rates, Timetable, World};

use crate::support::{names, seconds};

const MACHINES: usize = 3;
const BUDGET: usize = 2;

fn timetable(seed: u64) -> Timetable {
    Timetable::random(seed, &names(MACHINES), 8, seconds(600))
}

async fn disorder(seed: u64) {
    let world = World::build(seed).await;
    let scope = Scope { site: Some("site-a".into()), ..Scope::default() };
    let spec = DisruptionBudgetSpec { scope, max: Some(BUDGET as u32), ..Default::default() };
    let budget = DisruptionBudget::new("site-a", spec);
    Api::<DisruptionBudget>::all(world.admin())
        .create(&PostParams::default(), &budget)
        .await
        .expect("a budget");
    let names = names(MACHINES);
    for name in &names {
        world.add_machine(name, "site-a").await;
    }
    for name in &names {
        world.wait_phase(name, Phase::Healthy).await;
    }
    let begin = world.server().store().revision().get();
    let all = [world.fleet_faults(), world.engine_faults(), world.agent_faults()];
    all.iter().for_each(|faults| faults.set_rates(Rates::BAD_DAY));
    timetable(seed).play(&world).await;
    all.iter().for_each(|faults| faults.set_rates(Rates::default()));
    world.fleet_faults().crash_after(None);
    everything_comes_to_an_end(&world).await;
    nothing_happened_twice(&world);
    every_change_of_phase_was_legal_and_within_the_budget(&world, begin);
}

async fn everything_comes_to_an_end(world: &World) {
    world
        .wait("every run to end and every machine to be Healthy or Failed", seconds(3 * 3600), |world| {
            let open: Vec<String> = world
                .list::<Run>()
                .into_iter()
                .filter(|run| !run.status.as_ref().is_some_and(|status| status.phase.is_final()))
                .map(|run| format!("{:?}: {:?}", run.metadata.name, run.status.map(|status| status.message)))
                .collect();
            let unsettled: Vec<String> = world
                .list::<Machine>()
                .into_iter()
                .map(|machine| (machine.metadata.name, machine.status.unwrap_or_default()))
                .filter(|(_, status)| {
                    !matches!(status.phase, Phase::Healthy | Phase::Failed) || !status.run.is_empty()
                })
                .map(|(name, status)| format!("{name:?}: {:?} {:?}", status.phase, status.run))
                .collect();
            if open.is_empty() && unsettled.is_empty() {
                Ok(())
            } else {
                Err(format!("{open:?} {unsettled:?}"))
            }
        })
        .await;
}

fn nothing_happened_twice(world: &World) {
    let mut done = BTreeSet::new();
    let mut fences: BTreeMap<String, i64> = BTreeMap::new();
    for effect in world.effects() {
        let key = (effect.machine.clone(), effect.run.clone(), effect.step.clone(), effect.attempt);
        assert!(done.insert(key), "happened twice: {effect:?}");
        let fence = fences.entry(effect.machine.clone()).or_insert(0);
        assert!(*fence <= effect.generation, "an older order was obeyed: {effect:?} after {fence}");
        *fence = effect.generation;
    }
}

fn every_change_of_phase_was_legal_and_within_the_budget(world: &World, begin: u64) {
    let mut phases: BTreeMap<String, Phase> = BTreeMap::new();
    for seen in world.history::<Machine>() {
        let name = seen.object.metadata.name.unwrap_or_default();
        let Some(status) = seen.object.status else { continue };
        let before = phases.insert(name.clone(), status.phase);
        if let Some(before) = before.filter(|before| *before != status.phase) {
            assert!(before.may_become(status.phase), "{name} went from {before:?} to {:?}", status.phase);
        }
        let granted = |phase: &&Phase| matches!(phase, Phase::Disrupted | Phase::Probation);
        let down = phases.values().filter(granted).count();
        assert!(seen.revision < begin || down <= BUDGET, "at revision {}: {phases:?}", seen.revision);
    }
}

async fn each(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let outcome = std::panic::AssertUnwindSafe(disorder(seed)).catch_unwind().await;
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("the invariants broke under seed {seed}: {text}\n{}", timetable(seed));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn disorder_keeps_the_invariants_seeds_100_to_104() {
    each(100..105).await;
}

#[tokio::test(start_paused = true)]
async fn disorder_keeps_the_invariants_seeds_105_to_109() {
    each(105..110).await;
}

#[tokio::test(start_paused = true)]
async fn disorder_keeps_the_invariants_seeds_110_to_114() {
    each(110..115).await;
}

#[tokio::test(start_paused = true)]
async fn disorder_keeps_the_invariants_seeds_115_to_119() {
    each(115..120).await;
}
