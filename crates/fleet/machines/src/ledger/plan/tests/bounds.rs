//! Which bound holds where, and who comes first.

use muster_api::budget::Approval;
use muster_api::disruption::{Counted, Destruction};
use muster_api::machine::Transition;

use super::*;

#[test]
fn a_site_or_rack_without_a_budget_still_has_a_bound() {
    let machines = machines("m1=Healthy m2=Healthy m3=Healthy@b");
    let plan = run(&[request("m1"), request("m2"), request("m3")], &machines, &[]);
    assert_eq!(
        decided(&plan),
        [
            "run-m1: Granted: granted",
            "run-m3: Granted: granted",
            "run-m2: Waiting: site a without a DisruptionBudget allows 1 at once, and 1 counted as down at 2027-01-15T08:00:00Z (m1)",
        ]
    );
    let machines = super::machines("m1=Healthy@a/r1 m2=Healthy@a/r1 m3=Healthy@a/r2");
    let budgets = [budget("a", site("a"), Some(9), None)];
    let plan = run(&[request("m1"), request("m2"), request("m3")], &machines, &budgets);
    assert_eq!(plan.grants.len(), 2);
    assert_eq!(plan.decisions[0].status.blocked_by, "Rack/a/r1");
}

#[test]
fn the_name_of_a_rack_means_something_in_its_site_only() {
    let rack = Scope { site: Some("a".into()), rack: Some("r1".into()), ..Scope::default() };
    let budgets = [
        budget("rack", rack, Some(0), None),
        budget("a", site("a"), Some(9), None),
        budget("b", site("b"), Some(9), None),
    ];
    let machines = machines("m1=Healthy@a/r1 m2=Healthy@b/r1");
    let plan = run(&[request("m1"), request("m2")], &machines, &budgets);
    assert_eq!(decided(&plan)[0], "run-m2: Granted: granted");
    assert_eq!(plan.decisions[0].status.blocked_by, "DisruptionBudget/rack");
}

#[test]
fn a12d_a_machine_that_is_down_takes_nothing_more_and_yet_not_all_of_them_are_worked_on_at_once() {
    let budgets = [budget("a", site("a"), Some(2), None)];
    let machines = machines("m1=Failed m2=Failed m3=Quarantined m4=Healthy");
    let requests = [request("m1"), request("m2"), request("m3"), request("m4")];
    let plan = run(&requests, &machines, &budgets);
    assert_eq!(
        decided(&plan),
        [
            "run-m1: Granted: granted",
            "run-m2: Granted: granted",
            "run-m3: Waiting: DisruptionBudget a allows 2 at once, and 2 were under a grant at 2027-01-15T08:00:00Z",
            "run-m4: Waiting: DisruptionBudget a allows 2 at once, and 3 counted as down at 2027-01-15T08:00:00Z (m1, m2, m3)",
        ]
    );
    assert_eq!(plan.budgets[0].1, DisruptionBudgetStatus { allows: 2, in_use: 3, waiting: 2 });
}

#[test]
fn zero_forbids_and_a_share_is_rounded_down() {
    let machines = machines("m1=Healthy m2=Healthy");
    for budget in [budget("z", site("a"), Some(0), None), budget("z", site("a"), Some(5), Some(49))] {
        let plan = run(&[request("m1")], &machines, &[budget]);
        assert_eq!(
            decided(&plan),
            [
                "run-m1: Waiting: DisruptionBudget z allows 0 at once, and 0 counted as down at 2027-01-15T08:00:00Z ()"
            ]
        );
    }
    let half = [budget("z", site("a"), None, Some(50))];
    assert_eq!(decided(&run(&[request("m1")], &machines, &half)), ["run-m1: Granted: granted"]);
}

#[test]
fn newcomers_and_retired_machines_count_on_neither_side() {
    let mut newcomer = (*machines("n=Probation")[0]).clone();
    let first = Transition {
        at: at(-9),
        from: None,
        to: Phase::Registered,
        reason: String::new(),
        run: String::new(),
    };
    newcomer.status.as_mut().unwrap().transitions = vec![first];
    let mut machines = machines("m1=Healthy m2=Retired m3=Registered m4=Inspecting");
    machines.push(Arc::new(newcomer.clone()));
    assert_eq!(decided(&run(&[request("m1")], &machines, &[])), ["run-m1: Granted: granted"]);
    newcomer.status.as_mut().unwrap().transitions.clear();
    machines.push(Arc::new(newcomer));
    assert!(run(&[request("m1")], &machines, &[]).grants.is_empty());
}

#[test]
fn a_freeze_holds_with_its_end() {
    let mut frozen = budget("a", site("a"), Some(9), None);
    frozen.spec.freeze = vec![Freeze { from: at(-10), to: at(20), reason: "fair".into() }];
    let plan = run(&[request("m1")], &machines("m1=Healthy"), &[frozen]);
    assert_eq!(
        decided(&plan),
        ["run-m1: Waiting: DisruptionBudget a is frozen until 2027-01-15T08:00:20Z: fair"]
    );
    assert_eq!(plan.look_again_at, Some(at(20)));
}

