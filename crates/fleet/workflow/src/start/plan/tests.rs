use muster_api::condition::ACCEPTED;
use muster_api::machine::{HandsOff, MachineSpec, MachineStatus};
use muster_api::problem::{ProblemSpec, ProblemStatus};
use muster_api::repair::RepairPolicyStatus;
use muster_api::workflow::WorkflowStatus;

use super::*;
use crate::builtin;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_100).unwrap()
}

fn verdict(status: Status) -> Vec<Condition> {
    vec![Condition {
        r#type: ACCEPTED.into(),
        status,
        reason: "Test".into(),
        message: String::new(),
        last_transition_time: Timestamp::UNIX_EPOCH,
        observed_generation: None,
    }]
}

fn machine(phase: Phase) -> Machine {
    let mut machine = Machine::new("m1", MachineSpec { site: "a".into(), ..MachineSpec::default() });
    machine.status = Some(MachineStatus {
        phase,
        since: Some(Timestamp::from_second(1_800_000_000).unwrap()),
        boot_id: "boot-2".into(),
        conditions: verdict(Status::True),
        ..MachineStatus::default()
    });
    machine
}

fn problem(class: &str, state: State, boot_id: &str) -> Arc<Problem> {
    let spec = ProblemSpec { machine: "m1".into(), class: class.into(), ..ProblemSpec::default() };
    let mut problem = Problem::new(&muster_api::problem::name("m1", class, ""), spec);
    problem.status = Some(ProblemStatus {
        state,
        episode: 3,
        boot_id: boot_id.into(),
        conditions: verdict(Status::True),
        ..ProblemStatus::default()
    });
    Arc::new(problem)
}

fn workflows(accepted: Status) -> Vec<Arc<Workflow>> {
    let judged = |mut workflow: Workflow| {
        workflow.status = Some(WorkflowStatus { conditions: verdict(accepted) });
        Arc::new(workflow)
    };
    builtin::all().into_iter().map(judged).collect()
}

fn policies() -> Vec<Arc<RepairPolicy>> {
    let judged = |mut policy: RepairPolicy| {
        policy.status =
            Some(RepairPolicyStatus { conditions: verdict(Status::True), ..RepairPolicyStatus::default() });
        Arc::new(policy)
    };
    builtin::repairs::policies().into_iter().map(judged).collect()
}

fn decided(machine: &Machine, problems: &[Arc<Problem>], workflows: &[Arc<Workflow>]) -> Plan {
    let (facts, book, policies) = (InventoryStatus::default(), Book::default(), policies());
    let world = World {
        inventory: Some(&facts),
        role: None,
        problems,
        parents: &[],
        tries: &BTreeMap::new(),
        workflows,
        policies: &policies,
        book: &book,
        now: now(),
    };
    plan(machine, &world)
}

fn planned(machine: &Machine, problems: &[Arc<Problem>], workflows: &[Arc<Workflow>]) -> Option<String> {
    decided(machine, problems, workflows).run.map(|run| run.name_any())
}

/// What is said on the machine.
fn said(machine: &Machine, problems: &[Arc<Problem>]) -> Option<String> {
    let told = decided(machine, problems, &workflows(Status::True)).told?;
    Some(format!("{}: {}", told.reason, told.message))
}

#[test]
fn an_inspected_machine_is_provisioned_once_its_facts_are_there() {
    let machine = machine(Phase::Inspecting);
    let workflows = workflows(Status::True);
    assert_eq!(planned(&machine, &[], &workflows).as_deref(), Some("provision-m1-1800000000"));
    let (book, policies) = (Book::default(), policies());
    let unread = World {
        inventory: None,
        role: None,
        problems: &[],
        parents: &[],
        tries: &BTreeMap::new(),
        workflows: &workflows,
        policies: &policies,
        book: &book,
        now: now(),
    };
    assert_eq!(plan(&machine, &unread), Plan::default());
}

#[test]
fn a_machine_to_be_left_alone_is_not_provisioned_before_the_time_is_over() {
    let mut machine = machine(Phase::Inspecting);
    let until = |seconds| HandsOff {
        until: now() + jiff::SignedDuration::from_secs(seconds),
        by: "me".into(),
        reason: "cabling".into(),
    };
    machine.spec.hands_off = Some(until(60));
    assert_eq!(planned(&machine, &[], &workflows(Status::True)), None);
    assert_eq!(hands_off(&machine, now()), Some(Duration::from_secs(60)));
    machine.spec.hands_off = Some(until(0));
    assert!(planned(&machine, &[], &workflows(Status::True)).is_some());
    assert_eq!(hands_off(&machine, now()), None);
}

