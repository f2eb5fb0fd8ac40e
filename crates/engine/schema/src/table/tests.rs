use serde_json::json;

use super::*;
use crate::{Catalog, crd};

const NOW: &str = "2026-01-01T10:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Headers and the cells of one object, as `kubectl get` and `kubectl get -o wide` would show them.
#[track_caller]
fn check(group: &str, version: &str, kind: &str, mut object: Value, expected: &[(&str, Value)]) {
    object["metadata"]["name"] = json!("x");
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T09:54:57Z");
    let kind = Catalog::builtin().kind(group, version, kind).unwrap();
    let table = render(kind, &[&object], now(), IncludeObject::None);
    let names =
        table["columnDefinitions"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap());
    let cells = table["rows"][0]["cells"].as_array().unwrap().iter().cloned();
    let found: Vec<(&str, Value)> = names.zip(cells).collect();
    assert_eq!(found, expected);
    assert_eq!(table["rows"][0].get("object"), None);
}

#[test]
fn spans_are_written_as_upstream_writes_them() {
    let cases = [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (303, "5m3s"),
        (3600, "60m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (86_400, "24h"),
        (187_200, "2d4h"),
        (864_000, "10d"),
        (63_072_000, "2y"),
        (66_000_000, "2y33d"),
        (315_360_000, "10y"),
    ];
    for (seconds, expected) in cases {
        assert_eq!(human_duration(jiff::SignedDuration::from_secs(seconds)), expected, "{seconds} s");
    }
}

fn pod(status: Value) -> Value {
    json!({
        "metadata": {},
        "spec": {"nodeName": "n1", "containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}, {"name": "side", "restartPolicy": "Always"}]},
        "status": status,
    })
}

#[track_caller]
fn pod_cells(object: &Value, expected: [&str; 3]) {
    let kind = Catalog::builtin().kind("", "v1", "Pod").unwrap();
    let table = render(kind, &[object], now(), IncludeObject::None);
    let cells = &table["rows"][0]["cells"];
    assert_eq!([&cells[1], &cells[2], &cells[3]], expected);
}

#[test]
fn a_pod_is_told_in_one_word() {
    let running = json!({"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}});
    let crashing = json!({"name": "b", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"finishedAt": "2026-01-01T09:59:00Z"}}});
    let sidecar =
        json!({"name": "side", "ready": true, "started": true, "restartCount": 1, "state": {"running": {}}});
    let done = json!({"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 0}}});
    pod_cells(&pod(json!({"phase": "Pending"})), ["0/3", "Pending", "0"]);
    pod_cells(
        &pod(
            json!({"phase": "Running", "initContainerStatuses": [done, sidecar], "containerStatuses": [running, crashing]}),
        ),
        ["2/3", "CrashLoopBackOff", "4 (60s ago)"],
    );
    let waiting =
        json!({"name": "i", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}});
    pod_cells(
        &pod(json!({"phase": "Pending", "initContainerStatuses": [waiting]})),
        ["0/3", "Init:0/2", "0"],
    );
    let failed = json!({"name": "i", "restartCount": 1, "state": {"terminated": {"exitCode": 3}}});
    pod_cells(
        &pod(json!({"phase": "Pending", "initContainerStatuses": [failed]})),
        ["0/3", "Init:ExitCode:3", "1"],
    );
    let ended = |code: i32| json!({"name": "a", "restartCount": 0, "state": {"terminated": {"exitCode": code, "reason": "Completed"}}});
    pod_cells(
        &pod(json!({"phase": "Succeeded", "containerStatuses": [ended(0)]})),
        ["0/3", "Completed", "0"],
    );
    let mut deleting = pod(json!({"phase": "Running"}));
    deleting["metadata"]["deletionTimestamp"] = json!(NOW);
    pod_cells(&deleting, ["0/3", "Terminating", "0"]);
    deleting["status"]["reason"] = json!("NodeLost");
    pod_cells(&deleting, ["0/3", "Unknown", "0"]);
}

#[test]
fn a_pod_that_ended_carries_a_condition_and_its_object_as_asked() {
    let kind = Catalog::builtin().kind("", "v1", "Pod").unwrap();
    let mut object = pod(json!({"phase": "Succeeded"}));
    object["apiVersion"] = json!("v1");
    let row = |include| render(kind, &[&object], now(), include)["rows"][0].clone();
    assert_eq!(row(IncludeObject::None)["conditions"][0]["reason"], "Succeeded");
    assert_eq!(
        row(IncludeObject::Metadata)["object"],
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {}})
    );
    assert_eq!(row(IncludeObject::Object)["object"], object);
}

#[test]
fn deployments_and_services_show_the_upstream_columns() {
    check(
        "apps",
        "v1",
        "Deployment",
        json!({"spec": {"replicas": 3, "selector": {"matchLabels": {"b": "2", "a": "1"}},
            "template": {"spec": {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]}}},
            "status": {"readyReplicas": 2, "updatedReplicas": 3}}),
        &[
            ("Name", json!("x")),
            ("Ready", json!("2/3")),
            ("Up-to-date", json!(3)),
            ("Available", json!(0)),
            ("Age", json!("5m3s")),
            ("Containers", json!("c,d")),
            ("Images", json!("i:1,j")),
            ("Selector", json!("a=1,b=2")),
        ],
    );
    check(
        "",
        "v1",
        "Service",
        json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "selector": {"a": "1"},
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30000}, {"port": 53, "protocol": "UDP"}]}}),
        &[
            ("Name", json!("x")),
            ("Type", json!("LoadBalancer")),
            ("Cluster-IP", json!("10.0.0.1")),
            ("External-IP", json!("<pending>")),
            ("Port(s)", json!("80:30000/TCP,53/UDP")),
            ("Age", json!("5m3s")),
            ("Selector", json!("a=1")),
        ],
    );
}

