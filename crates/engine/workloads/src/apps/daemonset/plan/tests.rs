use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn set(strategy: Value) -> DaemonSet {
    serde_json::from_value(
        json!({"metadata": {"name": "agent", "namespace": "sys", "uid": "ds", "generation": 2},
        "spec": {"updateStrategy": strategy,
            "template": {"spec": {"nodeSelector": {"os": "linux"}, "containers": []}}}}),
    )
    .unwrap()
}

/// `n1 taint=key:Effect windows`
fn node(text: &str) -> Node {
    let words: Vec<&str> = text.split_whitespace().collect();
    let os = if words.contains(&"windows") { "windows" } else { "linux" };
    let taints: Vec<Value> = words
        .iter()
        .filter_map(|word| word.strip_prefix("taint=")?.split_once(':'))
        .map(|(key, effect)| json!({"key": key, "effect": effect}))
        .collect();
    serde_json::from_value(
        json!({"metadata": {"name": words[0], "labels": {"os": os}}, "spec": {"taints": taints}}),
    )
    .unwrap()
}

/// `p1 n1 old ready leaving failed`; without `node` word it is only tied to the node.
fn pod(text: &str) -> Pod {
    let words: Vec<&str> = text.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    let hash = if has("old") { "h1" } else { "h2" };
    let spec = if has("unplaced") {
        placement::tied(&json!({"spec": {}}), words[1])
    } else {
        json!({"nodeName": words[1]})
    };
    let mut pod = json!({"metadata": {"name": words[0], "uid": words[0], "labels": {HASH: hash}}, "spec": spec,
        "status": {"phase": if has("failed") { "Failed" } else { "Running" },
            "conditions": [{"type": "Ready", "status": if has("ready") { "True" } else { "False" }}]}});
    if has("leaving") {
        pod["metadata"]["deletionTimestamp"] = json!(at(0));
    }
    serde_json::from_value(pod).unwrap()
}

fn run(set: &DaemonSet, nodes: &[&str], pods: &[&str]) -> Plan {
    let nodes: Vec<Node> = nodes.iter().map(|text| node(text)).collect();
    let pods: Vec<Pod> = pods.iter().map(|text| pod(text)).collect();
    let wishes = Wishes::of(&set.spec.template).unwrap();
    let (nodes, pods): (Vec<&Node>, Vec<&Pod>) = (nodes.iter().collect(), pods.iter().collect());
    plan(set, &wishes, &nodes, &pods, "h2", at(0))
}

#[track_caller]
fn check(strategy: Value, nodes: &[&str], pods: &[&str], create: &[&str], delete: &[&str]) {
    let plan = run(&set(strategy), nodes, pods);
    let names: Vec<&str> = plan.delete.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        (plan.create.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), names.as_slice()),
        (create, delete)
    );
}

#[test]
fn every_fitting_node_gets_one_pod_and_no_other_node_any() {
    check(json!({}), &["n1", "n2", "w windows"], &["a n1 ready"], &["n2"], &[]);
    check(json!({}), &["n1", "w windows"], &["a n1 ready", "b w ready"], &[], &["b"]);
    check(json!({}), &["n1"], &["a n1 ready", "b n1 ready"], &[], &["b"]);
    check(json!({}), &["n1"], &["a n1 unplaced"], &[], &[]);
}

#[test]
fn a_failed_pod_is_replaced_after_it_is_gone() {
    check(json!({}), &["n1"], &["a n1 failed"], &[], &["a"]);
    check(json!({}), &["n1"], &["a n1 failed leaving"], &[], &[]);
}

#[test]
fn troubles_of_the_node_are_borne_and_other_taints_are_not() {
    let trouble =
        "n1 taint=node.kubernetes.io/unreachable:NoExecute taint=node.kubernetes.io/unschedulable:NoSchedule";
    check(json!({}), &[trouble], &[], &["n1"], &[]);
    check(json!({}), &["n1 taint=mine:NoSchedule"], &["a n1 ready"], &[], &[]);
    check(json!({}), &["n1 taint=mine:NoSchedule"], &[], &[], &[]);
    check(json!({}), &["n1 taint=mine:NoExecute"], &["a n1 ready"], &[], &["a"]);
}

#[test]
fn an_update_takes_idle_pods_at_once_and_serving_ones_within_the_limit() {
    let nodes = ["n1", "n2", "n3"];
    let pods = ["a n1 old ready", "b n2 old ready", "c n3 old ready"];
    check(json!({}), &nodes, &pods, &[], &["a"]);
    check(json!({"rollingUpdate": {"maxUnavailable": 2}}), &nodes, &pods, &[], &["a", "b"]);
    check(json!({}), &nodes, &["a n1 old ready", "b n2 old ready", "c n3 old"], &[], &["c"]);
    check(json!({}), &nodes, &["a n1 old ready", "b n2 old ready", "c n3 leaving"], &[], &[]);
    check(json!({"type": "OnDelete"}), &nodes, &pods, &[], &[]);
}

#[test]
fn surge_is_refused_with_what_to_do_instead() {
    let plan = run(
        &set(json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})),
        &["n1"],
        &["a n1 old ready"],
    );
    assert_eq!(plan.delete, []);
    assert!(plan.refused.unwrap().contains("use maxUnavailable"));
}

#[test]
fn reports_what_kubectl_rollout_status_reads() {
    let status =
        run(&set(json!({})), &["n1", "n2", "w windows"], &["a n1 ready", "b n2 old", "c w"]).status.unwrap();
    let expected = DaemonSetStatus {
        observed_generation: 2,
        desired_number_scheduled: 2,
        current_number_scheduled: 2,
        number_misscheduled: 1,
        number_ready: 1,
        updated_number_scheduled: 1,
        number_available: 1,
        number_unavailable: 1,
        collision_count: None,
    };
    assert_eq!(status, expected);
}

proptest! {
    #[test]
    fn an_update_never_has_more_than_the_limit_down(
        ready in prop::collection::vec(any::<(bool, bool)>(), 1..30), most in 1_i32..6,
    ) {
        let nodes: Vec<String> = (0..ready.len()).map(|n| format!("n{n}")).collect();
        let pods: Vec<String> = ready
            .iter()
            .enumerate()
            .map(|(n, (ready, old))| {
                format!("p{n} n{n} {} {}", if *ready { "ready" } else { "" }, if *old { "old" } else { "" })
            })
            .collect();
        let plan = run(
            &set(json!({"rollingUpdate": {"maxUnavailable": most}})),
            &nodes.iter().map(String::as_str).collect::<Vec<_>>(),
            &pods.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let down = ready.iter().filter(|(ready, _)| !ready).count();
        let serving_taken = plan.delete.iter().filter(|(name, _)| ready[name[1..].parse::<usize>().unwrap()].0).count();
        prop_assert!(serving_taken == 0 || down + serving_taken <= usize::try_from(most).unwrap());
    }
}