#[test]
fn the_oldest_comes_first_and_blocks_nobody_whose_domains_have_room() {
    let rack = |rack: &str| Scope { site: Some("a".into()), rack: Some(rack.into()), ..Scope::default() };
    let budgets = [
        budget("a", site("a"), Some(9), None),
        budget("r1", rack("r1"), Some(0), None),
        budget("r2", rack("r2"), Some(1), None),
    ];
    let machines = machines("m1=Healthy@a/r1 m2=Healthy@a/r2 m3=Healthy@a/r2");
    let requests = [aged(request("m1"), 90), aged(request("m2"), 10), aged(request("m3"), 20)];
    let plan = run(&requests, &machines, &budgets);
    let granted: Vec<&str> = plan.grants.iter().map(|grant| grant.request.as_str()).collect();
    assert_eq!(granted, ["run-m3"]);
}

/// The site has two places, the rack of the old request none: younger requests of other racks would take each place of
/// the site that comes free, for ever.
#[test]
fn one_that_has_waited_long_keeps_the_places_that_are_free_for_it() {
    let budgets = [budget("a", site("a"), Some(2), None)];
    let machines = machines("m1=Healthy@a/r1 busy=Disrupted@a/r1 m2=Healthy@a/r2");
    let young = [granted("busy"), aged(request("m1"), 599), aged(request("m2"), 1)];
    assert_eq!(run(&young, &machines, &budgets).grants[0].request, "run-m2");
    let old = [granted("busy"), aged(request("m1"), 600), aged(request("m2"), 1)];
    let plan = run(&old, &machines, &budgets);
    assert!(plan.grants.is_empty());
    assert!(
        decided(&plan)[1].starts_with(
            "run-m2: Waiting: DisruptionBudget a keeps its last place for run-m1, which waits longest"
        ),
        "{:?}",
        decided(&plan)
    );
    let mut free = machines.clone();
    free[1] = super::machines("busy=Healthy@a/r1").remove(0);
    let mut given = Given::new(&old[1..], &free, &budgets);
    given.budgets[0].spec.max = Some(1);
    assert_eq!(given.plan().grants[0].request, "run-m1");
}

#[test]
fn a_grant_counts_where_it_was_given_and_where_its_machine_was_moved_to() {
    let mut moved = granted("m1");
    moved.status.as_mut().unwrap().counted =
        Some(Counted { site: "a".into(), rack: "r1".into(), role: "worker".into() });
    let machines = machines("m1=Disrupted@a/r2 m2=Healthy@a/r1 m3=Healthy@a/r2 m4=Healthy@a/r3");
    let budgets = [budget("a", site("a"), Some(9), None)];
    let plan = run(&[moved, request("m2"), request("m3"), request("m4")], &machines, &budgets);
    let granted: Vec<&str> = plan.grants.iter().map(|grant| grant.request.as_str()).collect();
    assert_eq!(granted, ["run-m4"]);
    assert_eq!(plan.budgets[0].1.in_use, 2, "a machine counts once in a site");
}

fn erasure(machine: &str, phase: Phase) -> Disruption {
    let mut request = request(machine);
    request.spec.act = Some(Destruction::Erase);
    request.spec.phase = Some(phase);
    request
}

#[test]
fn what_destroys_reaches_one_percent_of_a_role_a_day_unless_a_person_says_more() {
    let text: Vec<String> = (0..200).map(|i| format!("m{i}=Failed@a")).collect();
    let machines = machines(&text.join(" "));
    let budgets = [budget("a", site("a"), Some(200), None)];
    let requests: Vec<Disruption> = (0..5).map(|i| erasure(&format!("m{i}"), Phase::Failed)).collect();
    let mut given = Given::new(&requests, &machines, &budgets);
    given.settle();
    let phases = |given: &Given| {
        given.requests.iter().filter(|request| phase(request) == DisruptionPhase::Granted).count()
    };
    assert_eq!(phases(&given), 2);
    assert!(given.requests[2].status.as_ref().unwrap().reason.starts_with(
        "erase of more than 2 machines of role \"worker\" within 24 hours needs a person's word"
    ));
    for request in &mut given.requests {
        request.spec.released = phase(request) == DisruptionPhase::Granted;
    }
    given.settle();
    given.now = 3000;
    given.settle();
    assert_eq!(phases(&given), 0, "what was given back counts for a day");
    let role = Scope { role: Some("worker".into()), ..Scope::default() };
    let mut approved = budget("erase", role, Some(200), None);
    let word = Approval { max: 4, by: "ops".into(), reason: "old disks".into(), until: at(3100) };
    approved.spec.destruction = Some(word);
    given.budgets.push(approved);
    given.settle();
    assert_eq!(phases(&given), 2);
    given.now = 3100;
    given.requests.push(erasure("m9", Phase::Failed));
    given.settle();
    assert_eq!(phases(&given), 2, "a word that has ended counts no more");
}

