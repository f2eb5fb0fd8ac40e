//! What several stories look at.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_api::order::Verb;
use muster_api::problem::State;
use muster_api::workflow::{Run, RunPhase};
use muster_api::{Machine, Problem};
use muster_sim::{Phase, World};

pub(crate) const HUNG: &str = "runtime.hung";

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) async fn healthy(world: &World, machines: &[&str]) {
    for machine in machines {
        world.wait_phase(machine, Phase::Healthy).await;
    }
}

/// The names of `count` machines.
pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number}")).collect()
}

/// The phases a machine went through, by its own account.
pub(crate) fn phases(world: &World, machine: &str) -> Vec<Phase> {
    let machine: Machine = world.get("", machine).expect("the machine is there");
    machine.status.unwrap_or_default().transitions.iter().map(|transition| transition.to).collect()
}

/// Waits until the machine has come back from the repair of that episode and nobody has it in hand.
pub(crate) async fn repaired(world: &World, machine: &str, episode: i64, max: Duration) {
    let what = format!("{machine} to be back from repair {episode}");
    let problem = format!("{machine}.{HUNG}.containerd");
    world
        .wait(&what, max, |world| {
            let status =
                world.get::<Machine>("", machine).and_then(|machine| machine.status).unwrap_or_default();
            let fault =
                world.get::<Problem>("", &problem).and_then(|problem| problem.status).unwrap_or_default();
            let run = world.get::<Run>("", &format!("repair-{problem}-{episode}")).and_then(|run| run.status);
            let run = run.unwrap_or_default();
            let back = status.phase == Phase::Healthy && status.run.is_empty() && run.phase.is_final();
            if back && (fault.state, fault.episode) == (State::Clear, episode) {
                return Ok(());
            }
            Err(format!(
                "{:?} in hand of {:?}; {:?} in episode {}; run {:?}: {}",
                status.phase, status.run, fault.state, fault.episode, run.phase, run.message
            ))
        })
        .await;
}

/// The repairs of a machine, oldest first.
pub(crate) fn repairs_of(world: &World, machine: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = world.list::<Run>();
    runs.retain(|run| run.spec.machine == machine && !run.spec.problem.is_empty());
    runs.sort_by_key(|run| (run.spec.episode, run.metadata.name.clone()));
    runs
}

/// The steps of a run: name, how it ended, attempts.
pub(crate) fn steps(run: &Run) -> Vec<(&str, RunPhase, u32)> {
    let status = run.status.as_ref().expect("the run was begun");
    status.steps.iter().map(|step| (step.step.name.as_str(), step.phase, step.attempt)).collect()
}

pub(crate) const REPAIR: [(&str, RunPhase, u32); 7] = [
    ("grant", RunPhase::Succeeded, 1),
    ("cordon", RunPhase::Succeeded, 1),
    ("restart-runtime", RunPhase::Succeeded, 1),
    ("probation", RunPhase::Succeeded, 1),
    ("uncordon", RunPhase::Succeeded, 1),
    ("healthy", RunPhase::Succeeded, 1),
    ("release", RunPhase::Succeeded, 1),
];

/// How often each effect of a run happened.
pub(crate) fn effects_of(world: &World, run: &str) -> BTreeMap<(String, u32, &'static str), usize> {
    let mut effects = BTreeMap::new();
    for effect in world.effects().into_iter().filter(|effect| effect.run == run) {
        *effects.entry((effect.step, effect.attempt, effect.verb.as_str())).or_insert(0) += 1;
    }
    effects
}

/// The effects of one clean repair.
pub(crate) fn clean_repair() -> BTreeMap<(String, u32, &'static str), usize> {
    BTreeMap::from([
        (("restart-runtime".to_owned(), 1, Verb::RestartService.as_str()), 1),
        (("probation".to_owned(), 1, Verb::CheckContainerStart.as_str()), 1),
    ])
}
