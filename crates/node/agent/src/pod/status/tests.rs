use super::*;
use crate::cgroup::Cgroups;
use crate::runtime::{Sandbox, SandboxState, proto};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn node() -> Node {
    Node {
        name: "n".to_owned(),
        ip: "192.0.2.1".to_owned(),
        cpu_milli: 2000,
        memory_bytes: 1 << 30,
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".to_owned(),
        host_dns: proto::DnsConfig::default(),
        pods_dir: "/pods".into(),
        logs_dir: "/logs".into(),
        cgroups: Cgroups::new("/muster"),
    }
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u", "generation": 1}, "spec": spec}))
        .unwrap()
}

fn life(name: &str, attempt: u32, state: ContainerState, code: i32) -> (String, ContainerStatus) {
    let ended = state == ContainerState::Exited;
    let status = ContainerStatus {
        id: format!("{name}{attempt}"),
        name: name.to_owned(),
        attempt,
        state,
        created: at(1),
        started: Some(at(2)),
        finished: ended.then(|| at(3)),
        exit_code: code,
        image: "i".to_owned(),
        image_ref: "sha256:1".to_owned(),
        reason: if code == 137 { "OOMKilled".to_owned() } else { String::new() },
        message: String::new(),
        log_path: String::new(),
        annotations: BTreeMap::new(),
    };
    ("s".to_owned(), status)
}

fn world(containers: Vec<(String, ContainerStatus)>) -> World {
    let sandbox = Sandbox {
        id: "s".to_owned(),
        pod_uid: "u".to_owned(),
        pod_namespace: String::new(),
        pod_name: String::new(),
        attempt: 0,
        state: SandboxState::Ready,
        created: at(1),
    };
    World { sandboxes: vec![sandbox], containers, ips: vec!["10.244.0.2".to_owned()] }
}

fn status(pod: &Pod, world: &World, backing_off: &[(&str, i64)]) -> PodStatus {
    of(&View {
        pod,
        written: None,
        world,
        probes: &Probes::default(),
        failures: &BTreeMap::new(),
        backing_off: &backing_off.iter().map(|(name, until)| ((*name).to_owned(), at(*until))).collect(),
        node: &node(),
        now: at(10),
    })
}

fn condition_of(status: &PodStatus, kind: &str) -> String {
    let found = status.conditions.iter().flatten().find(|condition| condition.type_ == kind).unwrap();
    format!(
        "{} {} {}",
        found.status,
        found.reason.clone().unwrap_or_default(),
        found.message.clone().unwrap_or_default()
    )
    .trim()
    .to_owned()
}

use ContainerState::{Exited, Running};

#[test]
fn a_running_pod_is_ready_with_its_addresses() {
    let status =
        status(&pod(json!({"containers": [{"name": "a"}]})), &world(vec![life("a", 0, Running, 0)]), &[]);
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(
        (status.pod_ip.as_deref(), status.host_ip.as_deref()),
        (Some("10.244.0.2"), Some("192.0.2.1"))
    );
    assert_eq!(condition_of(&status, "Ready"), "True");
    assert_eq!(condition_of(&status, "Initialized"), "True");
    assert_eq!(status.container_statuses.unwrap()[0].container_id.as_deref(), Some("containerd://a0"));
}

#[test]
fn nothing_started_is_pending_and_says_which_containers_are_not_ready() {
    let status = status(&pod(json!({"containers": [{"name": "a"}, {"name": "b"}]})), &World::default(), &[]);
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert_eq!(
        condition_of(&status, "Ready"),
        "False ContainersNotReady containers with unready status: [a b]"
    );
    let waiting = status.container_statuses.unwrap()[0].state.clone().unwrap().waiting.unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("ContainerCreating"));
}

#[test]
fn a_crash_loop_is_running_waits_and_remembers_the_last_end() {
    let pod = pod(json!({"containers": [{"name": "a"}]}));
    let status = status(&pod, &world(vec![life("a", 2, Exited, 137)]), &[("a", 30)]);
    assert_eq!(status.phase.as_deref(), Some("Running"));
    let container = &status.container_statuses.unwrap()[0];
    let waiting = container.state.clone().unwrap().waiting.unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(waiting.message.as_deref(), Some("back-off 20s restarting failed container=a"));
    let last = container.last_state.clone().unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (137, Some("OOMKilled")));
    assert_eq!(container.restart_count, 2);
}

#[test]
fn a_finished_pod_has_its_final_phase_by_its_exit_codes() {
    let pod = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}, {"name": "b"}]}));
    let good = status(&pod, &world(vec![life("a", 0, Exited, 0), life("b", 0, Exited, 0)]), &[]);
    assert_eq!(good.phase.as_deref(), Some("Succeeded"));
    assert_eq!(condition_of(&good, "Ready"), "False PodCompleted");
    let bad = status(&pod, &world(vec![life("a", 0, Exited, 0), life("b", 0, Exited, 1)]), &[]);
    assert_eq!(bad.phase.as_deref(), Some("Failed"));
    let half = status(&pod, &world(vec![life("a", 0, Exited, 1), life("b", 0, Running, 0)]), &[]);
    assert_eq!(half.phase.as_deref(), Some("Running"));
}

#[test]
fn a_pod_in_its_init_containers_says_so() {
    let pod = pod(json!({"initContainers": [{"name": "x"}], "containers": [{"name": "a"}]}));
    let status = status(&pod, &world(vec![life("x", 0, Running, 0)]), &[]);
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert_eq!(
        condition_of(&status, "Initialized"),
        "False ContainersNotInitialized containers with incomplete status: [x]"
    );
    let main = status.container_statuses.unwrap()[0].state.clone().unwrap().waiting.unwrap();
    assert_eq!(main.reason.as_deref(), Some("PodInitializing"));
    assert!(!status.init_container_statuses.unwrap()[0].ready);
}

#[test]
fn a_condition_keeps_the_time_of_its_last_change_and_foreign_ones_stay() {
    let mut pod = pod(json!({"containers": [{"name": "a"}]}));
    let old = json!({"conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:05Z"},
        {"type": "example.com/mine", "status": "True"}]});
    pod.status = Some(serde_json::from_value(old).unwrap());
    let status = status(&pod, &world(vec![life("a", 0, Running, 0)]), &[]);
    let conditions = status.conditions.unwrap();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.last_transition_time, Some(Time(at(5))));
    assert!(conditions.iter().any(|condition| condition.type_ == "example.com/mine"));
}

#[test]
fn a_condition_set_by_somebody_else_is_seen_and_others_are_not_ours() {
    let condition = |kind: &str, status: &str| PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        ..PodCondition::default()
    };
    let with = |ready: &str| PodStatus {
        conditions: Some(vec![condition("Ready", ready), condition("example.com/gate", ready)]),
        ..PodStatus::default()
    };
    let pod = |ready: &str| Pod { status: Some(with(ready)), ..Pod::default() };
    assert!(is_overruled(&pod("False"), &with("True")));
    assert!(!is_overruled(&pod("True"), &with("True")));
    assert_eq!(version(&Pod::default()), 0);
}
