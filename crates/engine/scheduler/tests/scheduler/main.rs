//! The scheduler against the real kube-apiserver, under its own least-privilege identity.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]
#![expect(clippy::print_stderr, reason = "says why it could not run")]

#[path = "../../../workloads/tests/workloads/upstream.rs"]
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use muster_base::clock::SystemClock;
use muster_base::task::Tasks;
use muster_control::Informers;
use muster_control::rest::{PatchKind, Rest};
use muster_scheduler::rules::{COMPONENT, RULES};
use muster_scheduler::{Config, Scheduler};
use serde_json::{Value, json};
use upstream::Upstream;

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_says_why_it_waits_and_is_placed_when_a_node_comes() {
    let bin = match upstream::binaries() {
        Ok(bin) => bin,
        Err(why) => {
            eprintln!("not run: {why}");
            return;
        }
    };
    let upstream = Upstream::start(&bin, &[COMPONENT]).await;
    let (admin, tasks) = (Rest::new(upstream.client("admin")), Tasks::new());
    prepare(&admin).await;
    let client = upstream.client(COMPONENT);
    let informers = Informers::new(client.clone(), tasks.clone());
    Scheduler::build(Config::default(), client, &informers, Arc::new(SystemClock)).start(&tasks);
    create(&admin, PODS, &pod("early", "1")).await;
    wait(&admin, &format!("{PODS}/early"), |pod| says(pod, "no nodes available to schedule pods")).await;
    let told = |list: &Value| {
        list["items"]
            .as_array()
            .is_some_and(|list| list.iter().any(|e| e["reason"] == json!("FailedScheduling")))
    };
    wait(&admin, "/api/v1/namespaces/default/events", told).await;
    for name in ["n1", "n2", "n3"] {
        node(&admin, name).await;
    }
    wait(&admin, &format!("{PODS}/early"), is_placed).await;
    for name in ["a", "b"] {
        create(&admin, PODS, &pod(name, "1")).await;
    }
    wait(&admin, &format!("{PODS}/b"), is_placed).await;
    let mut nodes: Vec<String> = Vec::new();
    for name in ["early", "a", "b"] {
        let pod = wait(&admin, &format!("{PODS}/{name}"), is_placed).await;
        nodes.push(pod["spec"]["nodeName"].as_str().unwrap().to_owned());
    }
    nodes.sort();
    assert_eq!(nodes, ["n1", "n2", "n3"], "each on the emptiest node");
    create(&admin, PODS, &pod("large", "9")).await;
    wait(&admin, &format!("{PODS}/large"), |pod| says(pod, "0/3 nodes are available: 3 Insufficient cpu."))
        .await;
    tasks.drain(Duration::from_secs(10)).await.unwrap();
}

fn is_placed(pod: &Value) -> bool {
    pod["spec"]["nodeName"].is_string()
}

fn says(pod: &Value, message: &str) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["reason"] == json!("Unschedulable") && c["message"] == json!(message))
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}}}]}})
}

async fn node(admin: &Rest, name: &str) {
    create(admin, "/api/v1/nodes", &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}))
        .await;
    let status = json!({"status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
    admin.patch(&format!("/api/v1/nodes/{name}/status"), PatchKind::Strategic, &status).await.unwrap();
    let untainted = json!({"spec": {"taints": null}});
    admin.patch(&format!("/api/v1/nodes/{name}"), PatchKind::Merge, &untainted).await.unwrap();
}

/// The default account, which another controller makes, and the scheduler's role.
async fn prepare(admin: &Rest) {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    wait(admin, "/api/v1/namespaces/default", |_| true).await;
    create(admin, "/api/v1/namespaces/default/serviceaccounts", &account).await;
    let rows: Vec<Value> = RULES
        .iter()
        .map(|rule| json!({"apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs}))
        .collect();
    let rbac = "rbac.authorization.k8s.io";
    let role = json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole",
        "metadata": {"name": "test-scheduler"}, "rules": rows});
    create(admin, &format!("/apis/{rbac}/v1/clusterroles"), &role).await;
    let binding = json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
        "metadata": {"name": "test-scheduler"},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "test-scheduler"},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": COMPONENT}]});
    create(admin, &format!("/apis/{rbac}/v1/clusterrolebindings"), &binding).await;
}

async fn create(admin: &Rest, path: &str, body: &Value) {
    admin.create(path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Reads until `good`, and shows the last state seen when it never is.
async fn wait(admin: &Rest, path: &str, good: impl Fn(&Value) -> bool) -> Value {
    let mut last = String::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while tokio::time::Instant::now() < deadline {
        match admin.get(path).await {
            Ok(value) if good(&value) => return value,
            other => last = format!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} did not come to what was expected within 30 s; last seen: {last}");
}
