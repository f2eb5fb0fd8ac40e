//! Machines are taken in.

use muster_api::Machine;
use muster_sim::{Phase, World};

const LIFE: [Phase; 5] =
    [Phase::Registered, Phase::Inspecting, Phase::Provisioning, Phase::Probation, Phase::Healthy];

#[tokio::test(start_paused = true)]
async fn ten_machines_taken_in_become_healthy_each_phase_once_and_in_order() {
    let world = World::build(1).await;
    for number in 0..10 {
        world.add_machine(&format!("m{number}"), "site-a").await;
    }
    for number in 0..10 {
        world.wait_phase(&format!("m{number}"), Phase::Healthy).await;
    }
    for machine in world.list::<Machine>() {
        let phases: Vec<Phase> =
            machine.status.as_ref().unwrap().transitions.iter().map(|transition| transition.to).collect();
        assert_eq!(phases, LIFE, "{:?}", machine.metadata.name);
    }
}
