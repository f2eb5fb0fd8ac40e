use super::*;

/// `now` of every row.
const NOW: i64 = 10_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn wanted(text: &str) -> Wanted {
    let (role, name) = match text.split_once(':') {
        Some(("init", name)) => (Role::Init, name),
        Some(("side", name)) => (Role::Sidecar, name),
        Some((other, _)) => panic!("{other}"),
        None => (Role::Main, text),
    };
    Wanted { name: name.to_owned(), role, image: "i".to_owned(), attempts_known: 0, held_until: None }
}

/// `a`, `init:a`, `side:a`.
fn desired(restart: RestartPolicy, containers: &str) -> Desired {
    Desired {
        restart,
        ending: Ending::No,
        expires: None,
        containers: containers.split(' ').map(wanted).collect(),
    }
}

/// `s0=ready s1=dead a.0@s0=run b.1@s0=exit(1,9990,2)` where exit holds code, end and crashes before.
fn actual(text: &str) -> Actual {
    let mut actual = Actual::default();
    for row in text.split_whitespace() {
        let (key, value) = row.split_once('=').unwrap();
        match key.split_once('@') {
            None => actual.sandboxes.push(SandboxView {
                id: key.to_owned(),
                attempt: key[1..].parse().unwrap(),
                state: if value == "ready" { SandboxState::Ready } else { SandboxState::NotReady },
            }),
            Some((container, sandbox)) => actual.containers.push(container_view(container, sandbox, value)),
        }
    }
    actual
}

fn container_view(key: &str, sandbox: &str, value: &str) -> ContainerView {
    let (name, attempt) = key.split_once('.').unwrap();
    let numbers: Vec<i64> = value
        .split_once('(')
        .map(|(_, rest)| rest.trim_end_matches(')').split(',').map(|n| n.parse().unwrap()).collect())
        .unwrap_or_default();
    let (state, verdict) = match value.split('(').next().unwrap() {
        "run" => (ContainerState::Running, Verdict::Fine),
        "starting" => (ContainerState::Running, Verdict::Starting),
        "sick" => (ContainerState::Running, Verdict::Unhealthy),
        "created" => (ContainerState::Created, Verdict::Fine),
        "exit" => (ContainerState::Exited, Verdict::Fine),
        other => panic!("{other}"),
    };
    ContainerView {
        id: format!("{name}{attempt}"),
        name: name.to_owned(),
        sandbox: sandbox.to_owned(),
        attempt: attempt.parse().unwrap(),
        state,
        exit_code: numbers.first().map_or(0, |code| i32::try_from(*code).unwrap()),
        started: Some(at(numbers.get(1).copied().unwrap_or(NOW) - 5)),
        finished: numbers.get(1).map(|end| at(*end)),
        image: "i".to_owned(),
        crashes: numbers.get(2).map_or(0, |n| u32::try_from(*n).unwrap()),
        verdict,
    }
}

fn show(action: &Action) -> String {
    match action {
        Action::StartSandbox { attempt } => format!("sandbox {attempt}"),
        Action::StopSandbox { id } => format!("stop {id}"),
        Action::RemoveSandbox { id } => format!("rmsandbox {id}"),
        Action::Start { name, attempt, crashes } => format!("start {name}.{attempt} crashes={crashes}"),
        Action::Kill { id, why, .. } => format!("kill {id} {why:?}"),
        Action::Remove { id } => format!("rm {id}"),
        Action::Forget => "forget".to_owned(),
    }
}

fn planned(desired: &Desired, actual: &Actual) -> Vec<String> {
    let plan = plan(desired, actual, at(NOW));
    let again = plan.look_again.map(|when| format!("again +{}", when.as_second() - NOW));
    plan.actions.iter().map(show).chain(again).collect()
}

fn check(restart: RestartPolicy, containers: &str, state: &str, expect: &[&str]) {
    assert_eq!(planned(&desired(restart, containers), &actual(state)), expect, "{containers} | {state}");
}

