//! Steps of every kind, persons' wishes, many steps.

use std::time::Duration;

use muster_api::order::{Arguments, Verb};
use muster_api::workflow::{
    Action, Approval, ChildTemplate, ContainerTemplate, OrderTemplate, Parameter, ParameterType, Step, Undo,
    WebhookTemplate, WorkflowSpec,
};

use super::super::super::call::Answer;
use super::super::{ContainerSeen, PodKey, PodSeen};
use super::*;
use crate::dry_run::{imagined, recorded};

fn step(name: &str, action: Action, seconds: u64) -> Step {
    Step::new(name, action, GoDuration(Duration::from_secs(seconds)))
}

fn sysctl(value: &str) -> OrderTemplate {
    let sysctls = BTreeMap::from([("vm.swappiness".to_owned(), value.to_owned())]);
    OrderTemplate { verb: Verb::EnsureSysctls, arguments: Arguments { sysctls, ..Arguments::default() } }
}

fn order(name: &str, value: &str) -> Step {
    Step { order: Some(sysctl(value)), ..step(name, Action::Order, 60) }
}

fn undoable(name: &str) -> Step {
    let undo = Undo {
        action: Action::Order,
        order: Some(sysctl("0")),
        container: None,
        webhook: None,
        deadline: None,
    };
    Step { undo: Some(undo), ..order(name, "1") }
}

fn workflow(steps: Vec<Step>, finally: Vec<Step>) -> Workflow {
    let spec = WorkflowSpec { purpose: WorkflowPurpose::Person, steps, finally, ..WorkflowSpec::default() };
    Workflow::new("w", spec)
}

fn started(steps: Vec<Step>) -> Story {
    let mut story = story(workflow(steps, Vec::new()), Phase::Healthy);
    story.set_problem(State::Clear);
    story
}

fn message(story: &Story, step: &str) -> String {
    let status = story.status();
    status.steps.into_iter().find(|found| found.step.name == step).unwrap().message
}

#[test]
fn a_wait_ends_when_it_holds_and_a_verification_at_once() {
    let wait = Step { expression: "machine.x == 1".into(), ..step("wait", Action::Wait, 60) };
    let see = Step { expression: "machine.x == 1".into(), ..step("see", Action::Verify, 60) };
    let mut story = started(vec![wait, see]);
    story.world.verdicts = BTreeMap::from([("wait".into(), Ok(false)), ("see".into(), Ok(false))]);
    story.settle();
    assert_eq!(story.status().message, "wait: until machine.x == 1");
    story.world.verdicts.insert("wait".into(), Err("there is no field \"x\"".into()));
    story.pass_seconds(6);
    assert_eq!(message(&story, "wait"), "until machine.x == 1: there is no field \"x\"");
    story.world.verdicts.insert("wait".into(), Ok(true));
    story.settle();
    assert_eq!(story.steps(), ["wait Succeeded", "see Failed"]);
    assert_eq!(story.status().message, "step see: it does not hold that machine.x == 1");
}

#[test]
fn only_a_named_person_allows_a_step() {
    let ask = Step { approvers: vec!["ada".into()], ..step("ask", Action::Approve, 60) };
    let mut story = started(vec![ask]);
    story.settle();
    assert_eq!(story.status().message, "ask: waits for the word of ada: muster run approve r1 --step ask");
    for (step, by) in [("ask", "bob"), ("other", "ada"), ("ask", "")] {
        story.run.spec.approvals.push(Approval { step: step.into(), by: by.into() });
        story.pass_seconds(6);
        assert_eq!(story.status().phase, RunPhase::Running);
    }
    assert!(message(&story, "ask").starts_with("waits for the word of ada, not of bob: "));
    story.run.spec.approvals.push(Approval { step: "ask".into(), by: "ada".into() });
    story.settle();
    assert_eq!(
        (story.status().phase, message(&story, "ask").as_str()),
        (RunPhase::Succeeded, "approved by ada")
    );
}

