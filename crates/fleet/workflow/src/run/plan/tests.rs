mod held;
mod kinds;
mod past;
mod tickets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt as _;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::disruption::{DisruptionPhase, DisruptionStatus};
use muster_api::machine::{MachineSpec, MachineStatus, Transition};
use muster_api::order::{OrderPhase, OrderStatus};
use muster_api::problem::State;
use muster_api::problem::{ProblemSpec, ProblemStatus};
use muster_api::role::MachineRoleSpec;
use muster_api::workflow::{RunSpec, WorkflowPurpose};
use muster_api::{CORDONED_BY, GoDuration, Machine, MachineRole, Problem, Workflow};

use super::super::call::Answer;
use super::super::{NodeSpecView, NodeView, effect};
use super::begin::PENDING_MAX;
use super::*;
use crate::builtin;

/// One run in a small world that obeys at once; every round is noted.
struct Story {
    run: Run,
    world: World,
    /// Effects done, in order; a repeated one shows twice.
    done: Vec<String>,
    /// What the agent answers to each order.
    answer: OrderPhase,
    uncertain: bool,
    grant: DisruptionPhase,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn story(workflow: Workflow, phase: Phase) -> Story {
    let mut machine =
        Machine::new("m1", MachineSpec { site: "a".into(), role: "worker".into(), ..MachineSpec::default() });
    let first = Transition { at: at(-9), from: None, to: phase, reason: "test".into(), run: String::new() };
    machine.status = Some(MachineStatus {
        phase,
        since: Some(at(-9)),
        transitions: vec![first],
        ..MachineStatus::default()
    });
    let spec = ProblemSpec { machine: "m1".into(), class: "runtime.hung".into(), ..ProblemSpec::default() };
    let mut problem = Problem::new("m1.runtime.hung", spec);
    problem.status = Some(ProblemStatus { state: State::Open, episode: 1, ..ProblemStatus::default() });
    let repair = workflow.spec.purpose == WorkflowPurpose::Repair;
    let spec = RunSpec {
        workflow: workflow.metadata.name.clone().unwrap(),
        machine: "m1".into(),
        problem: if repair { "m1.runtime.hung".into() } else { String::new() },
        episode: repair.then_some(1),
        ..RunSpec::default()
    };
    let node = NodeView {
        metadata: ObjectMeta { name: Some("m1".into()), ..ObjectMeta::default() },
        spec: NodeSpecView::default(),
    };
    Story {
        run: Run::new("r1", spec),
        world: World {
            workflow: Some(Arc::new(workflow)),
            machine: Some(Arc::new(machine)),
            role: Some(Arc::new(MachineRole::new("worker", MachineRoleSpec::default()))),
            node: Some(Arc::new(node)),
            problems: vec![Arc::new(problem)],
            fresh: true,
            now: at(0),
            ..World::default()
        },
        done: Vec::new(),
        answer: OrderPhase::Done,
        uncertain: false,
        grant: DisruptionPhase::Granted,
    }
}

impl Story {
    fn status(&self) -> RunStatus {
        self.run.status.clone().unwrap_or_default()
    }

    fn phase(&self) -> Phase {
        self.world.machine.as_ref().unwrap().status.as_ref().unwrap().phase
    }

    /// Plans and does one round; `false` when there was nothing to do.
    fn round(&mut self) -> bool {
        let plan = plan(&self.run, &self.world);
        if let Some(status) = plan.status {
            assert!(plan.effects.is_empty(), "a round writes or does, never both");
            self.run.status = Some(status);
            return true;
        }
        for effect in plan.effects.clone() {
            self.apply(effect);
        }
        // The same pods are asked to go again and again.
        plan.effects.iter().any(|effect| !matches!(effect, Effect::Evict(_)))
    }