use RestartPolicy::{Always, Never, OnFailure};

#[test]
fn a_new_pod_gets_its_sandbox_and_all_its_containers_in_one_plan() {
    check(Always, "a b", "", &["sandbox 0", "start a.0 crashes=0", "start b.0 crashes=0"]);
    check(Always, "a b", "s0=ready a.0@s0=run", &["start b.0 crashes=0"]);
    check(Always, "a b", "s0=ready a.0@s0=run b.0@s0=run", &[]);
}

#[test]
fn init_containers_run_one_after_the_other_and_only_once() {
    check(Always, "init:x init:y a", "", &["sandbox 0", "start x.0 crashes=0"]);
    check(Always, "init:x init:y a", "s0=ready x.0@s0=run", &[]);
    check(Always, "init:x init:y a", "s0=ready x.0@s0=exit(0,9999,0)", &["start y.0 crashes=0"]);
    let done = "s0=ready x.0@s0=exit(0,9998,0) y.0@s0=exit(0,9999,0)";
    check(Always, "init:x init:y a", done, &["start a.0 crashes=0"]);
    check(Always, "init:x a", "s0=ready a.0@s0=run", &[]);
}

#[test]
fn a_new_sandbox_starts_the_initialization_over_under_new_numbers() {
    let state = "s0=dead x.0@s0=exit(0,9998,0) a.0@s0=exit(255,9999,0)";
    check(Always, "init:x a", state, &["sandbox 1", "start x.1 crashes=0"]);
    check(Never, "init:x a", "s0=dead x.0@s0=exit(0,9998,0)", &["sandbox 1", "start a.0 crashes=0"]);
}

#[test]
fn a_failed_init_container_is_tried_again_unless_the_policy_is_never() {
    check(Always, "init:x a", "s0=ready x.0@s0=exit(1,9999,0)", &["start x.1 crashes=1"]);
    check(Always, "init:x a", "s0=ready x.1@s0=exit(1,9995,1)", &["again +5"]);
    check(Never, "init:x a", "s0=ready x.0@s0=exit(1,9999,0)", &["stop s0"]);
}

#[test]
fn a_sidecar_is_started_in_order_waited_for_only_while_it_starts_and_restarted_for_ever() {
    check(Always, "side:x a", "", &["sandbox 0", "start x.0 crashes=0"]);
    check(Always, "side:x a", "s0=ready x.0@s0=starting", &[]);
    check(Always, "side:x a", "s0=ready x.0@s0=run", &["start a.0 crashes=0"]);
    check(Never, "side:x a", "s0=ready x.0@s0=exit(0,9999,0) a.0@s0=run", &["start x.1 crashes=1"]);
    check(Never, "side:x a", "s0=ready x.0@s0=run a.0@s0=exit(0,9999,0)", &["kill x0 PodEnds", "stop s0"]);
}

#[test]
fn the_first_restart_is_immediate_and_the_next_ones_back_off_up_to_five_minutes() {
    check(Always, "a", "s0=ready a.0@s0=exit(0,10000,0)", &["start a.1 crashes=1"]);
    check(Always, "a", "s0=ready a.1@s0=exit(1,10000,1)", &["again +10"]);
    check(Always, "a", "s0=ready a.1@s0=exit(1,9990,1)", &["start a.2 crashes=2"]);
    check(Always, "a", "s0=ready a.2@s0=exit(1,9990,2)", &["again +10"]);
    check(Always, "a", "s0=ready a.9@s0=exit(1,10000,9)", &["again +300"]);
}

#[test]
fn a_long_steady_life_forgives_earlier_crashes() {
    let mut state = actual("s0=ready a.5@s0=exit(1,10000,5)");
    state.containers[0].started = Some(at(NOW - 601));
    assert_eq!(planned(&desired(Always, "a"), &state), ["start a.6 crashes=1"]);
}

