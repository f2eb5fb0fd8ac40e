//! Machines are taken in.

use std::time::Duration;

use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use muster_api::claim::{CLAIMED_BY, MachineClaimSpec, Spread};
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::machine::{Bmc, MachineSpec};
use muster_api::profile::HardwareProfileSpec;
use muster_api::rack::RackSpec;
use muster_api::role::MachineRoleSpec;
use muster_api::site::SiteSpec;
use muster_api::{HardwareProfile, Machine, MachineClaim, MachineRole, Rack, Site};
use muster_sim::{Phase, Watches, World};

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

#[tokio::test(start_paused = true)]
async fn what_a_machine_names_is_looked_for_before_the_machine_is_refused() {
    let params = PostParams::default();
    for (seed, kind) in ["sites", "racks", "machineroles", "hardwareprofiles"].into_iter().enumerate() {
        let world = World::build(60 + u64::try_from(seed).unwrap()).await;
        world.fleet_faults().set_watches(Watches::DeniedOf(kind));
        tokio::time::sleep(Duration::from_secs(1)).await;
        Api::<Site>::all(world.admin()).create(&params, &Site::new("a", SiteSpec::default())).await.unwrap();
        let rack = Rack::new("r1", RackSpec { site: "a".into(), ..RackSpec::default() });
        Api::<Rack>::all(world.admin()).create(&params, &rack).await.unwrap();
        let role = MachineRole::new("late", MachineRoleSpec::default());
        Api::<MachineRole>::all(world.admin()).create(&params, &role).await.unwrap();
        let profile = HardwareProfile::new("large", HardwareProfileSpec::default());
        Api::<HardwareProfile>::all(world.admin()).create(&params, &profile).await.unwrap();
        let mut machine = bearing("m1", "S1", "redfish://h/1");
        machine.spec.role = "late".into();
        machine.spec.profile = "large".into();
        let mut lost = machine.clone();
        lost.metadata.name = Some("m2".into());
        lost.spec.role = "never".into();
        let machines: Api<Machine> = Api::all(world.admin());
        machines.create(&params, &machine).await.unwrap();
        machines.create(&params, &lost).await.unwrap();
        answered(&world, "m2", "UnknownRole").await;
        answered(&world, "m1", "Valid").await;
        let refused = |machine: &Machine| {
            let status = machine.status.clone().unwrap_or_default();
            condition::find(&status.conditions, ACCEPTED)
                .is_some_and(|verdict| verdict.status == Status::False)
        };
        let history = world.history::<Machine>();
        let mut versions = history.iter().map(|seen| &seen.object).filter(|object| object.name_any() == "m1");
        assert!(!versions.any(refused), "{kind}: refused for a moment");
    }
}

async fn free_machines(world: &World, racks: usize, each: usize) {
    let params = PostParams::default();
    Api::<Site>::all(world.admin())
        .create(&params, &Site::new("a", SiteSpec::default()))
        .await
        .expect("the API takes it");
    for rack in 0..racks {
        let name = format!("r{rack}");
        let object = Rack::new(&name, RackSpec { site: "a".into(), ..RackSpec::default() });
        Api::<Rack>::all(world.admin()).create(&params, &object).await.expect("the API takes it");
        for number in 0..each {
            let spec = MachineSpec { site: "a".into(), rack: name.clone(), ..MachineSpec::default() };
            let machine = Machine::new(&format!("m{rack}{number}"), spec);
            Api::<Machine>::all(world.admin()).create(&params, &machine).await.expect("the API takes it");
        }
    }
}

async fn claim(world: &World, name: &str, count: u32, where_: &str) {
    let spec = MachineClaimSpec {
        role: "worker".into(),
        count,
        where_: where_.into(),
        spread: Some(Spread::Rack),
        per_domain_max: None,
    };
    let claims: Api<MachineClaim> = Api::all(world.admin());
    claims.create(&PostParams::default(), &MachineClaim::new(name, spec)).await.expect("the API takes it");
}

async fn bound(world: &World, name: &str, machines: &[&str], reason: &str) {
    world
        .wait(&format!("{name} to hold {machines:?}"), Duration::from_secs(5), |world| {
            let claim: MachineClaim = world.get("", name).ok_or("it is not there")?;
            let status = claim.status.unwrap_or_default();
            if status.machines == machines && status.reason == reason {
                return Ok(());
            }
            Err(format!("{:?}: {}", status.machines, status.reason))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn claims_share_the_free_machines_over_racks_and_give_them_back() {
    let world = World::build(4).await;
    free_machines(&world, 2, 3).await;
    claim(&world, "first", 3, "machine.spec.site == \"a\"").await;
    claim(&world, "second", 4, "").await;
    bound(&world, "first", &["m00", "m01", "m10"], "").await;
    let missing = "1 of 4 missing: there are 6, of which 3 carry a role already";
    bound(&world, "second", &["m02", "m11", "m12"], missing).await;
    for machine in world.list::<Machine>() {
        assert_eq!(machine.spec.role, "worker");
        assert!(machine.annotations().contains_key(CLAIMED_BY));
    }
    let claims: Api<MachineClaim> = Api::all(world.admin());
    claims.delete("first", &DeleteParams::default()).await.unwrap();
    world
        .wait("the first claim to be gone", Duration::from_secs(5), |world| {
            match world.get::<MachineClaim>("", "first") {
                None => Ok(()),
                Some(claim) => Err(format!("{:?}", claim.metadata.finalizers)),
            }
        })
        .await;
    world
        .wait("the second claim to be served", Duration::from_secs(5), |world| {
            let claim: MachineClaim = world.get("", "second").ok_or("it is not there")?;
            let status = claim.status.unwrap_or_default();
            if status.bound == 4 && status.reason.is_empty() {
                return Ok(());
            }
            Err(format!("{:?}: {}", status.machines, status.reason))
        })
        .await;
    let machines = world.list::<Machine>();
    let free = machines.iter().filter(|machine| !machine.annotations().contains_key(CLAIMED_BY));
    let roles: Vec<&str> = free.map(|machine| machine.spec.role.as_str()).collect();
    assert_eq!(roles, ["", ""]);
    claim(&world, "third", 1, "machine.spec.sight == 1 &&").await;
    world
        .wait("the bad claim to be answered", Duration::from_secs(1), |world| {
            let claim: MachineClaim = world.get("", "third").ok_or("it is not there")?;
            let status = claim.status.unwrap_or_default();
            let verdict = condition::find(&status.conditions, ACCEPTED).ok_or("no answer")?;
            let fine = verdict.reason == "BadExpression" && verdict.message.starts_with("spec.where: ");
            if fine { Ok(()) } else { Err(format!("{verdict:?}")) }
        })
        .await;
}
