mod bounds;
mod hold;

use muster_api::budget::{DisruptionBudgetSpec, Freeze, Scope};
use muster_api::disruption::{DisruptionSpec, Purpose};
use muster_api::machine::{HandsOff, MachineSpec, MachineStatus, Phase};
use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

const TIMING: Timing = Timing {
    look_again_every: Duration::from_secs(30),
    look_again_max: Duration::from_secs(900),
    kept_after: Duration::from_secs(600),
};

/// `"m1=Healthy m2=Disrupted@b m3=Failed@b/r1/db"`: name, phase, and site, rack and role where they are not `a`, none and
/// `worker`.
fn machines(text: &str) -> Vec<Arc<Machine>> {
    let machine = |word: &str| {
        let (name, rest) = word.split_once('=').unwrap();
        let (phase, place) = rest.split_once('@').unwrap_or((rest, "a"));
        let place: Vec<&str> = place.split('/').collect();
        let phase = Phase::ALL.into_iter().find(|p| p.as_str() == phase).unwrap();
        let spec = MachineSpec {
            site: place[0].into(),
            rack: place.get(1).copied().unwrap_or_default().into(),
            role: place.get(2).copied().unwrap_or("worker").into(),
            ..MachineSpec::default()
        };
        let mut machine = Machine::new(name, spec);
        machine.metadata.resource_version = Some("1".into());
        machine.status = Some(MachineStatus { phase, ..MachineStatus::default() });
        Arc::new(machine)
    };
    text.split_whitespace().map(machine).collect()
}

fn request(machine: &str) -> Disruption {
    let spec = DisruptionSpec {
        machine: machine.into(),
        purpose: Purpose::Repair,
        act: None,
        intends: None,
        phase: None,
        run: format!("run-{machine}"),
        until: at(3600),
        released: false,
    };
    Disruption::new(&format!("run-{machine}"), spec)
}

fn granted(machine: &str) -> Disruption {
    let mut request = request(machine);
    request.status =
        Some(DisruptionStatus { phase: DisruptionPhase::Granted, ..DisruptionStatus::default() });
    request
}

/// Asked for so many seconds ago.
fn aged(mut request: Disruption, seconds: i64) -> Disruption {
    request.metadata.creation_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(-seconds)));
    request
}

fn budget(name: &str, scope: Scope, max: Option<u32>, max_percent: Option<u32>) -> DisruptionBudget {
    let spec = DisruptionBudgetSpec { scope, max, max_percent, ..DisruptionBudgetSpec::default() };
    DisruptionBudget::new(name, spec)
}

fn site(name: &str) -> Scope {
    Scope { site: Some(name.into()), ..Scope::default() }
}

/// What a planning stands on; every machine that is to be read anew is as the watch shows it.
#[derive(Clone, Default)]
struct Given {
    requests: Vec<Disruption>,
    machines: Vec<Arc<Machine>>,
    budgets: Vec<DisruptionBudget>,
    pauses: Vec<Pause>,
    lost: BTreeMap<String, String>,
    now: i64,
}

impl Given {
    fn new(requests: &[Disruption], machines: &[Arc<Machine>], budgets: &[DisruptionBudget]) -> Self {
        Self {
            requests: requests.to_vec(),
            machines: machines.to_vec(),
            budgets: budgets.to_vec(),
            ..Self::default()
        }
    }

    fn plan_with(&self, fresh: &Fresh) -> Plan {
        plan(&World {
            requests: &self.requests,
            machines: &self.machines,
            fresh,
            budgets: &self.budgets,
            pauses: &self.pauses,
            sites: &BTreeSet::from(["a".to_owned()]),
            lost: &self.lost,
            now: at(self.now),
            timing: TIMING,
        })
    }

    fn plan(&self) -> Plan {
        let first = self.plan_with(&Fresh::new());
        let find = |name: &String| {
            let found = self.machines.iter().find(|machine| super::name(machine) == name);
            (name.clone(), found.map(|machine| (**machine).clone()))
        };
        self.plan_with(&first.look_at.iter().map(find).collect())
    }

    /// Plans, writes what was decided, and says what.
    fn settle(&mut self) -> Vec<String> {
        let plan = self.plan();
        apply(&mut self.requests, &plan);
        decided(&plan)
    }
}

fn decided(plan: &Plan) -> Vec<String> {
    let all = plan.grants.iter().chain(&plan.decisions);
    all.map(|d| format!("{}: {:?}: {}", d.request, d.status.phase, d.status.reason)).collect()
}

fn run(requests: &[Disruption], machines: &[Arc<Machine>], budgets: &[DisruptionBudget]) -> Plan {
    Given::new(requests, machines, budgets).plan()
}

fn apply(requests: &mut [Disruption], plan: &Plan) {
    let all = plan.grants.iter().chain(&plan.decisions);
    let decided: BTreeMap<_, _> = all.map(|d| (d.request.clone(), d.status.clone())).collect();
    for request in requests {
        if let Some(status) = decided.get(&request.name_any()) {
            request.status = Some(status.clone());
        }
    }
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
            "run-m2: Waiting: DisruptionBudget a allows 2 at once, and 2 counted as down at 2027-01-15T08:00:00Z (m1, m4)",
        ]
    );
    assert_eq!(plan.look_again_at, Some(at(30)));
    let status = DisruptionBudgetStatus { allows: 2, in_use: 2, waiting: 1 };
    assert_eq!(plan.budgets, [("a".to_owned(), status)]);
}