#[test]
fn a_call_bears_its_key_and_a_wrong_answer_is_tried_again_under_another() {
    let webhook =
        WebhookTemplate { url: "http://h/x".into(), expect: vec![202], ..WebhookTemplate::default() };
    let call = Step { webhook: Some(webhook), attempts: 2, ..step("tell", Action::Webhook, 60) };
    let mut story = started(vec![call]);
    story.settle();
    assert_eq!(story.done, ["claim", "call r1/tell/1"]);
    let answer = |code| Answer::Status { code, text: "busy".into() };
    story.world.answers.insert("r1/tell/1".into(), answer(200));
    story.settle();
    assert_eq!(story.done.last().unwrap(), "call r1/tell/2");
    story.world.answers.insert("r1/tell/2".into(), answer(202));
    story.settle();
    assert_eq!(
        (story.status().phase, message(&story, "tell").as_str()),
        (RunPhase::Succeeded, "answered 202: busy")
    );
}

#[test]
fn a_container_tells_its_exit_code_and_its_last_words_and_is_removed() {
    let container = ContainerTemplate { image: "fw:1".into(), ..ContainerTemplate::default() };
    let run = Step {
        container: Some(container),
        pending: Some("30s".parse().unwrap()),
        ..step("flash", Action::Container, 60)
    };
    let mut story = started(vec![run]);
    story.settle();
    let pod = story.done[1].strip_prefix("container ").unwrap().to_owned();
    story.world.containers.insert(pod.clone(), ContainerSeen::Waiting("ImagePull".into()));
    story.pass_seconds(29);
    assert_eq!(story.status().message, "flash: its container waits: ImagePull");
    story.world.containers.insert(pod.clone(), ContainerSeen::Running(at(29)));
    story.pass_seconds(59);
    assert_eq!(story.status().message, "flash: fw:1 runs");
    let ended = ContainerSeen::Ended { code: Some(3), tail: "no such device".into() };
    story.world.containers.insert(pod.clone(), ended);
    story.settle();
    assert_eq!(
        story.done,
        ["claim".to_owned(), format!("container {pod}"), format!("remove {pod}"), "let go".into()]
    );
    assert_eq!(message(&story, "flash"), "exit code 3: no such device");
    assert_eq!(story.status().phase, RunPhase::Failed);
}

#[test]
fn a_container_that_runs_too_long_or_never_starts_is_late_by_its_own_deadline() {
    let container = ContainerTemplate { image: "fw:1".into(), ..ContainerTemplate::default() };
    let run = Step {
        container: Some(container),
        pending: Some("30s".parse().unwrap()),
        ..step("flash", Action::Container, 60)
    };
    let mut story = started(vec![run]);
    story.settle();
    let pod = story.done[1].strip_prefix("container ").unwrap().to_owned();
    story.world.containers.insert(pod.clone(), ContainerSeen::Waiting("ImagePull".into()));
    story.settle();
    story.pass_seconds(30);
    assert_eq!(message(&story, "flash"), "not done within 30s: its container waits: ImagePull");
    assert_eq!(story.done[2], format!("remove {pod}"));
}

#[test]
fn a_drain_says_of_each_pod_why_it_is_left_and_leaves_those_of_the_node() {
    let steps = vec![step("grant", Action::Disrupt, 60), step("drain", Action::Drain, 600)];
    let mut story = story(workflow(steps, vec![step("release", Action::Release, 60)]), Phase::Healthy);
    story.set_problem(State::Clear);
    let pod = |name: &str, stays| PodSeen {
        key: PodKey { namespace: "default".into(), name: name.into() },
        stays,
        ending: false,
    };
    story.world.pods = vec![pod("web-1", false), pod("proxy", true)];
    story.settle();
    assert_eq!(story.done[3..], ["cordon", "evict default/web-1"]);
    let reason = "may not go: the budget web needs 2 healthy pods and has 2";
    story.world.evictions.insert(story.world.pods[0].key.clone(), reason.into());
    story.pass_seconds(6);
    assert_eq!(message(&story, "drain"), format!("1 pods are left: default/web-1 {reason}"));
    story.world.pods.remove(0);
    story.settle();
    assert_eq!(message(&story, "drain"), "no pod is left but 1 that belong to the node");
}

