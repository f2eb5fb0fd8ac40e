//! Machines are taken in.

use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, PostParams};
use muster_api::condition::{self, ACCEPTED};
use muster_api::machine::{Bmc, MachineSpec};
use muster_api::rack::RackSpec;
use muster_api::site::SiteSpec;
use muster_api::{Machine, Rack, Site};
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

fn bearing(name: &str, serial: &str, bmc: &str) -> Machine {
    let bmc = Some(Bmc { address: bmc.to_owned(), secret_ref: String::new() });
    let spec = MachineSpec {
        site: "a".into(),
        rack: "r1".into(),
        serial: serial.to_owned(),
        bmc,
        ..MachineSpec::default()
    };
    Machine::new(name, spec)
}

/// Waits at most the second the contract gives the owner.
async fn answered(world: &World, name: &str, reason: &str) -> String {
    let verdict = |world: &World| {
        let status = world.get::<Machine>("", name)?.status.unwrap_or_default();
        condition::find(&status.conditions, ACCEPTED)
            .map(|verdict| (verdict.reason.clone(), verdict.message.clone()))
    };
    world
        .wait(&format!("{name} to be answered {reason}"), Duration::from_secs(1), |world| {
            let (found, message) = verdict(world).ok_or("no answer")?;
            if found == reason { Ok(()) } else { Err(format!("{found}: {message}")) }
        })
        .await;
    verdict(world).map(|(_, message)| message).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn what_another_machine_bears_is_refused_within_a_second_and_free_again_when_that_one_is_gone() {
    let world = World::build(3).await;
    let params = PostParams::default();
    let machines: Api<Machine> = Api::all(world.admin());
    Api::<Site>::all(world.admin()).create(&params, &Site::new("a", SiteSpec::default())).await.unwrap();
    machines.create(&params, &bearing("m1", "S1", "redfish://h/1")).await.unwrap();
    answered(&world, "m1", "UnknownRack").await;
    let rack = Rack::new("r1", RackSpec { site: "a".into(), ..RackSpec::default() });
    Api::<Rack>::all(world.admin()).create(&params, &rack).await.unwrap();
    answered(&world, "m1", "Valid").await;
    machines.create(&params, &bearing("m2", "S1", "redfish://h/2")).await.unwrap();
    let message = answered(&world, "m2", "DuplicateSerial").await;
    assert!(
        message.starts_with("spec.serial: the serial \"S1\" belongs to Machine \"m1\" already"),
        "{message}"
    );
    machines.create(&params, &bearing("m3", "S3", "redfish://H:443/1")).await.unwrap();
    let message = answered(&world, "m3", "DuplicateBmcAddress").await;
    assert!(message.starts_with("spec.bmc.address: "), "{message}");
    machines.delete("m1", &DeleteParams::default()).await.unwrap();
    answered(&world, "m2", "Valid").await;
    answered(&world, "m3", "Valid").await;
    world
        .wait("the rack to count its machines", Duration::from_secs(2), |world| {
            let counted = world.get::<Rack>("", "r1").and_then(|rack| rack.status).unwrap_or_default();
            if counted.machines == 2 && counted.phases.get("Registered") == Some(&2) {
                return Ok(());
            }
            Err(format!("{counted:?}"))
        })
        .await;
}
