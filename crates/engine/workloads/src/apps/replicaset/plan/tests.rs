use super::*;
use serde_json::json;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn set(replicas: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "rs", "generation": 3},
        "spec": {"replicas": replicas, "minReadySeconds": 10,
            "template": {"metadata": {"labels": {"app": "web", "tier": "front"}}}},
    }))
    .unwrap()
}

/// `a Running ready=-60 node=n1 cost=5 restarts=2 age=100 leaving`, times in seconds before or after the start.
fn pod(text: &str) -> Pod {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap();
    let mut pod = json!({"metadata": {"name": name, "uid": name, "labels": {"app": "web", "tier": "front"}},
        "spec": {}, "status": {"phase": "Pending"}});
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("leaving", _) => pod["metadata"]["deletionTimestamp"] = json!(at(0)),
            ("node", node) => pod["spec"]["nodeName"] = json!(node),
            ("cost", cost) => pod["metadata"]["annotations"] = json!({DELETION_COST: cost}),
            ("labels", _) => pod["metadata"]["labels"] = json!({"app": "web"}),
            ("restarts", n) => {
                pod["status"]["containerStatuses"] = json!([{"restartCount": n.parse::<i32>().unwrap()}]);
            }
            ("age", age) => {
                pod["metadata"]["creationTimestamp"] = json!(at(-age.parse::<i64>().unwrap()));
            }
            ("ready", since) => {
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True",
                    "lastTransitionTime": at(since.parse().unwrap())}]);
            }
            (phase, _) => pod["status"]["phase"] = json!(phase),
        }
    }
    serde_json::from_value(pod).unwrap()
}

fn run(set: &ReplicaSet, pods: &[&str]) -> Plan {
    let pods: Vec<Pod> = pods.iter().map(|text| pod(text)).collect();
    plan(set, &pods.iter().collect::<Vec<_>>(), Attempt::Fine, at(0))
}

#[track_caller]
fn deletes(replicas: i32, pods: &[&str], expected: &[&str]) {
    let change = run(&set(replicas), pods).change;
    let Change::Delete(names) = change else { panic!("expected deletions, found {change:?}") };
    assert_eq!(names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), expected);
}

#[test]
fn creates_what_is_missing_and_counts_neither_finished_nor_leaving_pods() {
    assert_eq!(run(&set(3), &["a Running", "b Failed", "c Running leaving"]).change, Change::Create(2));
    assert_eq!(run(&set(1), &["a"]).change, Change::None);
    assert_eq!(run(&set(9000), &[]).change, Change::Create(500));
}

#[test]
fn a_leaving_set_neither_creates_nor_deletes() {
    let mut set = set(3);
    set.metadata.deletion_timestamp = serde_json::from_value(json!(at(0))).unwrap();
    assert_eq!(run(&set, &["a"]).change, Change::None);
    set.spec.replicas = Some(0);
    assert_eq!(run(&set, &["a"]).change, Change::None);
}

#[test]
fn the_pod_that_is_missed_least_goes_first() {
    deletes(1, &["a Running ready=-60 node=n1", "b Pending node=n1"], &["b"]);
    deletes(1, &["a Pending node=n1", "b Pending"], &["b"]);
    deletes(1, &["a Running ready=-60 node=n1", "b Running node=n1"], &["b"]);
    deletes(1, &["a Running ready=-60 node=n1 cost=1", "b Running ready=-60 node=n1 cost=-1"], &["b"]);
    deletes(
        2,
        &["a Running ready=-60 node=n1", "b Running ready=-60 node=n2", "c Running ready=-60 node=n2"],
        &["b"],
    );
    deletes(1, &["a Running ready=-600 node=n1", "b Running ready=-6 node=n2"], &["b"]);
    deletes(1, &["a Running node=n1 restarts=1", "b Running node=n1 restarts=5"], &["b"]);
    deletes(1, &["a Running node=n1 age=500", "b Running node=n1 age=5"], &["b"]);
}

#[test]
fn reports_counts_and_looks_again_when_a_pod_becomes_available() {
    let plan = run(&set(3), &["a Running ready=-60", "b Running ready=-4", "c Running labels="]);
    assert_eq!(plan.again_at, Some(at(6)));
    let expected = ReplicaSetStatus {
        observed_generation: 3,
        replicas: 3,
        fully_labeled_replicas: 2,
        ready_replicas: 2,
        available_replicas: 1,
        conditions: vec![],
    };
    assert_eq!(plan.status, Some(expected.clone()));
    let mut settled = set(3);
    settled.status = expected;
    let again = run(&settled, &["a Running ready=-60", "b Running ready=-4", "c Running labels="]);
    assert_eq!((again.change, again.status), (Change::None, None));
}

#[test]
fn a_failed_creation_is_told_and_taken_back() {
    let mut set = set(1);
    let told = plan(&set, &[], Attempt::CreateFailed("quota"), at(0)).status.unwrap();
    assert_eq!(told.conditions[0].reason.as_deref(), Some("FailedCreate"));
    assert_eq!(told.conditions[0].message.as_deref(), Some("quota"));
    set.status = told;
    let pods = [pod("a Running")];
    let status = plan(&set, &[&pods[0]], Attempt::Fine, at(0)).status.unwrap();
    assert_eq!(status.conditions, []);
}
