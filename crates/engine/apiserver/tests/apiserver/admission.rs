//! What the server adds and refuses because of other objects.

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{World, config_map, pod, status};

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";

#[tokio::test]
async fn a_pod_needs_its_service_account_and_gets_its_token() {
    let world = World::new().await;
    let refused = world.admin().post(PODS, &pod("p")).await;
    assert_eq!(
        status(&refused),
        "403 Forbidden: pods \"p\" is forbidden: error looking up service account default/default: serviceaccount \
         \"default\" not found"
    );
    let world = world.with_default_account().await;
    let made = world.admin().post(PODS, &pod("p")).await.body;
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    let mount = &made["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(made["spec"]["volumes"][0]["name"], mount["name"]);
    assert_eq!(made["spec"]["volumes"][0]["projected"]["sources"].as_array().unwrap().len(), 3);
    let mut without = pod("q");
    without["spec"]["automountServiceAccountToken"] = json!(false);
    let made = world.admin().post(PODS, &without).await.body;
    assert_eq!(made["spec"].get("volumes"), None);
}

#[tokio::test]
async fn a_pod_gets_priority_tolerations_quality_and_its_first_status() {
    let world = World::new().await.with_default_account().await;
    let admin = world.admin();
    let mut critical = pod("p");
    critical["spec"]["priorityClassName"] = json!("system-node-critical");
    critical["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    critical["status"] = json!({"phase": "Running"});
    let made = admin.post(PODS, &critical).await.body;
    assert_eq!(made["spec"]["priority"], 2_000_001_000);
    assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": "Guaranteed"}));
    assert_eq!(made["spec"]["tolerations"][0]["tolerationSeconds"], 300);
    let mut unknown = pod("q");
    unknown["spec"]["priorityClassName"] = json!("none");
    assert_eq!(
        status(&admin.post(PODS, &unknown).await),
        "403 Forbidden: pods \"q\" is forbidden: no PriorityClass with name none was found"
    );
}

#[tokio::test]
async fn placing_a_pod_is_no_new_generation_and_replaced_tolerations_keep_the_defaults() {
    let world = World::new().await.with_default_account().await;
    let admin = world.admin();
    admin.post(PODS, &pod("p")).await;
    let target =
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n"}});
    assert_eq!(admin.post(&format!("{PODS}/p/binding"), &target).await.code, 201);
    let mut placed = admin.get(&format!("{PODS}/p")).await.body;
    assert_eq!((&placed["spec"]["nodeName"], &placed["metadata"]["generation"]), (&json!("n"), &json!(1)));
    placed["spec"]["tolerations"] = json!([{"key": "k", "operator": "Exists"}]);
    let changed = admin.put(&format!("{PODS}/p"), &placed).await.body;
    let keys: Vec<&str> = changed["spec"]["tolerations"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["key"].as_str())
        .collect();
    assert_eq!(keys, ["k", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
    assert_eq!(changed["metadata"]["generation"], 2);
}

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn cluster_addresses_are_given_once_kept_and_released() {
    let world = World::new().await;
    let admin = world.admin();
    let ports = json!([{"port": 80}]);
    let first = admin.post(SERVICES, &service("a", json!({"ports": ports}))).await.body;
    let address = first["spec"]["clusterIP"].as_str().unwrap();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(first["spec"]["clusterIPs"], json!([address]));
    let asks = |name: &str, address: &str| service(name, json!({"ports": ports, "clusterIP": address}));
    let taken = admin.post(SERVICES, &asks("b", address)).await;
    let outside = admin.post(SERVICES, &asks("b", "10.97.0.1")).await;
    let mut moved = first.clone();
    moved["spec"]["clusterIP"] = json!("10.96.0.77");
    moved["spec"]["clusterIPs"] = json!(["10.96.0.77"]);
    let moved = admin.put(&format!("{SERVICES}/a"), &moved).await;
    let lines: Vec<String> =
        [taken, outside, moved].iter().map(|one| status(one).replace(address, "ADDRESS")).collect();
    expect![[r#"
        422 Invalid: Service "b" is invalid: spec.clusterIPs: Invalid value: ["ADDRESS"]: failed to allocate IP ADDRESS: provided IP is already allocated
        422 Invalid: Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.97.0.1"]: failed to allocate IP 10.97.0.1: the provided IP (10.97.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16
        422 Invalid: Service "a" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.0.77"]: may not change once set"#]].assert_eq(&lines.join("\n"));
    let kept =
        admin.put(&format!("{SERVICES}/a"), &service("a", json!({"ports": [{"port": 81}]}))).await.body;
    assert_eq!(kept["spec"]["clusterIP"], address);
    admin.delete(&format!("{SERVICES}/a"), &Value::Null).await;
    assert_eq!(admin.post(SERVICES, &asks("b", address)).await.code, 201);
    let headless = admin.post(SERVICES, &asks("c", "None")).await.body;
    assert_eq!(headless["spec"]["clusterIP"], "None");
}

#[tokio::test]
async fn two_services_made_at_once_never_share_an_address() {
    let world = World::new().await;
    let admin = world.admin();
    let bodies: Vec<Value> =
        (0..40).map(|number| service(&format!("s{number}"), json!({"ports": [{"port": 80}]}))).collect();
    let made = futures::future::join_all(bodies.iter().map(|body| admin.post(SERVICES, body))).await;
    let mut addresses: Vec<&str> =
        made.iter().map(|one| one.body["spec"]["clusterIP"].as_str().unwrap()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 40);
}

#[tokio::test]
async fn node_ports_are_given_kept_and_taken_back() {
    let world = World::new().await;
    let admin = world.admin();
    let spec = json!({"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]});
    let made = admin.post(SERVICES, &service("a", spec)).await.body;
    let port = made["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30000..=32767).contains(&port));
    let again = json!({"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP", "nodePort": port}]});
    let refused = admin.post(SERVICES, &service("b", again)).await;
    assert_eq!(refused.body["details"]["causes"][0]["field"], "spec.ports[0].nodePort");
    let path = format!("{SERVICES}/a");
    let kept =
        admin.patch(&path, "merge-patch+json", &json!({"metadata": {"labels": {"x": "y"}}})).await.body;
    assert_eq!(kept["spec"]["ports"][0]["nodePort"], port);
    let inner = admin.patch(&path, "merge-patch+json", &json!({"spec": {"type": "ClusterIP"}})).await.body;
    assert_eq!(inner["spec"]["ports"][0].get("nodePort"), None);
}

#[tokio::test]
async fn a_namespace_on_its_way_out_takes_nothing_new_and_goes_when_finalized() {
    let world = World::new().await;
    let admin = world.admin();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    let made = admin.post("/api/v1/namespaces", &namespace).await.body;
    assert_eq!(made["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "team"}));
    assert_eq!(made["status"]["phase"], "Active");
    let path = "/api/v1/namespaces/team";
    let leaving = admin.delete(path, &Value::Null).await.body;
    assert_eq!((&leaving["status"]["phase"], &leaving["kind"]), (&json!("Terminating"), &json!("Namespace")));
    let refused = admin.post(&format!("{path}/configmaps"), &config_map("a", "1")).await;
    assert_eq!(
        status(&refused),
        "403 Forbidden: configmaps \"a\" is forbidden: unable to create new content in namespace team because it is being \
         terminated"
    );
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut finalized = leaving.clone();
    finalized["spec"]["finalizers"] = json!([]);
    assert_eq!(admin.put(&format!("{path}/finalize"), &finalized).await.code, 200);
    assert_eq!(admin.get(path).await.code, 404);
    let lasting = admin.delete("/api/v1/namespaces/default", &Value::Null).await;
    assert_eq!(
        status(&lasting),
        "403 Forbidden: namespaces \"default\" is forbidden: this namespace may not be deleted"
    );
}

#[tokio::test]
async fn a_new_node_takes_no_pods_before_it_is_ready() {
    let world = World::new().await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    let made = world.admin().post("/api/v1/nodes", &node).await.body;
    assert_eq!(
        made["spec"]["taints"],
        json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    );
}

#[tokio::test]
async fn every_namespace_has_the_root_certificate_even_after_a_deletion() {
    let world = World::new().await;
    let path = "/api/v1/namespaces/kube-system/configmaps";
    let mut events =
        world.admin().watch(&format!("{path}?watch=true&fieldSelector=metadata.name=kube-root-ca.crt")).await;
    assert_eq!(events.line().await, "ADDED kube-root-ca.crt");
    world.admin().delete(&format!("{path}/kube-root-ca.crt"), &Value::Null).await;
    assert_eq!(events.line().await, "DELETED kube-root-ca.crt");
    let again = events.next().await.unwrap();
    assert_eq!(again["object"]["data"]["ca.crt"], world.pki.authority_pem());
}

#[tokio::test]
async fn a_runtime_class_must_be_there_and_brings_its_overhead() {
    let world = World::new().await.with_default_account().await;
    let admin = world.admin();
    let mut sandboxed = pod("p");
    sandboxed["spec"]["runtimeClassName"] = json!("sandbox");
    assert_eq!(
        status(&admin.post(PODS, &sandboxed).await),
        "403 Forbidden: pods \"p\" is forbidden: pod rejected: RuntimeClass \"sandbox\" not found"
    );
    let class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "sandbox"}, "handler": "sandbox",
        "overhead": {"podFixed": {"cpu": "100m"}}, "scheduling": {"nodeSelector": {"sandbox": "yes"}},
    });
    assert_eq!(admin.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await.code, 201);
    let made = admin.post(PODS, &sandboxed).await.body;
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "100m"}));
    assert_eq!(made["spec"]["nodeSelector"], json!({"sandbox": "yes"}));
}
