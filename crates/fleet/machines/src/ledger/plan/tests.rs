use std::collections::BTreeMap;

use muster_api::budget::{DisruptionBudgetSpec, Freeze};
use muster_api::disruption::{DisruptionSpec, Purpose};
use muster_api::machine::{HandsOff, MachineSpec, MachineStatus};
use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// `"m1=Healthy m2=Disrupted@b"`: name, phase, and the site where it is not `a`.
fn machines(text: &str) -> Vec<Arc<Machine>> {
    let machine = |word: &str| {
        let (name, rest) = word.split_once('=').unwrap();
        let (phase, site) = rest.split_once('@').unwrap_or((rest, "a"));
        let phase = Phase::ALL.into_iter().find(|p| p.as_str() == phase).unwrap();
        let spec = MachineSpec { site: site.into(), role: "worker".into(), ..MachineSpec::default() };
        let mut machine = Machine::new(name, spec);
        machine.status = Some(MachineStatus { phase, ..MachineStatus::default() });
        Arc::new(machine)
    };
    text.split_whitespace().map(machine).collect()
}

fn request(machine: &str) -> Disruption {
    let spec = DisruptionSpec {
        machine: machine.into(),
        purpose: Purpose::Repair,
        run: format!("run-{machine}"),
        until: at(3600),
        released: false,
    };
    Disruption::new(&format!("run-{machine}"), spec)
}

fn budget(name: &str, scope: Scope, max: Option<u32>, max_percent: Option<u32>) -> Arc<DisruptionBudget> {
    let spec = DisruptionBudgetSpec { scope, max, max_percent, freeze: Vec::new() };
    Arc::new(DisruptionBudget::new(name, spec))
}

fn site(name: &str) -> Scope {
    Scope { site: Some(name.into()), ..Scope::default() }
}

fn decided(plan: &Plan) -> Vec<String> {
    plan.decisions
        .iter()
        .map(|d| format!("{}: {:?}: {}", d.request, d.status.phase, d.status.reason))
        .collect()
}

fn run(requests: &[Disruption], machines: &[Arc<Machine>], budgets: &[Arc<DisruptionBudget>]) -> Plan {
    plan(&World { requests, machines, budgets, now: at(0), look_again_every: Duration::from_secs(30) })
}

#[test]
fn grants_up_to_the_budget_and_says_why_the_rest_wait() {
    let machines = machines("m1=Healthy m2=Healthy m3=Healthy m4=Disrupted");
    let requests = [request("m1"), request("m2")];
    let plan = run(&requests, &machines, &[budget("a", site("a"), Some(2), None)]);
    assert_eq!(
        decided(&plan),
        [
            "run-m1: Granted: granted",
            "run-m2: Waiting: DisruptionBudget a allows 2 at once, and 2 count as down (m1, m4)",
        ]
    );
    assert_eq!(plan.look_again_at, Some(at(30)));
    assert_eq!(plan.budgets, [("a".to_owned(), DisruptionBudgetStatus { in_use: 2, waiting: 1 })]);
}

#[test]
fn a_site_without_a_budget_still_has_a_bound() {
    let machines = machines("m1=Healthy m2=Healthy m3=Healthy@b");
    let plan = run(&[request("m1"), request("m2"), request("m3")], &machines, &[]);
    assert_eq!(
        decided(&plan),
        [
            "run-m1: Granted: granted",
            "run-m2: Waiting: site a without a DisruptionBudget allows 1 at once, and 1 count as down (m1)",
            "run-m3: Granted: granted",
        ]
    );
}

#[test]
fn a_machine_that_is_down_already_adds_nothing() {
    let plan =
        run(&[request("m1")], &machines("m1=Failed m2=Healthy"), &[budget("a", site("a"), Some(1), None)]);
    assert_eq!(decided(&plan), ["run-m1: Granted: granted"]);
}

#[test]
fn zero_forbids_and_the_smaller_bound_counts() {
    let machines = machines("m1=Healthy m2=Healthy");
    for budget in [budget("z", site("a"), Some(0), None), budget("z", site("a"), Some(5), Some(49))] {
        let plan = run(&[request("m1")], &machines, &[budget]);
        assert_eq!(
            decided(&plan),
            ["run-m1: Waiting: DisruptionBudget z allows 0 at once, and 0 count as down ()"]
        );
    }
}