#[test]
fn nodes_volumes_and_events_show_the_upstream_columns() {
    check(
        "",
        "v1",
        "Node",
        json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/db": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
                "nodeInfo": {"kubeletVersion": "v1", "kernelVersion": "6.1", "architecture": "amd64"}}}),
        &[
            ("Name", json!("x")),
            ("Status", json!("Ready,SchedulingDisabled")),
            ("Roles", json!("db,worker")),
            ("Age", json!("5m3s")),
            ("Version", json!("v1")),
            ("Internal-IP", json!("10.0.0.9")),
            ("External-IP", json!("<none>")),
            ("OS-Image", json!("<unknown>")),
            ("Kernel-Version", json!("6.1 (amd64)")),
            ("Container-Runtime", json!("<unknown>")),
        ],
    );
    check(
        "",
        "v1",
        "PersistentVolumeClaim",
        json!({"spec": {"volumeName": "v", "storageClassName": "s"}, "status": {"phase": "Bound",
            "capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteOnce"]}}),
        &[
            ("Name", json!("x")),
            ("Status", json!("Bound")),
            ("Volume", json!("v")),
            ("Capacity", json!("1Gi")),
            ("Access Modes", json!("RWO")),
            ("StorageClass", json!("s")),
            ("VolumeAttributesClass", json!("<unset>")),
            ("Age", json!("5m3s")),
            ("VolumeMode", json!("<unset>")),
        ],
    );
    check(
        "",
        "v1",
        "Event",
        json!({"type": "Normal", "reason": "Pulled", "message": "hi \n", "eventTime": "2026-01-01T09:59:00.000000Z",
            "involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "agent", "host": "n"}}),
        &[
            ("Last Seen", json!("60s")),
            ("Type", json!("Normal")),
            ("Reason", json!("Pulled")),
            ("Object", json!("pod/p")),
            ("Subobject", json!("")),
            ("Source", json!("agent, n")),
            ("Message", json!("hi")),
            ("First Seen", json!("60s")),
            ("Count", json!(1)),
            ("Name", json!("x")),
        ],
    );
}

#[test]
fn a_kind_without_columns_shows_when_it_was_made() {
    check(
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRole",
        json!({}),
        &[("Name", json!("x")), ("Created At", json!("2026-01-01T09:54:57Z"))],
    );
}

#[test]
fn every_built_in_kind_can_be_shown_empty() {
    for kind in Catalog::builtin().kinds() {
        let table = render(kind, &[&json!({})], now(), IncludeObject::Metadata);
        let columns = table["columnDefinitions"].as_array().unwrap();
        assert_eq!(table["rows"][0]["cells"].as_array().unwrap().len(), columns.len(), "{:?}", kind.gvk);
        let undescribed: Vec<_> = columns.iter().filter(|column| column["description"] == "").collect();
        assert!(undescribed.is_empty(), "{:?}: {undescribed:?}", kind.gvk);
    }
}

#[test]
fn custom_resources_show_their_columns() {
    let definition = json!({
        "metadata": {"name": "xs.muster.dev"},
        "spec": {"group": "muster.dev", "scope": "Cluster", "names": {"plural": "xs", "kind": "X"}, "versions": [{
            "name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            "additionalPrinterColumns": [
                {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                {"name": "Since", "type": "date", "jsonPath": ".status.since"},
                {"name": "N", "type": "integer", "jsonPath": ".spec.n", "priority": 1},
            ],
        }]},
    });
    let kind = crd::compile(&definition).unwrap().remove(0);
    let object = json!({"metadata": {"name": "a"}, "spec": {"n": 3.0},
        "status": {"since": "2026-01-01T09:59:50Z", "conditions": [{"type": "A", "status": "x"}, {"type": "Ready", "status": "True"}]}});
    let table = render(&kind, &[&object], now(), IncludeObject::None);
    assert_eq!(table["rows"][0]["cells"], json!(["a", null, "True", "10s", 3]));
    assert_eq!(table["columnDefinitions"][4]["priority"], 1);
    assert_eq!(
        table["columnDefinitions"][1]["description"],
        "Custom resource definition column (in JSONPath format): .status.phase"
    );
}

#[test]
fn simple_paths_lead_where_they_say() {
    let value = json!({"a": {"b.c": [10, 20, 30]}, "l": [{"n": 1, "k": "x"}, {"n": 2, "k": "y"}]});
    let cases = [
        (".a['b.c'][0]", json!([10])),
        (r".a.b\.c[-1]", json!([30])),
        ("{.l[*].n}", json!([1, 2])),
        (".l[?(@.n > 1)].k", json!(["y"])),
        (".l[?(@.k != 'y')].n", json!([1])),
        (".l[?(@.z)].n", json!([])),
        (".nothing.there", json!([])),
        (".", json!([value])),
    ];
    for (path, expected) in cases {
        let found: Vec<&Value> = JsonPath::parse(path).unwrap().find(&value);
        assert_eq!(json!(found), expected, "{path}");
    }
    for path in [".a[", ".a[x]", ".l[?(n)]", ".a..b["] {
        assert!(JsonPath::parse(path).is_err(), "{path}");
    }
}