#[test]
fn an_open_problem_of_this_boot_is_repaired_once_per_episode() {
    let machine = machine(Phase::Healthy);
    let workflows = workflows(Status::True);
    let open = [problem("runtime.hung", State::Open, "boot-2")];
    assert_eq!(planned(&machine, &open, &workflows).as_deref(), Some("repair-m1.runtime.hung-3"));
    for held in [
        problem("runtime.hung", State::Suspect, "boot-2"),
        problem("runtime.hung", State::Clear, "boot-2"),
        problem("runtime.hung", State::Unknown, "boot-2"),
        problem("runtime.hung", State::Open, "boot-1"),
        problem("never.heard_of", State::Open, "boot-2"),
    ] {
        assert_eq!(planned(&machine, &[held], &workflows), None);
    }
}

#[test]
fn nothing_starts_on_a_machine_in_hand_not_accepted_or_in_another_phase() {
    let workflows = workflows(Status::True);
    let open = [problem("runtime.hung", State::Open, "boot-2")];
    let mut in_hand = machine(Phase::Healthy);
    in_hand.status.as_mut().unwrap().run = "other".into();
    let mut refused = machine(Phase::Healthy);
    refused.status.as_mut().unwrap().conditions = verdict(Status::False);
    for machine in [in_hand, refused, machine(Phase::Quarantined), machine(Phase::Probation)] {
        assert_eq!(planned(&machine, &open, &workflows), None);
    }
}

#[test]
fn a_workflow_that_was_refused_is_not_run() {
    let open = [problem("runtime.hung", State::Open, "boot-2")];
    assert_eq!(planned(&machine(Phase::Healthy), &open, &workflows(Status::False)), None);
}

#[test]
fn a_machine_says_why_nothing_is_done_and_once_is_enough() {
    let mut machine = machine(Phase::Healthy);
    assert_eq!(said(&machine, &[]), None, "a machine without problems says nothing");
    let open = [problem("never.heard_of", State::Open, "boot-2")];
    let text = "NoPolicy: m1.never.heard-of: no RepairPolicy is for never.heard_of here";
    assert_eq!(said(&machine, &open).as_deref(), Some(text));
    let told = decided(&machine, &open, &workflows(Status::True)).told.unwrap();
    machine.status.as_mut().unwrap().conditions.push(told);
    assert_eq!(said(&machine, &open), None, "a second look changes nothing");
    assert_eq!(said(&machine, &[]).as_deref(), Some("NoProblem: no problem is open"));
}

#[test]
fn what_can_be_done_is_done_although_an_older_problem_waits() {
    let machine = machine(Phase::Healthy);
    let open =
        [problem("never.heard_of", State::Open, "boot-2"), problem("runtime.dead", State::Open, "boot-2")];
    assert_eq!(
        planned(&machine, &open, &workflows(Status::True)).as_deref(),
        Some("repair-m1.runtime.dead-3")
    );
}

/// A machine that failed in `run`.
fn failed_in(run: &str) -> Machine {
    let mut machine = machine(Phase::Disrupted);
    let transition = muster_api::machine::Transition {
        at: Timestamp::from_second(1_800_000_050).unwrap(),
        from: None,
        to: Phase::Failed,
        reason: "test".into(),
        run: run.into(),
    };
    machine.status.as_mut().unwrap().enter(transition, None).unwrap();
    machine
}

#[test]
fn a_machine_that_failed_in_a_repair_goes_on_climbing_or_proves_itself_or_meets_a_person() {
    let (failed, workflows) = (failed_in("repair-m1.runtime.hung-3"), workflows(Status::True));
    let open = |state| [problem("runtime.hung", state, "boot-2")];
    assert!(planned(&failed, &open(State::Open), &workflows).unwrap().starts_with("repair-"));
    assert_eq!(planned(&failed, &open(State::Unknown), &workflows), None);
    let cleared = open(State::Clear);
    assert_eq!(planned(&failed, &cleared, &workflows).as_deref(), Some("return-m1-1800000050"));
    let twice = failed_in("return-m1-1800000050");
    assert_eq!(planned(&twice, &cleared, &workflows).as_deref(), Some("quarantine-m1-1800000050"));
    assert_eq!(planned(&failed_in("provision-m1-1"), &cleared, &workflows), None);
}
