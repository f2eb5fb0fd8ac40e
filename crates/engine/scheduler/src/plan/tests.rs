use super::*;
use crate::node::Offer;
use crate::view::{NodeSpec, NodeStatus, PodSpec, PodStatus};
use proptest::prelude::*;
use serde_json::{Value, json};

/// `n1 cpu=2 memory=4Gi pods=10 zone=a taint=k=v:NoSchedule cordoned`; what is not named is plenty.
fn node(text: &str) -> Offer {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap();
    let mut labels = json!({"kubernetes.io/hostname": name});
    let mut amounts = json!({"cpu": "64", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"});
    let mut spec = json!({"taints": []});
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("cordoned", _) => spec["unschedulable"] = json!(true),
            ("zone", zone) => labels["topology.kubernetes.io/zone"] = json!(zone),
            ("taint", taint) => {
                let (pair, effect) = taint.split_once(':').unwrap();
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let taints = spec["taints"].as_array_mut().unwrap();
                taints.push(json!({"key": key, "value": value, "effect": effect}));
            }
            (key, amount) if key.starts_with("label.") => labels[&key[6..]] = json!(amount),
            (resource, amount) => amounts[resource] = json!(amount),
        }
    }
    let meta = serde_json::from_value(json!({"name": name, "labels": labels})).unwrap();
    let spec: NodeSpec = serde_json::from_value(spec).unwrap();
    let status: NodeStatus = serde_json::from_value(json!({"allocatable": amounts})).unwrap();
    Offer::parse(&meta, &spec, &status).unwrap()
}

/// `web-1 app=web owner=rs1 cpu=500m`, the rest of the spec as JSON.
fn pod(text: &str, spec: &Value) -> Arc<Pod> {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap();
    let mut meta = json!({"name": name, "namespace": "default", "uid": name, "labels": {}});
    let mut spec = if spec.is_null() { json!({}) } else { spec.clone() };
    let mut requests = json!({});
    for word in words {
        match word.split_once('=').unwrap() {
            ("owner", uid) => {
                meta["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": uid,
                    "uid": uid, "controller": true}]);
            }
            ("app", app) => meta["labels"]["app"] = json!(app),
            ("on", node) => spec["nodeName"] = json!(node),
            (resource, amount) => requests[resource] = json!(amount),
        }
    }
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"name": "c", "resources": {"requests": requests}}]);
    }
    let spec: PodSpec = serde_json::from_value(spec).unwrap();
    Arc::new(Pod::parse(&serde_json::from_value(meta).unwrap(), &spec, &PodStatus::default()).unwrap())
}

fn cluster(nodes: &[&str], placed: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for text in nodes {
        snapshot.upsert_node(node(text));
    }
    for text in placed {
        snapshot.upsert_pod(pod(text, &Value::Null));
    }
    snapshot
}

fn rows(decisions: &[Decision]) -> Vec<String> {
    let row = |decision: &Decision| match decision {
        Decision::Place { pod, node } => format!("{} -> {node}", pod.name),
        Decision::Hold { pod, refusal } => format!("{}: {refusal}", pod.name),
    };
    decisions.iter().map(row).collect()
}

#[track_caller]
fn check(nodes: &[&str], placed: &[&str], asked: &[(&str, Value)], expected: &[&str]) {
    let mut snapshot = cluster(nodes, placed);
    let pods = asked.iter().map(|(text, spec)| pod(text, spec)).collect();
    assert_eq!(rows(&plan(&mut snapshot, pods)), expected);
}

const NO: Value = Value::Null;

#[test]
fn without_nodes_it_says_so() {
    check(&[], &[], &[("a cpu=1", NO)], &["a: no nodes available to schedule pods"]);
}

#[test]
fn takes_the_emptier_node_and_books_each_placement_before_the_next() {
    check(
        &["n1 cpu=2", "n2 cpu=2"],
        &["x cpu=1 on=n1"],
        &[("a cpu=1", NO), ("b cpu=1", NO), ("c cpu=1", NO), ("d cpu=1", NO)],
        &["a -> n2", "b -> n1", "c -> n2", "d: 0/2 nodes are available: 2 Insufficient cpu."],
    );
}

#[test]
fn names_everything_that_is_lacking_sorted_as_text() {
    check(
        &["n1 cpu=1 memory=1Gi", "n2 cordoned", "n3 taint=gpu=yes:NoSchedule", "n4 pods=0"],
        &[],
        &[("a cpu=2 memory=2Gi", NO)],
        &["a: 0/4 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods, \
           1 node(s) had untolerated taint(s), 1 node(s) were unschedulable."],
    );
}