    fn apply(&mut self, effect: Effect) {
        let told = match &effect {
            Effect::Machine(change) => match &change.enter {
                Some(enter) => format!("machine {}", enter.phase.as_str()),
                None if change.let_go => "let go".to_owned(),
                None => "claim".to_owned(),
            },
            Effect::Order(order) => format!("order {}", order.name_any()),
            Effect::Disruption(_) => "ask".to_owned(),
            Effect::Release(_) => "release".to_owned(),
            Effect::Cordon => "cordon".to_owned(),
            Effect::Uncordon => "uncordon".to_owned(),
            Effect::Evict(pods) => {
                let names: Vec<String> =
                    pods.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
                format!("evict {}", names.join(" "))
            }
            Effect::Container(pod) => format!("container {}", pod.name),
            Effect::RemovePod(name) => format!("remove {name}"),
            Effect::Call(call) => format!("call {}", call.key),
            Effect::Mail(letter) => format!("mail {}", letter.key),
            Effect::Child(child) => format!("child {}", child.name_any()),
            Effect::CancelChild(name) => format!("cancel {name}"),
            Effect::Chunk(chunk) => format!("chunk {}", chunk.name_any()),
            Effect::Remove => "remove the run".to_owned(),
        };
        self.done.push(told);
        match effect {
            Effect::Machine(change) => {
                let machine = self.world.machine.clone().unwrap();
                let changed = effect::changed(&machine, &self.run, &self.world, change).unwrap();
                self.world.machine = Some(Arc::new(changed));
            }
            Effect::Order(mut order) => {
                order.status = Some(OrderStatus {
                    phase: self.answer,
                    uncertain: self.uncertain,
                    message: "ok".into(),
                    ..OrderStatus::default()
                });
                self.world.orders.insert(order.name_any(), Arc::new(*order));
            }
            Effect::Disruption(mut asked) => {
                asked.status = Some(DisruptionStatus { phase: self.grant, ..DisruptionStatus::default() });
                self.world.disruption = Some(Arc::new(*asked));
            }
            Effect::Release(_) => {
                let mut asked = (**self.world.disruption.as_ref().unwrap()).clone();
                asked.spec.released = true;
                self.world.disruption = Some(Arc::new(asked));
            }
            Effect::Cordon => self.set_cordon(Some("r1")),
            Effect::Uncordon => self.set_cordon(None),
            Effect::Call(call) => self.is_told(call.key),
            Effect::Mail(letter) => self.is_told(letter.key),
            Effect::Container(pod) => {
                self.world.containers.insert(pod.name, ContainerSeen::Waiting("created".into()));
            }
            Effect::RemovePod(name) => {
                self.world.containers.remove(&name);
            }
            Effect::Child(child) => {
                self.world.children.insert(child.name_any(), Arc::new(*child));
            }
            Effect::Evict(_) | Effect::CancelChild(_) | Effect::Remove => {}
            Effect::Chunk(chunk) => self.world.chunk = Some(Arc::new(*chunk)),
        }
    }

    fn is_told(&mut self, key: String) {
        self.world.answers.insert(key, Answer::UnderWay);
    }

    fn set_cordon(&mut self, owner: Option<&str>) {
        let mut node = (**self.world.node.as_ref().unwrap()).clone();
        node.spec.unschedulable = owner.is_some();
        node.metadata.annotations =
            owner.map(|owner| BTreeMap::from([(CORDONED_BY.to_owned(), owner.to_owned())]));
        self.world.node = Some(Arc::new(node));
    }

    fn filed(&mut self, second: i64) {
        let mut problem = (*self.world.problems[0]).clone();
        problem.metadata.creation_timestamp = Some(Time(at(second)));
        self.world.problems = vec![Arc::new(problem)];
    }

    fn set_problem(&mut self, state: State) {
        let mut problem = (*self.world.problems[0]).clone();
        problem.status.as_mut().unwrap().state = state;
        self.world.problems = vec![Arc::new(problem)];
    }

    /// Rounds until nothing is to be done. The rest before another attempt passes at once.
    fn settle(&mut self) {
        for _ in 0..100 {
            if self.round() {
                continue;
            }
            let rest = self.status().steps.iter().find_map(|step| step.retry_at);
            match rest {
                Some(at) if !self.run.spec.pause => self.world.now = self.world.now.max(at),
                Some(_) | None => return,
            }
        }
        panic!("does not settle: {:?}", self.done);
    }

