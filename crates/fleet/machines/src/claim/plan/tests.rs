use proptest::prelude::*;

use super::*;

/// `"m1 r1"`, then what differs: `role=db`, `by=claim`, `Healthy`, `refused`, `alone`, `unfit`.
fn machine(text: &str) -> Candidate {
    let mut words = text.split_whitespace();
    let mut machine = Candidate {
        name: words.next().unwrap().into(),
        site: "a".into(),
        rack: words.next().unwrap().into(),
        role: String::new(),
        claimed_by: String::new(),
        phase: Phase::Registered,
        accepted: true,
        left_alone: false,
        fits: true,
    };
    for word in words {
        match word.split_once('=') {
            Some(("role", role)) => machine.role = role.into(),
            Some((_, claim)) => machine.claimed_by = claim.into(),
            None if word == "refused" => machine.accepted = false,
            None if word == "alone" => machine.left_alone = true,
            None if word == "unfit" => machine.fits = false,
            None => machine.phase = *Phase::ALL.iter().find(|phase| phase.as_str() == word).unwrap(),
        }
    }
    machine
}

fn spec(count: u32, spread: Option<Spread>, max: Option<u32>) -> MachineClaimSpec {
    MachineClaimSpec { role: "db".into(), count, spread, per_domain_max: max, ..MachineClaimSpec::default() }
}

fn check(spec: &MachineClaimSpec, life: Life, machines: &[&str], expected: &str) {
    let machines: Vec<Candidate> = machines.iter().map(|text| machine(text)).collect();
    let plan = plan("c", spec, life, &machines);
    let row = |what: &str, names: &[String]| {
        if names.is_empty() { String::new() } else { format!("{what} {}; ", names.join(" ")) }
    };
    let told = [
        row("bound", &plan.bound),
        row("bind", &plan.bind),
        row("release", &plan.release),
        row("unmark", &plan.unmark),
        plan.reason,
    ];
    assert_eq!(told.concat(), expected);
}

const RACKS: Option<Spread> = Some(Spread::Rack);

#[test]
fn machines_are_spread_over_the_emptiest_racks_and_in_the_order_of_names() {
    let machines = ["m1 r1", "m2 r1", "m3 r1", "m4 r2", "m5 r3"];
    check(&spec(3, RACKS, None), Life::Serves, &machines, "bind m1 m4 m5; ");
    check(&spec(3, None, None), Life::Serves, &machines, "bind m1 m2 m3; ");
    check(&spec(4, RACKS, None), Life::Serves, &machines, "bind m1 m2 m4 m5; ");
    check(
        &spec(4, RACKS, Some(1)),
        Life::Serves,
        &machines,
        "bind m1 m4 m5; 1 of 4 missing: there are 5, of which 2 stand in a domain that is full",
    );
}

#[test]
fn what_is_bound_stays_and_counts_for_its_rack() {
    let machines = ["m1 r1", "m2 r1 role=db by=c Healthy", "m3 r2", "m4 r3"];
    check(&spec(3, RACKS, None), Life::Serves, &machines, "bound m2; bind m3 m4; ");
    check(&spec(1, RACKS, None), Life::Serves, &machines, "bound m2; ");
}

#[test]
fn nothing_is_stolen_and_what_is_missing_is_explained() {
    let machines = [
        "m1 r1 role=db",
        "m2 r1 by=other role=db",
        "m3 r1 Healthy",
        "m4 r1 refused",
        "m5 r1 alone",
        "m6 r1 unfit",
    ];
    check(
        &spec(3, None, None),
        Life::Serves,
        &machines,
        "3 of 3 missing: there are 5, of which 1 are not Registered, 1 are not accepted, 1 are to be left alone, 2 carry a role already",
    );
}

#[test]
fn a_machine_that_a_person_gave_another_role_is_let_go_without_touching_it() {
    let strayed = "m1 r1 role=web by=c";
    check(&spec(1, None, None), Life::Serves, &[strayed, "m2 r1"], "bind m2; unmark m1; ");
    check(&spec(1, None, None), Life::Ends, &[strayed], "unmark m1; ");
}

#[test]
fn fewer_wanted_gives_back_what_does_not_serve_then_the_fullest_rack() {
    let machines = [
        "m1 r1 role=db by=c Healthy",
        "m2 r1 role=db by=c Healthy",
        "m3 r2 role=db by=c Healthy",
        "m4 r2 role=db by=c Inspecting",
    ];
    check(&spec(3, RACKS, None), Life::Serves, &machines, "bound m1 m2 m3; release m4; ");
    check(&spec(2, RACKS, None), Life::Serves, &machines, "bound m1 m3; release m4 m2; ");
    check(&spec(2, RACKS, None), Life::Ends, &machines, "release m4 m2 m3 m1; ");
}

proptest! {
    #[test]
    fn a_claim_binds_free_machines_only_never_more_than_asked_and_a_second_look_changes_nothing(
        count in 1_u32..6,
        max in proptest::option::of(1_u32..3),
        seed in proptest::collection::vec(0_usize..8, 0..14),
    ) {
        let texts = ["", "role=db by=c Healthy", "role=db by=o", "Healthy", "refused", "unfit", "", "role=web by=c"];
        let row = |(index, kind): (usize, &usize)| machine(&format!("m{index:02} r{} {}", index % 3, texts[*kind]));
        let mut machines: Vec<Candidate> = seed.iter().enumerate().map(row).collect();
        let spec = spec(count, RACKS, max);
        let first = plan("c", &spec, Life::Serves, &machines);
        prop_assert!(first.bound.len() + first.bind.len() <= usize::try_from(count).unwrap());
        for machine in &mut machines {
            if first.bind.contains(&machine.name) {
                prop_assert!(is_free(machine) && machine.fits);
                machine.role = "db".into();
                machine.claimed_by = "c".into();
            }
            if first.release.contains(&machine.name) {
                prop_assert_eq!(&machine.claimed_by, "c");
                machine.role.clear();
                machine.claimed_by.clear();
            }
            if first.unmark.contains(&machine.name) {
                machine.claimed_by.clear();
            }
        }
        let second = plan("c", &spec, Life::Serves, &machines);
        prop_assert!(second.is_idle(), "{second:?}");
    }
}