#[test]
fn extended_resources_and_ephemeral_storage_count() {
    check(
        &["n1 nvidia.com/gpu=1 ephemeral-storage=1Gi"],
        &["x nvidia.com/gpu=1 on=n1"],
        &[("a nvidia.com/gpu=1", NO), ("b ephemeral-storage=2Gi", NO), ("c example.com/fpga=1", NO)],
        &[
            "a: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
            "b: 0/1 nodes are available: 1 Insufficient ephemeral-storage.",
            "c: 0/1 nodes are available: 1 Insufficient example.com/fpga.",
        ],
    );
}

#[test]
fn an_init_container_counts_only_where_it_needs_more_and_a_sidecar_always() {
    let container = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
    let mut sidecar = container("500m");
    sidecar["restartPolicy"] = json!("Always");
    let spec = json!({"containers": [container("1")], "initContainers": [sidecar, container("1")]});
    check(&["n1 cpu=1500m"], &[], &[("a", spec.clone())], &["a -> n1"]);
    check(&["n1 cpu=1400m"], &[], &[("a", spec)], &["a: 0/1 nodes are available: 1 Insufficient cpu."]);
}

#[test]
fn node_selector_and_affinity_must_hold_and_preferred_affinity_decides_among_the_rest() {
    let selector = json!({"nodeSelector": {"disk": "ssd"}});
    let term = |key: &str, value: &str| json!({"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]});
    let prefer = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"weight": 10, "preference": term("disk", "hdd")}]}}});
    let require = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [term("disk", "tape"), term("disk", "ssd")]}}}});
    check(
        &["n1 label.disk=hdd", "n2 label.disk=ssd"],
        &[],
        &[("a", selector), ("b", prefer), ("c", require), ("d", json!({"nodeSelector": {"disk": "x"}}))],
        &[
            "a -> n2",
            "b -> n1",
            "c -> n2",
            "d: 0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
        ],
    );
}

#[test]
fn a_tolerated_taint_does_not_repel_and_a_soft_one_only_turns_the_scale() {
    let tolerant = json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]});
    check(&["n1 taint=gpu:NoExecute"], &[], &[("a", tolerant)], &["a -> n1"]);
    check(&["n1 taint=gpu:PreferNoSchedule", "n2 cpu=1"], &["x cpu=900m on=n2"], &[("a", NO)], &["a -> n2"]);
}

#[test]
fn the_cordon_toleration_lets_a_pod_onto_a_cordoned_node() {
    let spec = json!({"tolerations": [
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}]});
    check(&["n1 cordoned"], &[], &[("a", spec)], &["a -> n1"]);
}

#[test]
fn a_host_port_is_given_once_per_node_protocol_and_address() {
    let port = |n: u16, protocol: &str, ip: &str| {
        json!({"containers": [{"name": "c", "ports": [
            {"containerPort": 80, "hostPort": n, "protocol": protocol, "hostIP": ip}]}]})
    };
    check(
        &["n1"],
        &[],
        &[
            ("a", port(80, "TCP", "")),
            ("b", port(80, "UDP", "")),
            ("c", port(80, "TCP", "127.0.0.1")),
            ("d", port(81, "TCP", "127.0.0.1")),
            ("e", port(81, "TCP", "127.0.0.2")),
        ],
        &[
            "a -> n1",
            "b -> n1",
            "c: 0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
            "d -> n1",
            "e -> n1",
        ],
    );
}

fn inter_pod(kind: &str, key: &str) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}}]}}})
}

#[test]
fn anti_affinity_keeps_apart_in_both_directions() {
    let apart = inter_pod("podAntiAffinity", "kubernetes.io/hostname");
    check(
        &["n1"],
        &["x app=web on=n1"],
        &[("a app=web", apart.clone())],
        &["a: 0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."],
    );
    check(
        &["n1"],
        &[],
        &[("a app=db", apart), ("b app=web", NO), ("c app=db", NO)],
        &[
            "a -> n1",
            "b: 0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
            "c -> n1",
        ],
    );
}

#[test]
fn affinity_follows_the_company_and_the_first_of_its_kind_may_begin() {
    let near = inter_pod("podAffinity", "topology.kubernetes.io/zone");
    check(
        &["n1 zone=a", "n2 zone=b", "n3 zone=b cpu=0"],
        &["x app=web on=n3"],
        &[("a app=db cpu=1", near.clone())],
        &["a -> n2"],
    );
    check(&["n1 zone=a"], &[], &[("a app=web", near.clone())], &["a -> n1"]);
    check(
        &["n1 zone=a"],
        &[],
        &[("a app=db", near)],
        &["a: 0/1 nodes are available: 1 node(s) didn't match pod affinity rules."],
    );
}