#[test]
fn a_run_within_a_run_works_under_its_fence_and_grant_and_its_end_is_taken_over() {
    let part = ChildTemplate { workflow: "part".into(), ..ChildTemplate::default() };
    let mut story = started(vec![Step { run: Some(part), ..step("part", Action::Run, 60) }]);
    story.settle();
    assert_eq!(story.done, ["claim", "child r1.part.1"]);
    let child = story.world.children["r1.part.1"].clone();
    let mut inner = self::story(workflow(vec![order("set", "1")], Vec::new()), Phase::Healthy);
    inner.run = (*child).clone();
    inner.world.machine = story.world.machine.clone();
    inner.settle();
    assert_eq!(inner.status().phase, RunPhase::Failed, "nobody may say so himself");
    inner.run.status = None;
    inner.world.parent = Some(Arc::new(story.run.clone()));
    inner.settle();
    assert_eq!(inner.done, ["order r1.part.1.set.1"]);
    assert_eq!((inner.status().phase, inner.status().fence), (RunPhase::Succeeded, story.status().fence));
    story.world.children.insert("r1.part.1".into(), Arc::new(inner.run));
    story.settle();
    assert_eq!(message(&story, "part"), "run r1.part.1: every step is done");
    assert_eq!(story.status().phase, RunPhase::Succeeded);
}

#[test]
fn parameters_go_into_the_plan_and_what_does_not_fit_is_refused() {
    let mut workflow = workflow(vec![order("set", "${parameters.value}")], Vec::new());
    let value = Parameter {
        name: "value".into(),
        r#type: ParameterType::Integer,
        required: true,
        ..Parameter::default()
    };
    workflow.spec.parameters = vec![value];
    let mut story = story(workflow, Phase::Healthy);
    story.run.spec.parameters.insert("value".into(), "ten".into());
    let mut refused = story;
    refused.settle();
    let verdict = refused.status().conditions;
    let verdict = condition::find(&verdict, ACCEPTED).unwrap();
    assert_eq!((verdict.status, verdict.reason.as_str()), (Status::False, "InvalidParameter"));
    assert_eq!(verdict.message, "spec.parameters.value: \"ten\" is no whole number");
    assert_eq!(refused.done, Vec::<String>::new());
    refused.run.status = None;
    refused.run.spec.parameters.insert("value".into(), "10".into());
    refused.settle();
    let order = &refused.world.orders["r1.set.1"];
    assert_eq!(order.spec.arguments.sysctls["vm.swappiness"], "10");
}

#[test]
fn what_failed_is_tried_again_under_a_new_fence_and_plan_and_what_succeeded_is_not() {
    let mut story = started(vec![order("one", "1"), order("two", "2")]);
    story.settle_until("order r1.two.1", OrderPhase::Failed);
    let first = story.status();
    assert_eq!((first.phase, first.fence), (RunPhase::Failed, 1));
    story.answer = OrderPhase::Done;
    story.run.spec.retry = 1;
    story.settle();
    let second = story.status();
    assert_eq!(story.done[3..], ["let go", "claim", "order r1.two.2", "let go"]);
    assert_eq!((second.phase, second.fence, second.round, second.retried), (RunPhase::Succeeded, 2, 1, 1));
    assert_eq!(story.world.orders["r1.two.2"].spec.generation, 2);
    let (before, after) = (first.plan.unwrap(), second.plan.unwrap());
    assert_eq!((after.parent, after.revision), (before.id.clone(), 2));
    assert_ne!(after.id, before.id);
    story.run.spec.retry = 2;
    story.settle();
    assert_eq!(story.status().retried, 1, "what succeeded is not tried again");
}

