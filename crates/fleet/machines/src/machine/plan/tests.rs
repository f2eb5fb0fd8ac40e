use muster_api::machine::MachineSpec;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn world(seconds: i64) -> World {
    World {
        site: true,
        rack: Some("a".into()),
        role: true,
        profile: Some(HardwareProfileSpec::default()),
        serial_of: None,
        bmc_of: None,
        inventory: None,
        now: at(seconds),
        inspection_deadline: Duration::from_secs(600),
    }
}

fn machine(role: &str) -> Machine {
    Machine::new("m1", MachineSpec { site: "a".into(), role: role.into(), ..MachineSpec::default() })
}

fn told(status: &MachineStatus) -> Vec<String> {
    status.transitions.iter().map(|t| format!("{}: {}", t.to.as_str(), t.reason)).collect()
}

fn after(mut machine: Machine, plan: &Plan) -> Machine {
    machine.status = plan.status.clone().or(machine.status);
    machine
}

#[test]
fn a_new_machine_with_a_role_is_registered_and_inspected_with_a_deadline() {
    let first = plan(&machine("worker"), &world(0));
    let status = first.status.clone().unwrap();
    assert_eq!(
        told(&status),
        ["Registered: taken in at site a", "Inspecting: its facts are read before it becomes worker"]
    );
    assert_eq!((status.deadline, first.look_again), (Some(at(600)), Some(Duration::from_secs(600))));
}

#[test]
fn a_second_look_changes_nothing() {
    for role in ["worker", ""] {
        let first = plan(&machine(role), &world(0));
        let second = plan(&after(machine(role), &first), &world(7));
        assert_eq!(second.status, None, "{role:?}");
    }
}

#[test]
fn a_machine_without_a_role_stays_registered() {
    let status = plan(&machine(""), &world(0)).status.unwrap();
    assert_eq!((status.phase, status.deadline), (Phase::Registered, None));
}

#[test]
fn what_another_object_shows_to_be_wrong_is_answered_with_the_field_and_goes_no_further() {
    for (world, reason, path) in [
        (World { role: false, ..world(0) }, "UnknownRole", "spec.role: "),
        (World { site: false, ..world(0) }, "UnknownSite", "spec.site: "),
        (World { rack: None, ..world(0) }, "UnknownRack", "spec.rack: "),
        (World { rack: Some("b".into()), ..world(0) }, "RackInAnotherSite", "spec.rack: "),
        (World { profile: None, ..world(0) }, "UnknownProfile", "spec.profile: "),
        (World { serial_of: Some("m0".into()), ..world(0) }, "DuplicateSerial", "spec.serial: "),
        (World { bmc_of: Some("m0".into()), ..world(0) }, "DuplicateBmcAddress", "spec.bmc.address: "),
    ] {
        let mut machine = machine("nosuch");
        machine.spec.rack = "r1".into();
        machine.spec.profile = "big".into();
        let status = plan(&machine, &world).status.unwrap();
        let verdict = condition::find(&status.conditions, ACCEPTED).unwrap();
        assert_eq!((verdict.status, verdict.reason.as_str()), (Status::False, reason));
        assert!(verdict.message.starts_with(path), "{}", verdict.message);
        assert_eq!(status.phase, Phase::Registered);
    }
}

#[test]
fn an_inspection_without_facts_fails_at_its_deadline_and_not_before() {
    let inspecting = after(machine("worker"), &plan(&machine("worker"), &world(0)));
    assert_eq!(plan(&inspecting, &world(599)).status, None);
    let late = plan(&inspecting, &world(600));
    assert_eq!(late.overdue, Some(Phase::Inspecting));
    let status = late.status.unwrap();
    assert_eq!(status.phase, Phase::Failed);
    assert!(status.message.contains("is the agent running"), "{}", status.message);
}

#[test]
fn with_its_facts_it_waits_for_its_run_and_takes_over_the_boot_id() {
    let inspecting = after(machine("worker"), &plan(&machine("worker"), &world(0)));
    let facts = InventoryStatus { boot_id: "b-1".into(), ..InventoryStatus::default() };
    let status = plan(&inspecting, &World { inventory: Some(facts), ..world(900) }).status.unwrap();
    assert_eq!((status.phase, status.boot_id.as_str()), (Phase::Inspecting, "b-1"));
}

#[test]
fn a_machine_is_compared_with_its_profile_once_both_are_known() {
    let mut machine = machine("worker");
    machine.spec.profile = "big".into();
    let profile = Some(HardwareProfileSpec { memory_gib: 64, ..HardwareProfileSpec::default() });
    let told = |inventory: Option<InventoryStatus>| {
        let status =
            plan(&machine, &World { profile: profile.clone(), inventory, ..world(0) }).status.unwrap();
        condition::find(&status.conditions, MATCHES_PROFILE).map(|c| (c.status, c.message.clone()))
    };
    let seen = |memory_gib| Some(InventoryStatus { memory_gib, ..InventoryStatus::default() });
    assert_eq!(told(None), None);
    assert_eq!(told(seen(64)), Some((Status::True, "every part of big is there".to_owned())));
    let missing = "missing: memory: 2 of 64 GiB, 62 found".to_owned();
    assert_eq!(told(seen(62)), Some((Status::False, missing)));
}

#[test]
fn a_machine_whose_role_is_taken_back_before_anything_was_installed_waits_for_another() {
    let mut inspecting = after(machine("worker"), &plan(&machine("worker"), &world(0)));
    inspecting.spec.role.clear();
    let status = plan(&inspecting, &world(5)).status.unwrap();
    assert_eq!((status.phase, status.deadline), (Phase::Registered, None));
    inspecting.status.as_mut().unwrap().run = "provision".into();
    assert_eq!(plan(&inspecting, &world(5)).status, None);
}