    /// Settles, with that answer to that order and the usual one to all others.
    fn settle_until(&mut self, told: &str, answer: OrderPhase) {
        for _ in 0..100 {
            let planned = plan(&self.run, &self.world);
            let comes = planned.effects.iter().any(|effect| {
                matches!(effect, Effect::Order(order) if format!("order {}", order.name_any()) == told)
            });
            if comes {
                self.answer = answer;
                return self.settle();
            }
            self.round();
        }
        panic!("{told} does not come: {:?}", self.done);
    }

    fn pass_seconds(&mut self, seconds: i64) {
        self.world.now = self.world.now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        self.settle();
    }

    fn steps(&self) -> Vec<String> {
        self.status().steps.iter().map(|step| format!("{} {}", step.step.name, step.phase.as_str())).collect()
    }
}

#[test]
fn a_repair_goes_from_grant_to_healthy_with_each_effect_once() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.settle();
    assert_eq!(story.phase(), Phase::Probation);
    assert_eq!(story.status().message, "probation: problem m1.runtime.hung is not clear yet");
    story.set_problem(State::Clear);
    story.pass_seconds(9);
    assert_eq!(story.status().message, "probation: watched for 10s");
    story.pass_seconds(1);
    assert_eq!(
        story.done,
        [
            "claim",
            "ask",
            "machine Disrupted",
            "cordon",
            "order r1.restart-runtime.1",
            "machine Probation",
            "order r1.probation.1.container-start",
            "uncordon",
            "machine Healthy",
            "release",
            "let go",
        ]
    );
    assert_eq!((story.status().phase, story.phase()), (RunPhase::Succeeded, Phase::Healthy));
    assert_eq!(story.world.machine.as_ref().unwrap().status.as_ref().unwrap().run, "");
}

#[test]
fn an_installation_needs_no_grant_and_ends_healthy() {
    let mut story = story(builtin::install_role(), Phase::Inspecting);
    story.set_problem(State::Clear);
    story.settle();
    story.pass_seconds(10);
    assert_eq!((story.status().phase, story.phase()), (RunPhase::Succeeded, Phase::Healthy));
    assert_eq!(story.done[0], "machine Provisioning");
    assert_eq!(story.world.machine.as_ref().unwrap().status.as_ref().unwrap().node, "m1");
    assert!(story.world.disruption.is_none());
}

#[test]
fn a_role_without_packages_files_and_services_costs_no_order() {
    let mut story = story(builtin::install_role(), Phase::Inspecting);
    story.set_problem(State::Clear);
    story.settle();
    story.pass_seconds(10);
    let orders: Vec<&str> = story.done.iter().filter_map(|done| done.strip_prefix("order r1.")).collect();
    assert_eq!(
        orders,
        [
            "check-kernel.1",
            "kernel-settings.1",
            "start-runtime.1",
            "register-node.1",
            "probation.1.container-start"
        ]
    );
    let told = |name: &str| {
        let steps = story.status().steps;
        steps.into_iter().find(|step| step.step.name == name).unwrap().message
    };
    assert_eq!(told("packages"), "the role has no packages");
    assert_eq!(told("files"), "the role has no files");
    assert_eq!(told("services"), "the role has no services");
}

#[test]
fn packages_are_brought_to_a_machine_that_serves_with_leave_only() {
    let mut workflow = builtin::install_role();
    workflow.spec.purpose = WorkflowPurpose::Person;
    workflow.spec.steps.retain(|step| step.name == "packages");
    let mut story = story(workflow, Phase::Healthy);
    let mut role = MachineRoleSpec { packages: vec!["chrony".into()], ..MachineRoleSpec::default() };
    story.world.role = Some(Arc::new(MachineRole::new("worker", role.clone())));
    story.settle();
    assert_eq!(
        story.status().message,
        "step packages: EnsurePackages takes a machine out of service that serves, and there is no grant: let a step of action disrupt come before"
    );
    assert!(story.done.iter().all(|done| !done.starts_with("order")), "{:?}", story.done);
    // With nothing to install there is nothing to ask leave for.
    role.packages.clear();
    story.run = Run::new("r1", story.run.spec.clone());
    story.world.role = Some(Arc::new(MachineRole::new("worker", role)));
    story.settle();
    assert_eq!(story.status().phase, RunPhase::Succeeded);
}