#[test]
fn an_undo_goes_backwards_over_what_succeeded_and_a_second_one_changes_nothing() {
    let mut story = started(vec![undoable("one"), order("plain", "5"), undoable("two"), undoable("three")]);
    story.settle_until("order r1.three.1", OrderPhase::Failed);
    let done = story.done.len();
    story.answer = OrderPhase::Done;
    story.run.spec.undo = true;
    story.settle();
    assert_eq!(story.done[done..], ["claim", "order r1.undo-two.1", "order r1.undo-one.1", "let go"]);
    assert_eq!(story.status().phase, RunPhase::Undone);
    assert_eq!(
        story.steps(),
        [
            "one Undone",
            "plain Succeeded",
            "two Undone",
            "three Undone",
            "undo-two Succeeded",
            "undo-one Succeeded"
        ]
    );
    let done = story.done.len();
    story.settle();
    story.run.spec.retry = 5;
    story.settle();
    assert_eq!(story.done.len(), done);
}

#[test]
fn a_crash_after_any_round_of_an_undo_repeats_no_effect() {
    let run = |crash_at: Option<u32>| {
        let mut story = started(vec![undoable("one"), undoable("two"), undoable("three")]);
        story.run.spec.undo = true;
        for _ in 0..crash_at.unwrap_or(0) {
            story.round();
        }
        let planned = plan(&story.run, &story.world);
        assert_eq!(plan(&story.run, &story.world), planned, "planning changes nothing");
        story.settle();
        (story.done.clone(), story.status().phase)
    };
    let whole = run(None);
    for crash_at in 0..60 {
        assert_eq!(run(Some(crash_at)), whole, "crash at round {crash_at}");
    }
    let done = |story: &mut Story| {
        story.settle();
        story.run.spec.undo = true;
        story.settle();
        story.done.clone()
    };
    let mut late = started(vec![undoable("one"), undoable("two"), undoable("three")]);
    let unique: BTreeSet<String> =
        done(&mut late).into_iter().filter(|done| done.starts_with("order")).collect();
    assert_eq!(unique.len(), 6, "{unique:?}");
    assert_eq!(late.status().phase, RunPhase::Undone);
}

#[test]
fn what_takes_the_machine_out_of_service_without_leave_is_refused() {
    let power = OrderTemplate { verb: Verb::PowerCycle, arguments: Arguments::default() };
    let power = Step { order: Some(power), ..step("power", Action::Order, 60) };
    let mut story = started(vec![power]);
    story.settle();
    assert_eq!(story.done, ["claim", "let go"], "no order is given");
    assert!(story.status().message.contains("there is no grant"), "{}", story.status().message);
    let release = || vec![step("release", Action::Release, 60)];
    let judge = |steps, finally| match crate::template::check(&workflow(steps, finally).spec) {
        Ok(()) => "fine".to_owned(),
        Err(error) => error.to_string().split(';').next().unwrap().to_owned(),
    };
    let grant = step("grant", Action::Disrupt, 60);
    for action in [Action::Drain, Action::Retire] {
        let end = step("end", action, 60);
        let refused = |path: &str| format!("{path}: this takes the machine out of service");
        assert_eq!(judge(vec![end.clone()], release()), refused("spec.steps[0]"));
        assert_eq!(judge(vec![grant.clone(), end.clone()], Vec::new()), refused("spec.steps[1]"));
        assert_eq!(judge(vec![grant.clone(), end.clone()], release()), "fine");
        assert_eq!(judge(Vec::new(), vec![end.clone()]), refused("spec.finally[0]"));
        let beside = Step { after: Some(Vec::new()), ..end };
        assert_eq!(judge(vec![grant.clone(), beside], release()), refused("spec.steps[1]"));
    }
    let wrong = Step { expression: "machin.x".into(), ..step("see", Action::Verify, 60) };
    assert!(
        judge(vec![wrong], Vec::new())
            .starts_with("spec.steps[0].expression: 1:1: there is no variable \"machin\"")
    );
}

