use super::*;
use crate::node::eviction;
use crate::view::Pod;
use serde_json::{Value, json};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// `n1 Ready=True zone=a`, taints as `key:Effect`.
fn node(text: &str) -> Node {
    let mut words = text.split_whitespace();
    let mut node = json!({"metadata": {"name": words.next().unwrap(), "labels": {}, "creationTimestamp": at(-1000)},
        "spec": {"taints": []}, "status": {"conditions": []}});
    for word in words {
        if let Some((key, effect)) = word.split_once(':') {
            let taints = node["spec"]["taints"].as_array_mut().unwrap();
            taints.push(
                json!({"key": format!("node.kubernetes.io/{key}"), "effect": effect, "timeAdded": at(0)}),
            );
        } else if let Some((kind, status)) = word.split_once('=') {
            if kind == "zone" {
                node["metadata"]["labels"]["topology.kubernetes.io/zone"] = json!(status);
            } else {
                let conditions = node["status"]["conditions"].as_array_mut().unwrap();
                conditions.push(json!({"type": kind, "status": status}));
            }
        } else {
            node["spec"]["unschedulable"] = json!(true);
        }
    }
    serde_json::from_value(node).unwrap()
}

/// All nodes were heard at 0.
fn run(nodes: &[Node], evicted_at: Option<i64>, now: i64) -> Plan {
    let mut heartbeats = Heartbeats::default();
    for node in nodes {
        heartbeats.note(node.name(), Some(at(0)), at(0));
    }
    let nodes: Vec<&Node> = nodes.iter().collect();
    plan(&nodes, &heartbeats, Limits::default(), evicted_at.map(at), at(now))
}

fn rows(plan: &Plan) -> Vec<String> {
    let row = |act: &Act| match act {
        Act::Unknown { node, conditions } => format!("{node} unknown x{}", conditions.len()),
        Act::PodsNotReady { node } => format!("{node} pods not ready"),
        Act::Taints { node, taints, .. } => {
            let list: Vec<String> = taints
                .iter()
                .map(|t| format!("{}:{}", t.key.trim_start_matches("node.kubernetes.io/"), t.effect))
                .collect();
            format!("{node} taints {}", list.join(" "))
        }
    };
    plan.acts.iter().map(row).collect()
}

#[track_caller]
fn check(nodes: &[&str], now: i64, expected: &[&str]) -> Plan {
    let nodes: Vec<Node> = nodes.iter().map(|text| node(text)).collect();
    let plan = run(&nodes, None, now);
    assert_eq!(rows(&plan), expected);
    plan
}

#[test]
fn a_ready_node_is_left_alone_until_its_silence_would_count() {
    let plan = check(&["n1 Ready=True"], 39, &[]);
    assert_eq!(plan.again_at, Some(at(40)));
}

#[test]
fn a_silent_node_among_others_becomes_unknown_and_its_pods_must_leave() {
    let nodes = [
        "n1 Ready=True",
        "n2 Ready=Unknown MemoryPressure=Unknown DiskPressure=Unknown PIDPressure=Unknown \
        unreachable:NoSchedule unreachable:NoExecute",
    ];
    check(&nodes, 10, &["n2 pods not ready"]);
    let mut heartbeats = Heartbeats::default();
    heartbeats.note("n1", Some(at(0)), at(0));
    heartbeats.note("n2", Some(at(0)), at(0));
    heartbeats.note("n1", Some(at(38)), at(40));
    let (n1, n2) = (node("n1 Ready=True"), node("n2 Ready=True"));
    let plan = plan(&[&n1, &n2], &heartbeats, Limits::default(), None, at(40));
    assert_eq!(
        rows(&plan),
        ["n2 unknown x4", "n2 pods not ready", "n2 taints unreachable:NoSchedule unreachable:NoExecute"]
    );
    assert_eq!((plan.again_at, plan.evicted_at), (Some(at(80)), Some(at(40))));
}

#[test]
fn a_node_that_reports_not_ready_is_tainted_and_cleared_again() {
    check(
        &["n1 Ready=True", "n2 Ready=False"],
        1,
        &["n2 pods not ready", "n2 taints not-ready:NoSchedule not-ready:NoExecute"],
    );
    check(
        &["n1 Ready=True not-ready:NoSchedule not-ready:NoExecute mine:NoExecute"],
        1,
        &["n1 taints mine:NoExecute"],
    );
}

#[test]
fn when_every_node_of_a_zone_fails_nobody_is_moved() {
    let plan = check(&["n1 Ready=False"], 1, &["n1 pods not ready", "n1 taints not-ready:NoSchedule"]);
    assert_eq!(plan.held, [""]);
    let plan = check(
        &["n1 Ready=False zone=a not-ready:NoSchedule not-ready:NoExecute", "n2 Ready=True zone=b"],
        1,
        &["n1 pods not ready", "n1 taints not-ready:NoSchedule"],
    );
    assert_eq!(plan.held, ["a"]);
}

#[test]
fn pods_of_one_node_at_a_time_are_told_to_leave() {
    let nodes =
        [node("n1 Ready=False"), node("n2 Ready=False"), node("n3 Ready=True"), node("n4 Ready=True")];
    let plan = run(&nodes, Some(-5), 1);
    assert_eq!(rows(&plan)[1], "n1 taints not-ready:NoSchedule");
    assert_eq!(plan.again_at, Some(at(5)));
    let plan = run(&nodes, Some(-9), 1);
    assert_eq!(rows(&plan)[1], "n1 taints not-ready:NoSchedule not-ready:NoExecute");
    assert_eq!(rows(&plan)[3], "n2 taints not-ready:NoSchedule");
}

#[test]
fn a_cordon_and_pressure_keep_new_pods_away_only() {
    check(
        &["n1 Ready=True DiskPressure=True cordoned"],
        1,
        &["n1 taints disk-pressure:NoSchedule unschedulable:NoSchedule"],
    );
}

fn pod(tolerations: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "default", "uid": "u"},
        "spec": {"nodeName": "n1", "tolerations": tolerations}}))
    .unwrap()
}

#[test]
fn a_pod_leaves_at_once_after_its_patience_or_never() {
    let node = node("n1 Ready=False not-ready:NoExecute");
    let patient = |seconds: Value| {
        pod(
            json!([{"key": NOT_READY, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]),
        )
    };
    let leaves = |pod: &Pod, now: i64| {
        let plan = eviction::plan(&[&node], &[pod], at(now));
        (plan.leave.len(), plan.again_at)
    };
    assert_eq!(leaves(&pod(json!([])), 0), (1, None));
    assert_eq!(leaves(&patient(json!(300)), 299), (0, Some(at(300))));
    assert_eq!(leaves(&patient(json!(300)), 300), (1, None));
    assert_eq!(leaves(&patient(Value::Null), 9999), (0, None));
}