/// After a crash the same plan is made again from what stands: a round lost between its writing and its doing, or an
/// effect done whose watch event has not come, changes neither the effects nor their number.
#[test]
fn a_crash_after_any_round_repeats_no_effect() {
    let mut whole = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    whole.set_problem(State::Clear);
    whole.run.spec.problem = String::new();
    whole.settle();
    whole.pass_seconds(10);
    for crash_at in 0..60 {
        let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
        story.set_problem(State::Clear);
        story.run.spec.problem = String::new();
        for _ in 0..crash_at {
            story.round();
        }
        let planned = plan(&story.run, &story.world);
        assert_eq!(plan(&story.run, &story.world), planned, "planning changes nothing");
        story.settle();
        story.pass_seconds(10);
        assert_eq!(story.done, whole.done, "crash at round {crash_at}");
        let unique: BTreeSet<&String> = story.done.iter().collect();
        assert_eq!(unique.len(), story.done.len());
    }
}

#[test]
fn without_a_grant_nothing_is_touched_and_a_cleared_problem_ends_the_wait() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.grant = DisruptionPhase::Waiting;
    story.settle();
    assert_eq!(
        (story.done.clone(), story.phase()),
        (vec!["claim".to_owned(), "ask".to_owned()], Phase::Healthy)
    );
    story.set_problem(State::Clear);
    story.settle();
    assert_eq!(story.done, ["claim", "ask", "release", "let go"]);
    assert_eq!((story.status().phase, story.phase()), (RunPhase::Cancelled, Phase::Healthy));
    assert_eq!(story.status().message, "step grant: problem m1.runtime.hung cleared by itself");
}

#[test]
fn a_problem_that_was_filed_anew_ends_the_wait_of_a_run_for_the_one_before() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.filed(0);
    story.run.spec.problem_filed_at = Some(at(0));
    story.grant = DisruptionPhase::Waiting;
    story.settle();
    assert_eq!(story.done, ["claim", "ask"]);
    story.filed(60);
    story.settle();
    assert_eq!(story.status().message, "step grant: problem m1.runtime.hung is in another episode by now");
}

#[test]
fn a_failing_order_is_tried_as_often_as_allowed_then_the_machine_fails_and_stays_cordoned() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.answer = OrderPhase::Failed;
    story.settle();
    let orders: Vec<&String> = story.done.iter().filter(|done| done.starts_with("order")).collect();
    assert_eq!(orders, [1, 2, 3].map(|attempt| format!("order r1.restart-runtime.{attempt}")).each_ref());
    assert_eq!((story.status().phase, story.phase()), (RunPhase::Failed, Phase::Failed));
    assert_eq!(
        story.steps(),
        [
            "grant Succeeded",
            "cordon Succeeded",
            "restart-runtime Failed",
            "probation Cancelled",
            "uncordon Cancelled",
            "healthy Cancelled",
            "release Succeeded",
        ]
    );
    assert!(story.world.node.as_ref().unwrap().spec.unschedulable);
    assert_eq!(story.done.last().unwrap(), "machine Failed");
}

#[test]
fn an_order_begun_and_not_answered_is_ambiguous_and_never_repeated() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.answer = OrderPhase::Accepted;
    story.settle();
    story.pass_seconds(119);
    assert_eq!(story.status().phase, RunPhase::Running);
    story.pass_seconds(1);
    assert_eq!(story.status().phase, RunPhase::Ambiguous);
    assert_eq!(story.done.iter().filter(|done| done.starts_with("order")).count(), 1);
}

