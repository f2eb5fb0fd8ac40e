//! A role put on a machine that is slower than what waits for it.

use muster_agent::runtime::fake::{Fake, Health, Network};
use muster_api::workflow::{Run, RunPhase};
use muster_sim::{Phase, World};

use crate::support::{healthy, seconds, steps};

/// The first attempt of its probation succeeds, though for some seconds of it `lack` held.
async fn is_waited_for(seed: u64, lack: impl Fn(&Fake), mend: impl Fn(&Fake), for_seconds: u64) {
    let world = World::build(seed).await;
    let machine = world.add_machine("m0", "site-a").await;
    world.wait_phase("m0", Phase::Probation).await;
    lack(machine.runtime());
    let from = world.now();
    world
        .wait("seconds of probation", seconds(60), |world| {
            let passed = world.now().duration_since(from).as_secs();
            if passed < i64::try_from(for_seconds).unwrap() { Err(format!("{passed}")) } else { Ok(()) }
        })
        .await;
    assert_eq!(world.phase("m0"), Some(Phase::Probation));
    mend(machine.runtime());
    healthy(&world, &["m0"]).await;
    let run = world.list::<Run>().remove(0);
    let probation = steps(&run).into_iter().find(|(name, ..)| *name == "probation");
    assert_eq!(probation, Some(("probation", RunPhase::Succeeded, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_network_is_still_being_made_is_not_found_wanting() {
    let missing = |runtime: &Fake| runtime.set_readiness(Network::Missing);
    is_waited_for(12, missing, |runtime| runtime.set_readiness(Network::Ready), 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_just_booted_and_starts_its_runtime_is_not_found_wanting() {
    let dead = |runtime: &Fake| runtime.set_health(Health::Dead);
    is_waited_for(13, dead, |runtime| runtime.set_health(Health::Well), 5).await;
}