#[test]
fn who_is_going_to_destroy_serves_until_there_is_leave_for_that_and_holds_nothing_meanwhile() {
    let machines = machines("m1=Failed@a m2=Healthy@a m3=Healthy@a");
    let budgets = [budget("a", site("a"), Some(3), None)];
    let mut intends = request("m2");
    intends.spec.intends = Some(Destruction::Reimage);
    let mut given = Given::new(&[erasure("m1", Phase::Failed)], &machines, &budgets);
    assert_eq!(given.settle(), ["run-m1: Granted: granted"]);
    given.requests.extend([intends, request("m3")]);
    let told = given.settle();
    let waits = "run-m2: Waiting: reimage of more than 1 machines of role \"worker\" within 24 hours needs a person's word";
    assert!(told.iter().any(|told| told.starts_with(waits)), "{told:?}");
    assert!(told.contains(&"run-m3: Granted: granted".to_owned()), "it blocks nobody: {told:?}");
    let role = Scope { role: Some("worker".into()), ..Scope::default() };
    let mut approved = budget("reimage", role, Some(200), None);
    approved.spec.destruction =
        Some(Approval { max: 2, by: "ops".into(), reason: "two".into(), until: at(3100) });
    given.budgets.push(approved);
    let told = given.settle();
    assert!(told.contains(&"run-m2: Granted: granted".to_owned()), "{told:?}");
}

#[test]
fn a15_what_destroys_needs_the_machine_in_the_phase_it_names() {
    let plan = run(&[erasure("m1", Phase::Failed)], &machines("m1=Healthy"), &[]);
    assert_eq!(decided(&plan), ["run-m1: Denied: spec.phase: machine m1 is Healthy, not Failed"]);
}

#[test]
fn what_destroys_on_a_machine_that_is_disturbed_is_for_the_run_that_disturbs_it() {
    let machines = machines("m1=Disrupted");
    let mut held = request("m1");
    held.spec.run = "mine".to_owned();
    let budgets = [budget("a", site("a"), Some(1), None)];
    let erase = |run: &str| {
        let mut erase = erasure("m1", Phase::Disrupted);
        erase.metadata.name = Some(format!("erase-{run}"));
        erase.spec.run = run.to_owned();
        erase
    };
    let mut given = Given::new(&[held], &machines, &budgets);
    assert_eq!(given.settle(), ["run-m1: Granted: granted"]);
    given.requests.extend([erase("other"), erase("mine"), erase("")]);
    let told = given.settle();
    assert!(told.contains(&"erase-mine: Granted: granted".to_owned()), "{told:?}");
    for other in ["other", ""] {
        let waits = format!("erase-{other}: Waiting: machine m1 is already disturbed under another grant");
        assert!(told.contains(&waits), "{told:?}");
    }
}

/// A decommission was done, its set of machines is empty by now, and it is started again.
#[test]
fn a15_diskerase_replay_an_empty_set_of_targets_touches_nothing() {
    let machines = machines("m1=Failed m2=Healthy m3=Quarantined@b");
    let mut given = Given::new(&[erasure("m1", Phase::Failed)], &machines, &[]);
    assert_eq!(given.settle(), ["run-m1: Granted: granted"]);
    given.requests.clear();
    let plan = given.plan();
    assert_eq!((plan.grants, plan.decisions, plan.look_at), (vec![], vec![], BTreeSet::new()));
    for target in ["", "*", "m*"] {
        let mut unnamed = Given::new(&[erasure(target, Phase::Failed)], &machines, &[]);
        let told = unnamed.settle();
        assert_eq!(told, [format!("run-{target}: Denied: spec.machine: there is no Machine {target:?}")]);
    }
}

/// Linear in machines and in requests: many of both take little more than few.
#[test]
fn a_fleet_of_a_hundred_thousand_machines_is_decided_at_once() {
    let fleet: Vec<Arc<Machine>> = (0..100_000)
        .map(|i| {
            let spec = MachineSpec {
                site: format!("s{}", i % 84),
                rack: format!("r{}", i / 84 % 30),
                role: format!("role{}", i % 7),
                ..MachineSpec::default()
            };
            let mut machine = Machine::new(&format!("m{i}"), spec);
            machine.status = Some(MachineStatus { phase: Phase::Healthy, ..MachineStatus::default() });
            Arc::new(machine)
        })
        .collect();
    let requests: Vec<Disruption> = (0..2000).map(|i| request(&format!("m{}", i * 49))).collect();
    let rack = |i: usize| Scope {
        site: Some(format!("s{}", i % 84)),
        rack: Some(format!("r{}", i % 30)),
        ..Scope::default()
    };
    let budgets: Vec<DisruptionBudget> =
        (0..500).map(|i| budget(&format!("b{i}"), rack(i), Some(1), None)).collect();
    let given = Given::new(&requests, &fleet, &budgets);
    let begin = std::time::Instant::now();
    let first = given.plan_with(&Fresh::new());
    let took = begin.elapsed();
    assert_eq!(first.look_at.len(), BATCH_MAX);
    assert!(took < Duration::from_secs(20), "{took:?}: quadratic?");
}