#[test]
fn the_dry_run_says_byte_for_byte_what_the_run_records() {
    let ask = step("ask", Action::Approve, 60);
    let grant = step("grant", Action::Disrupt, 60);
    let many = Step { repeat: "${parameters.times}".into(), ..order("many", "${index}") };
    let steps = vec![
        ask,
        grant,
        step("cordon", Action::Cordon, 60),
        many,
        step("drain", Action::Drain, 60),
        step("probation", Action::Probation, 120),
        step("uncordon", Action::Uncordon, 60),
        step("healthy", Action::Healthy, 60),
    ];
    let mut workflow = workflow(steps, vec![step("release", Action::Release, 60)]);
    workflow.spec.parameters = vec![Parameter {
        name: "times".into(),
        r#type: ParameterType::Integer,
        default: Some("3".into()),
        ..Parameter::default()
    }];
    let mut story = story(workflow, Phase::Healthy);
    story.set_problem(State::Clear);
    let pod = PodSeen {
        key: PodKey { namespace: "default".into(), name: "a".into() },
        stays: false,
        ending: false,
    };
    story.world.pods = vec![pod];
    let said = imagined(story.run.clone(), story.world.clone()).unwrap();
    story.run.spec.approvals.push(Approval { step: "ask".into(), by: "ada".into() });
    story.settle();
    story.world.pods.clear();
    story.pass_seconds(6);
    story.pass_seconds(10);
    let status = story.status();
    assert_eq!(status.phase, RunPhase::Succeeded, "{}", status.message);
    assert_eq!(recorded(&status.steps), said.lines);
    assert_eq!(status.plan, said.plan);
    assert_eq!(
        said.lines[4],
        "many-0: orders EnsureSysctls on machine m1 with {\"sysctls\":{\"vm.swappiness\":\"0\"}}"
    );
    assert_eq!(said.lines.len(), 13);
}

fn many(times: &str) -> (Run, World) {
    let each = Step { repeat: times.into(), expression: "true".into(), ..step("each", Action::Verify, 60) };
    let last = Step { expression: "true".into(), ..step("last", Action::Verify, 60) };
    let story = story(workflow(vec![each], vec![last]), Phase::Healthy);
    (story.run, story.world)
}

#[test]
fn many_steps_stand_in_chunks_and_each_is_done_once() {
    let (run, world) = many("1234");
    let said = imagined(run, world).unwrap();
    let mut expected: Vec<String> =
        (0..1234).map(|number| format!("each-{number}: sees whether true")).collect();
    expected.push("last: sees whether true".to_owned());
    assert_eq!(said.lines, expected);
}

/// Prints what the steps of one large run cost: `cargo test -p muster-workflow --release -- --ignored --nocapture costs`.
#[test]
#[ignore = "a measurement, not a check"]
#[expect(clippy::print_stdout, reason = "the measurement is what it prints")]
fn a_hundred_thousand_steps_costs() {
    for times in ["25000", "100000"] {
        let (run, world) = many(times);
        let begin = std::time::Instant::now();
        let lines = imagined(run, world).unwrap().lines.len();
        let seconds = begin.elapsed().as_secs_f64();
        println!("{lines} steps in {seconds:.2} s: {:.0} steps/s", lines as f64 / seconds);
    }
}