fn spread(when: &str) -> Value {
    json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"app": "web"}}}]})
}

#[test]
fn a_hard_spread_holds_back_and_a_soft_one_steers() {
    let nodes = ["n1 zone=a", "n2 zone=b cpu=1", "n3"];
    let placed = ["x app=web on=n1", "y cpu=1 on=n2"];
    check(
        &nodes,
        &placed,
        &[("a app=web cpu=1", spread("DoNotSchedule"))],
        &["a: 0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread \
           constraints, 1 node(s) didn't match pod topology spread constraints (missing required label)."],
    );
    check(
        &["n1 zone=a", "n2 zone=b"],
        &placed[..1],
        &[("a app=web", spread("ScheduleAnyway"))],
        &["a -> n2"],
    );
}

#[test]
fn replicas_of_one_owner_spread_although_nobody_said_so() {
    check(
        &["n1 zone=a", "n2 zone=a", "n3 zone=b"],
        &["x owner=r on=n1"],
        &[("a owner=r", NO), ("b owner=r", NO)],
        &["a -> n3", "b -> n2"],
    );
}

#[test]
fn a_refused_booking_frees_its_room() {
    let mut snapshot = cluster(&["n1 cpu=1"], &[]);
    let a = pod("a cpu=1", &NO);
    assert_eq!(rows(&plan(&mut snapshot, vec![Arc::clone(&a)])), ["a -> n1"]);
    assert_eq!(choose(&mut snapshot, &pod("b cpu=1", &NO)).unwrap_err().nodes, 1);
    snapshot.forget(&a.uid);
    assert_eq!(choose(&mut snapshot, &pod("b cpu=1", &NO)).as_deref(), Ok("n1"));
}

#[test]
fn pods_known_before_their_node_count_when_it_comes() {
    let mut snapshot = cluster(&[], &["x cpu=1 on=n1"]);
    snapshot.upsert_node(node("n1 cpu=1"));
    let refusal = choose(&mut snapshot, &pod("a cpu=1", &NO)).unwrap_err();
    assert_eq!(refusal.to_string(), "0/1 nodes are available: 1 Insufficient cpu.");
}

proptest! {
    #[test]
    fn no_node_is_ever_overfull(
        nodes in prop::collection::vec((1_i64..8, 1_usize..6), 1..8),
        asked in prop::collection::vec(100_i64..3000, 1..60),
    ) {
        let mut snapshot = Snapshot::default();
        for (at, (cores, pods)) in nodes.iter().enumerate() {
            snapshot.upsert_node(node(&format!("n{at} cpu={cores} pods={pods}")));
        }
        let pods: Vec<_> =
            asked.iter().enumerate().map(|(at, milli)| pod(&format!("p{at} cpu={milli}m"), &NO)).collect();
        let decisions = plan(&mut snapshot, pods.clone());
        prop_assert_eq!(decisions.len(), pods.len());
        for node in snapshot.nodes() {
            prop_assert!(node.used.cpu_milli <= node.offer.allocatable.cpu_milli);
            prop_assert!(node.pods.len() <= node.offer.pods_max);
        }
        for decision in decisions {
            if let Decision::Hold { pod, .. } = decision {
                prop_assert!(choose(&mut snapshot, &pod).is_err(), "{} was held although it fits", pod.name);
            }
        }
    }

    #[test]
    fn leaving_frees_exactly_what_coming_took(
        steps in prop::collection::vec((0_usize..6, 1_i64..500, any::<bool>()), 0..80),
    ) {
        let mut snapshot = cluster(&["n1"], &[]);
        let mut alive = std::collections::BTreeMap::new();
        for (at, milli, comes) in steps {
            let name = format!("p{at}");
            if comes {
                snapshot.upsert_pod(pod(&format!("{name} cpu={milli}m on=n1 owner=o"), &NO));
                alive.insert(name, milli);
            } else {
                snapshot.remove_pod(&name);
                alive.remove(&name);
            }
        }
        let node = &snapshot.nodes()[0];
        prop_assert_eq!(node.used.cpu_milli, alive.values().sum::<i64>());
        prop_assert_eq!(node.owners.get("o").copied().unwrap_or(0), alive.len());
    }
}
