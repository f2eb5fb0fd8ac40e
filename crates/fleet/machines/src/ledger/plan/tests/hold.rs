//! Pauses, `handsOff`, and what is written how often.

use muster_api::pause::PauseSpec;

use super::*;

fn pause(site: Option<&str>) -> Pause {
    let spec = PauseSpec {
        site: site.map(str::to_owned),
        everywhere: site.is_none(),
        by: "ops".into(),
        reason: "flood".into(),
    };
    Pause::new(&muster_api::pause::name(site), spec)
}

fn phases(given: &Given) -> Vec<DisruptionPhase> {
    given.requests.iter().map(phase).collect()
}

#[test]
fn hands_off_holds_with_its_end() {
    let mut machine = (*machines("m1=Healthy")[0]).clone();
    machine.spec.hands_off = Some(HandsOff { until: at(5), by: "ops".into(), reason: "forensics".into() });
    let plan = run(&[request("m1")], &[Arc::new(machine)], &[]);
    assert_eq!(decided(&plan), ["run-m1: Waiting: hands off until 2027-01-15T08:00:05Z by ops: forensics"]);
    assert_eq!(plan.look_again_at, Some(at(5)));
}

#[test]
fn a_pause_grants_nothing_holds_what_was_granted_and_loses_neither() {
    let machines = machines("m1=Healthy m2=Disrupted m3=Healthy m4=Healthy@b");
    let requests = [granted("m1"), granted("m2"), request("m3"), request("m4")];
    let mut given = Given::new(&requests, &machines, &[budget("a", site("a"), Some(2), None)]);
    given.pauses = vec![pause(Some("a"))];
    let plan = given.plan();
    let status = plan.pauses[0].1.clone();
    assert_eq!((status.held, status.waiting, status.heeded_at), (2, 1, Some(at(0))));
    assert_eq!(
        given.settle(),
        [
            "run-m4: Granted: granted",
            "run-m1: Granted: granted, and held: paused in site a by ops: flood",
            "run-m2: Granted: granted, and held: paused in site a by ops: flood",
            "run-m3: Waiting: paused in site a by ops: flood",
        ]
    );
    given.now = 1;
    assert_eq!(given.settle(), Vec::<String>::new());
    given.now = 30 * 86400;
    let told = given.settle();
    assert_eq!(
        told,
        ["run-m4: Released: ran out: its time was over", "run-m3: Waiting: paused in site a by ops: flood"]
    );
    given.pauses.clear();
    given.now += 5;
    let mut told = given.settle();
    told.sort();
    assert_eq!(
        told,
        [
            "run-m1: Waiting: the hold is over, nothing was begun: it is decided anew",
            "run-m2: Granted: granted; looked at again after a hold",
            "run-m3: Waiting: DisruptionBudget a allows 2 at once, and 2 counted as down at 2027-02-14T08:00:05Z (m1, m2)",
        ]
    );
    assert_eq!(given.settle(), ["run-m1: Granted: granted"]);
    let ends = given.requests[1].status.as_ref().unwrap().ends_at;
    assert_eq!(ends, Some(at(3600 + 30 * 86400 + 5)), "the time of the hold does not count");
}

#[test]
fn a_pause_of_an_unknown_site_says_so() {
    let mut given = Given::new(&[], &machines("m1=Healthy"), &[]);
    given.pauses = vec![pause(Some("x")), pause(None)];
    let told: Vec<String> =
        given.plan().pauses.into_iter().map(|(_, status)| status.conditions[0].message.clone()).collect();
    assert_eq!(
        told,
        [
            "spec.site: there is no Site \"x\"; nothing is held until there is",
            "nothing disruptive begins where it holds"
        ]
    );
}

#[test]
fn a_reason_is_rewritten_when_its_cause_changes_and_not_when_its_numbers_do() {
    let budgets = [budget("a", site("a"), Some(1), None)];
    let mut given = Given::new(&[request("m3")], &machines("m1=Failed m2=Healthy m3=Healthy"), &budgets);
    assert_eq!(given.settle().len(), 1);
    given.machines = machines("m1=Failed m2=Failed m3=Healthy");
    given.now = 20;
    assert_eq!(given.settle(), Vec::<String>::new(), "one more is down");
    given.budgets[0].spec.max = Some(2);
    assert_eq!(given.settle().len(), 1, "the bound is another one");
    given.budgets[0].spec.freeze = vec![Freeze { from: at(0), to: at(900), reason: "fair".into() }];
    assert_eq!(given.settle().len(), 1, "it is frozen");
    assert_eq!(phases(&given), [DisruptionPhase::Waiting]);
}

#[test]
fn the_time_of_the_next_look_stays_ahead_and_moves_ever_more_slowly() {
    let mut request = aged(request("m2"), 0);
    request.spec.until = at(10 * 86400);
    let mut given =
        Given::new(&[request], &machines("m1=Failed m2=Healthy"), &[budget("a", site("a"), Some(1), None)]);
    let mut writes = 0;
    for second in 0..86400 {
        if second % 10 != 0 {
            continue;
        }
        given.now = second;
        writes += given.settle().len();
        let ahead = given.requests[0].status.as_ref().unwrap().look_again_at.unwrap();
        assert!(at(second) < ahead, "{second}");
    }
    assert!(writes < 120, "{writes} writes in a day");
}

#[test]
fn granting_one_of_thousands_rewrites_none_of_the_others() {
    let names: Vec<String> = (0..2000).map(|i| format!("m{i}=Healthy")).collect();
    let requests: Vec<Disruption> = (0..2000).map(|i| request(&format!("m{i}"))).collect();
    let mut given =
        Given::new(&requests, &machines(&names.join(" ")), &[budget("a", site("a"), Some(3), None)]);
    assert_eq!(given.settle().len(), 2000);
    given.requests[0].spec.released = true;
    given.now = 1;
    let told = given.settle();
    assert_eq!(told.len(), 1, "{told:?}");
    let told = given.settle();
    assert_eq!((told.len(), given.settle().len()), (1, 0), "{told:?}");
}