#[test]
fn a_freeze_and_hands_off_hold_with_their_end() {
    let mut frozen = (*budget("a", site("a"), Some(9), None)).clone();
    frozen.spec.freeze = vec![Freeze { from: at(-10), to: at(20), reason: "fair".into() }];
    let plan = run(&[request("m1")], &machines("m1=Healthy"), &[Arc::new(frozen)]);
    assert_eq!(
        decided(&plan),
        ["run-m1: Waiting: DisruptionBudget a is frozen until 2027-01-15T08:00:20Z: fair"]
    );
    assert_eq!(plan.look_again_at, Some(at(20)));
    let mut machine = (*machines("m1=Healthy")[0]).clone();
    machine.spec.hands_off = Some(HandsOff { until: at(5), by: "ops".into(), reason: "forensics".into() });
    let plan = run(&[request("m1")], &[Arc::new(machine)], &[]);
    assert_eq!(decided(&plan), ["run-m1: Waiting: hands off until 2027-01-15T08:00:05Z by ops: forensics"]);
}

#[test]
fn a_grant_ends_when_given_back_or_out_of_time_and_an_unknown_machine_is_denied() {
    let granted = DisruptionStatus { phase: DisruptionPhase::Granted, ..DisruptionStatus::default() };
    let mut back = request("m1");
    back.spec.released = true;
    back.status = Some(granted.clone());
    let mut late = request("m2");
    late.spec.until = at(0);
    late.status = Some(granted);
    let plan = run(&[back, late, request("ghost")], &machines("m1=Healthy m2=Healthy"), &[]);
    let mut told = decided(&plan);
    told.sort();
    assert_eq!(
        told,
        [
            "run-ghost: Denied: spec.machine: there is no Machine \"ghost\"",
            "run-m1: Released: given back",
            "run-m2: Released: ran out: its time was over",
        ]
    );
}

#[test]
fn one_machine_is_never_disturbed_twice_at_once() {
    let mut second = request("m1");
    second.metadata.name = Some("upgrade-m1".into());
    let plan =
        run(&[request("m1"), second], &machines("m1=Healthy"), &[budget("a", site("a"), Some(9), None)]);
    assert_eq!(decided(&plan)[1], "upgrade-m1: Waiting: machine m1 is already disturbed under another grant");
}

fn apply(requests: &mut [Disruption], plan: &Plan) {
    let decided: BTreeMap<_, _> =
        plan.decisions.iter().map(|d| (d.request.clone(), d.status.clone())).collect();
    for request in requests {
        if let Some(status) = decided.get(&request.name_any()) {
            request.status = Some(status.clone());
        }
    }
}

proptest! {
    #[test]
    fn no_budget_is_ever_exceeded_and_a_second_plan_changes_nothing(
        phases in prop::collection::vec(0_usize..3, 1..12),
        asked in prop::collection::vec(0_usize..12, 0..12),
        max in 0_u32..5,
    ) {
        let names = ["Healthy", "Disrupted", "Failed"];
        let text: Vec<String> = phases.iter().enumerate().map(|(i, p)| format!("m{i}={}", names[*p])).collect();
        let machines = machines(&text.join(" "));
        let asked: BTreeSet<usize> = asked.into_iter().filter(|i| *i < machines.len()).collect();
        let mut requests: Vec<Disruption> = asked.iter().map(|i| request(&format!("m{i}"))).collect();
        let budgets = [budget("a", site("a"), Some(max), None)];
        let first = run(&requests, &machines, &budgets);
        apply(&mut requests, &first);
        let sick = phases.iter().filter(|p| **p != 0).count();
        let disturbed = requests.iter().filter(|r| {
            phase(r) == DisruptionPhase::Granted && phases[r.spec.machine[1..].parse::<usize>().unwrap()] == 0
        }).count();
        prop_assert!(disturbed == 0 || sick + disturbed <= usize::try_from(max).unwrap());
        prop_assert_eq!(run(&requests, &machines, &budgets).decisions, Vec::new());
    }
}