#[test]
fn an_order_whose_effect_nobody_can_tell_is_ambiguous_and_never_repeated() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    (story.answer, story.uncertain) = (OrderPhase::Failed, true);
    story.settle();
    assert_eq!(story.status().phase, RunPhase::Ambiguous);
    assert_eq!(story.done.iter().filter(|done| done.starts_with("order")).count(), 1);
}

#[test]
fn an_order_the_agent_never_saw_fails_at_its_deadline_and_expires_with_it() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.answer = OrderPhase::Pending;
    story.settle();
    let order = story.world.orders["r1.restart-runtime.1"].clone();
    assert_eq!((order.spec.expires_at, order.spec.generation), (Some(at(120)), 1));
    for attempt in [2, 3] {
        story.pass_seconds(120);
        assert!(story.done.contains(&format!("order r1.restart-runtime.{attempt}")));
    }
    story.pass_seconds(120);
    assert_eq!(story.status().phase, RunPhase::Failed);
}

#[test]
fn what_does_not_stand_is_refused_with_the_field_and_nothing_is_done() {
    let refused = |change: &dyn Fn(&mut Story)| {
        let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
        change(&mut story);
        story.settle();
        assert_eq!(story.done, Vec::<String>::new());
        let status = story.status();
        let verdict = condition::find(&status.conditions, ACCEPTED).unwrap();
        assert_eq!((verdict.status, status.phase), (Status::False, RunPhase::Failed));
        verdict.message.clone()
    };
    assert_eq!(
        refused(&|s| s.world.workflow = None),
        "spec.workflow: there is no Workflow \"restart-runtime\"; nothing is done"
    );
    assert_eq!(
        refused(&|s| s.world.machine = None),
        "spec.machine: there is no Machine \"m1\"; nothing is done"
    );
    assert_eq!(
        refused(&|s| s.run.spec.parameters = BTreeMap::from([("speed".into(), "9".into())])),
        "spec.parameters.speed: Workflow \"restart-runtime\" has no parameter of that name; it has none"
    );
    let broken = |s: &mut Story| {
        let mut workflow = builtin::repairs::restart_runtime();
        workflow.spec.steps[1].after = Some(vec!["nosuch".into()]);
        s.world.workflow = Some(Arc::new(workflow));
    };
    assert_eq!(
        refused(&broken),
        "spec.workflow: Workflow \"restart-runtime\" cannot be run: spec.steps[1].after: there is no step \"nosuch\""
    );
}

#[test]
fn a_run_waits_for_another_that_has_the_machine_in_hand() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    let mut machine = (**story.world.machine.as_ref().unwrap()).clone();
    machine.status.as_mut().unwrap().run = "other".into();
    story.world.machine = Some(Arc::new(machine));
    story.settle();
    assert_eq!(story.status().message, "waits for run other, which has the machine in hand");
    assert_eq!(plan(&story.run, &story.world).look_again, Some(PENDING_MAX));
}

#[test]
fn pause_begins_nothing_and_cancel_goes_straight_to_the_end() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.round();
    story.run.spec.pause = true;
    story.settle();
    assert_eq!((story.status().phase, story.done.clone()), (RunPhase::Paused, vec!["claim".to_owned()]));
    story.run.spec.pause = false;
    story.run.spec.cancel = true;
    story.settle();
    assert_eq!((story.status().phase, story.phase()), (RunPhase::Cancelled, Phase::Healthy));
}

#[test]
fn probation_ends_in_failure_when_the_problem_stays() {
    let mut story = story(builtin::repairs::restart_runtime(), Phase::Healthy);
    story.settle();
    for _ in 0..3 {
        assert_eq!(story.status().phase, RunPhase::Running);
        story.pass_seconds(120);
    }
    assert_eq!((story.status().phase, story.phase()), (RunPhase::Failed, Phase::Failed));
    let limit: GoDuration = "2m".parse().unwrap();
    assert_eq!(
        story.status().message,
        format!("step probation: not done within {limit}: problem m1.runtime.hung is not clear yet")
    );
}
