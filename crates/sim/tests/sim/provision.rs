//! A role put on a machine that is slower than what waits for it.

use muster_agent::runtime::fake::Network;
use muster_api::workflow::{Run, RunPhase};
use muster_sim::{Phase, World};

use crate::support::{healthy, seconds, steps};

#[tokio::test(start_paused = true)]
async fn a_machine_whose_network_is_still_being_made_is_not_found_wanting() {
    let world = World::build(12).await;
    let machine = world.add_machine("m0", "site-a").await;
    machine.runtime().set_readiness(Network::Missing);
    world.wait_phase("m0", Phase::Probation).await;
    let from = world.now();
    world
        .wait("ten seconds of probation", seconds(60), |world| {
            if from.duration_since(world.now()).abs().as_secs() < 10 { Err(String::new()) } else { Ok(()) }
        })
        .await;
    assert_eq!(world.phase("m0"), Some(Phase::Probation));
    machine.runtime().set_readiness(Network::Ready);
    healthy(&world, &["m0"]).await;
    let run = world.list::<Run>().remove(0);
    let probation = steps(&run).into_iter().find(|(name, ..)| *name == "probation");
    assert_eq!(probation, Some(("probation", RunPhase::Succeeded, 1)));
}