#[test]
fn a_broken_chunk_ends_the_run_after_the_part_that_always_runs_and_is_tried_again_alone() {
    let (mut run, mut world) = many("1000");
    let mut rounds = 0;
    let mut settle = |run: &mut Run, world: &mut World, broken: Option<&str>| loop {
        rounds += 1;
        assert!(rounds < 10_000);
        let steps = world.chunk.as_ref().and_then(|chunk| chunk.status.clone()).unwrap_or_default().steps;
        world.verdicts = steps
            .iter()
            .map(|step| (step.step.name.clone(), Ok(Some(step.step.name.as_str()) != broken)))
            .collect();
        let planned = plan(run, world);
        if let Some(chunk) = planned.chunk {
            let mut written = (**world.chunk.as_ref().unwrap()).clone();
            written.status = Some(chunk);
            world.chunk = Some(Arc::new(written));
        } else if let Some(status) = planned.status {
            if run.status.as_ref().and_then(|old| old.chunk) != status.chunk {
                world.chunk = None;
            }
            run.status = Some(status);
        } else if planned.effects.is_empty() {
            return;
        }
        for effect in planned.effects {
            if let Effect::Chunk(chunk) = effect {
                world.chunk = Some(Arc::new(*chunk));
            } else if let Effect::Machine(change) = effect {
                let machine = world.machine.clone().unwrap();
                world.machine = Some(Arc::new(effect::changed(&machine, run, world, change).unwrap()));
            } else {
                panic!("{effect:?}");
            }
        }
    };
    settle(&mut run, &mut world, Some("each-450"));
    let status = run.status.clone().unwrap();
    let counts = status.counts.clone().unwrap();
    assert_eq!(status.phase, RunPhase::Failed);
    assert_eq!(status.message, "step each-450: it does not hold that true");
    assert_eq!((counts.total, counts.failed, counts.cancelled), (1001, 1, 400));
    assert_eq!((counts.succeeded, counts.broken), (600, Some(2)));
    run.spec.retry = 1;
    world.chunk = None;
    settle(&mut run, &mut world, None);
    let status = run.status.unwrap();
    assert_eq!(status.phase, RunPhase::Succeeded, "{}", status.message);
    assert_eq!(status.counts.unwrap().succeeded, 1001);
}

#[test]
fn the_rest_before_another_attempt_doubles_and_differs_from_run_to_run() {
    let mut story = started(vec![Step { attempts: 3, ..order("one", "1") }]);
    story.answer = OrderPhase::Failed;
    let mut rests = Vec::new();
    for _ in 0..40 {
        story.round();
        if let Some(at) = story.status().steps.iter().find_map(|step| step.retry_at) {
            rests.push(muster_base::clock::elapsed(story.world.now, at).as_millis());
            assert!(message(&story, "one").contains("before: ok"), "{}", message(&story, "one"));
            story.world.now = at;
        }
    }
    rests.retain(|rest| *rest > 0);
    let [first, second] = rests[..] else { panic!("{rests:?}") };
    assert!((750..=1000).contains(&first) && (1500..=2000).contains(&second), "{first} {second}");
}

#[test]
fn the_reason_of_a_wait_that_changes_all_the_time_is_not_written_all_the_time() {
    let mut story = story(workflow(vec![step("grant", Action::Disrupt, 3600)], Vec::new()), Phase::Healthy);
    story.set_problem(State::Clear);
    story.grant = DisruptionPhase::Waiting;
    story.settle();
    let mut written = 0;
    for second in 0..120 {
        let mut asked = (**story.world.disruption.as_ref().unwrap()).clone();
        asked.status.as_mut().unwrap().reason = format!("3 of 3 are out: m{second}");
        story.world.disruption = Some(Arc::new(asked));
        let before = story.run.status.clone();
        story.pass_seconds(1);
        written += u32::from(before != story.run.status);
    }
    assert!((1..=4).contains(&written), "{written}");
    assert!(plan(&story.run, &story.world).look_again.unwrap() <= Duration::from_secs(60));
}

#[test]
fn nothing_is_judged_late_before_the_world_was_read_anew() {
    let mut story = started(vec![order("one", "1")]);
    story.answer = OrderPhase::Pending;
    story.settle();
    story.world.now = at(61);
    story.world.fresh = false;
    let planned = plan(&story.run, &story.world);
    assert!(planned.needs_fresh && planned.status.is_none() && planned.effects.is_empty());
    let mut order = (*story.world.orders["r1.one.1"]).clone();
    order.status = Some(OrderStatus { phase: OrderPhase::Done, ..OrderStatus::default() });
    story.world.orders.insert("r1.one.1".into(), Arc::new(order));
    story.world.fresh = true;
    story.settle();
    assert_eq!(story.status().phase, RunPhase::Succeeded, "what came in time counts");
}