#[test]
fn a_machine_is_read_anew_before_it_is_granted() {
    let given = Given::new(&[request("m1")], &machines("m1=Healthy"), &[]);
    let first = given.plan_with(&Fresh::new());
    assert_eq!((decided(&first), first.look_at), (Vec::new(), BTreeSet::from(["m1".to_owned()])));
    let gone = given.plan_with(&Fresh::from([("m1".to_owned(), None)]));
    assert_eq!(decided(&gone), ["run-m1: Denied: spec.machine: there is no Machine \"m1\""]);
}

#[test]
fn a_grant_ends_when_given_back_lost_or_out_of_time_and_an_unknown_machine_is_denied() {
    let mut back = granted("m1");
    back.spec.released = true;
    let mut late = granted("m2");
    late.spec.until = at(0);
    let machines = machines("m1=Failed m2=Healthy m3=Healthy");
    let mut given = Given::new(&[back, late, granted("m3"), request("ghost")], &machines, &[]);
    given.lost.insert("run-m3".into(), "its run run-m3 ended: Failed".into());
    let plan = given.plan();
    let mut told = decided(&plan);
    told.sort();
    assert_eq!(
        told,
        [
            "run-ghost: Denied: spec.machine: there is no Machine \"ghost\"",
            "run-m1: Released: given back",
            "run-m2: Released: ran out: its time was over",
            "run-m3: Released: its run run-m3 ended: Failed",
        ]
    );
    assert!(plan.decisions.iter().all(|d| d.status.ended_at == Some(at(0))));
    let versions: Vec<&str> = plan.decisions.iter().map(|d| d.status.machine_version.as_str()).collect();
    assert_eq!(versions, ["1", "1", "1", ""]);
}

#[test]
fn a_machine_written_later_than_the_watch_shows_counts_as_down_until_it_is_read() {
    let mut back = request("m1");
    back.status = Some(DisruptionStatus {
        phase: DisruptionPhase::Released,
        machine_version: "7".into(),
        ..DisruptionStatus::default()
    });
    let given = Given::new(
        &[back, request("m2")],
        &machines("m1=Healthy m2=Healthy"),
        &[budget("a", site("a"), Some(1), None)],
    );
    let first = given.plan_with(&Fresh::new());
    assert_eq!(first.look_at, BTreeSet::from(["m1".to_owned()]));
    assert_eq!(decided(&first)[0].split(" allows").next().unwrap(), "run-m2: Waiting: DisruptionBudget a");
    let newer = |phase| {
        let mut machine = (*machines(&format!("m1={phase}"))[0]).clone();
        machine.metadata.resource_version = Some("7".into());
        let second = Some((*machines("m2=Healthy")[0]).clone());
        Fresh::from([("m1".to_owned(), Some(machine)), ("m2".to_owned(), second)])
    };
    assert_eq!(decided(&given.plan_with(&newer("Failed"))).len(), 1);
    assert!(given.plan_with(&newer("Failed")).grants.is_empty());
    assert_eq!(decided(&given.plan_with(&newer("Healthy"))), ["run-m2: Granted: granted"]);
}

#[test]
fn one_machine_is_never_disturbed_twice_at_once() {
    let mut second = request("m1");
    second.metadata.name = Some("upgrade-m1".into());
    let plan =
        run(&[request("m1"), second], &machines("m1=Healthy"), &[budget("a", site("a"), Some(9), None)]);
    assert_eq!(decided(&plan)[1], "upgrade-m1: Waiting: machine m1 is already disturbed under another grant");
}

#[test]
fn what_is_over_is_forgotten_an_hour_later_unless_its_run_may_still_look() {
    let over = |machine: &str, ended: i64| {
        let mut request = request(machine);
        request.status = Some(DisruptionStatus {
            phase: DisruptionPhase::Released,
            ended_at: Some(at(ended)),
            ..DisruptionStatus::default()
        });
        request
    };
    let requests = [over("m1", -3600), over("m2", -3599), over("m3", -9000)];
    let mut given = Given::new(&requests, &machines("m1=Healthy"), &[]);
    given.lost = ["run-m1", "run-m2"].map(|run| (run.to_owned(), String::new())).into();
    assert_eq!(given.plan().forget, ["run-m1"]);
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
        let requests: Vec<Disruption> = asked.iter().map(|i| request(&format!("m{i}"))).collect();
        let mut given = Given::new(&requests, &machines, &[budget("a", site("a"), Some(max), None)]);
        given.settle();
        let sick = phases.iter().filter(|p| **p != 0).count();
        let granted: Vec<usize> = given.requests.iter()
            .filter(|r| phase(r) == DisruptionPhase::Granted)
            .map(|r| phases[r.spec.machine[1..].parse::<usize>().unwrap()])
            .collect();
        let disturbed = granted.iter().filter(|p| **p == 0).count();
        let max = usize::try_from(max).unwrap();
        prop_assert!(disturbed == 0 || sick + disturbed <= max);
        prop_assert!(granted.len() <= max);
        prop_assert_eq!(given.settle(), Vec::<String>::new());
    }
}