#[test]
fn the_restart_policy_decides_what_a_finished_container_means() {
    check(OnFailure, "a", "s0=ready a.0@s0=exit(0,9999,0)", &["stop s0"]);
    check(OnFailure, "a", "s0=ready a.0@s0=exit(1,9999,0)", &["start a.1 crashes=1"]);
    check(Never, "a b", "s0=ready a.0@s0=exit(1,9999,0) b.0@s0=run", &[]);
    check(Never, "a b", "s0=ready a.0@s0=exit(1,9999,0) b.0@s0=exit(0,9999,0)", &["stop s0"]);
    check(Never, "a", "s0=dead a.0@s0=exit(1,9999,0)", &[]);
}

#[test]
fn a_container_created_but_never_started_is_made_anew_under_the_same_number() {
    check(Always, "a", "s0=ready a.3@s0=created", &["rm a3", "start a.3 crashes=0"]);
}

#[test]
fn a_dead_sandbox_takes_its_containers_with_it_before_the_next_one_starts() {
    check(Always, "a", "s0=dead a.0@s0=run", &["stop s0", "again +0"]);
    check(Always, "a", "s0=dead a.0@s0=exit(255,9999,3)", &["sandbox 1", "start a.1 crashes=0"]);
    check(Always, "a", "s0=dead s1=ready a.1@s1=run", &["stop s0", "rmsandbox s0"]);
    check(Never, "a", "s0=dead a.0@s0=exit(0,9999,0)", &[]);
}

#[test]
fn an_unhealthy_or_outdated_container_is_killed_and_no_other() {
    check(Always, "a b", "s0=ready a.0@s0=sick b.0@s0=run", &["kill a0 Unhealthy"]);
    let mut outdated = actual("s0=ready a.0@s0=run");
    outdated.containers[0].image = "old".to_owned();
    assert_eq!(planned(&desired(Always, "a"), &outdated), ["kill a0 ImageChanged"]);
}

#[test]
fn only_the_last_two_lives_of_a_container_are_kept() {
    let state = "s0=ready a.0@s0=exit(1,1,0) a.1@s0=exit(1,2,0) a.2@s0=run";
    check(Always, "a", state, &["rm a0"]);
}

#[test]
fn a_deleted_pod_is_killed_taken_apart_and_forgotten() {
    let state = actual("s0=ready a.0@s0=run b.0@s0=exit(0,9999,0)");
    let expect = ["kill a0 PodEnds", "stop s0", "rmsandbox s0", "forget"];
    assert_eq!(planned(&Desired { ending: Ending::Forgotten, ..desired(Always, "a b") }, &state), expect);
    assert_eq!(planned(&Desired::forgotten(), &Actual::default()), ["forget"]);
}

#[test]
fn a_pod_past_its_deadline_or_already_final_runs_nothing_and_keeps_its_dead() {
    let state = actual("s0=ready a.0@s0=run");
    let late = Desired { expires: Some(at(NOW)), ..desired(Always, "a") };
    assert_eq!(planned(&late, &state), ["kill a0 PodEnds", "stop s0"]);
    let early = Desired { expires: Some(at(NOW + 7)), ..desired(Always, "a") };
    assert_eq!(planned(&early, &state), ["again +7"]);
    let ended = Desired { ending: Ending::Ended, ..desired(Always, "a") };
    assert_eq!(planned(&ended, &actual("s0=dead a.0@s0=exit(0,1,0)")), Vec::<String>::new());
}

#[test]
fn a_start_that_failed_waits_and_holds_up_no_other_container() {
    let mut want = desired(Always, "a b");
    want.containers[0].held_until = Some(at(NOW + 20));
    assert_eq!(planned(&want, &actual("s0=ready b.0@s0=run")), ["again +20"]);
    assert_eq!(planned(&want, &actual("s0=ready")), ["start b.0 crashes=0", "again +20"]);
}

#[test]
fn attempts_go_on_from_what_the_api_remembers() {
    let mut want = desired(Always, "a");
    want.containers[0].attempts_known = 4;
    assert_eq!(planned(&want, &Actual::default()), ["sandbox 0", "start a.4 crashes=0"]);
}
