//! The controllers and the scheduler against the real kube-apiserver, each under its own least-privilege identity.

mod kubelet;
mod upstream;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use muster_base::clock::SystemClock;
use muster_base::task::Tasks;
use muster_control::rest::{PatchKind, Propagation, Removal, Rest};
use muster_control::{Informers, Metrics};
use muster_scheduler::Scheduler;
use muster_workloads::node::addresses::Range;
use muster_workloads::node::lifecycle::Limits;
use muster_workloads::rules::{self, INFORMERS};
use muster_workloads::{Config, Workloads};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use upstream::Upstream;

const PEM: &str = "-----BEGIN CERTIFICATE-----\ntest\n-----END CERTIFICATE-----\n";
const SCHEDULER: &str = muster_scheduler::rules::COMPONENT;

struct Cluster {
    admin: Rest,
    tasks: Tasks,
    upstream: Upstream,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controllers_run_a_cluster_on_the_real_api_server() {
    let bin = match upstream::binaries() {
        Ok(bin) => bin,
        Err(why) => {
            eprintln!("not run: {why}");
            return;
        }
    };
    let cluster = Cluster::start(&bin).await;
    a_namespace_has_its_account_and_certificate(&cluster).await;
    a_pod_without_a_node_says_why_and_is_placed_when_one_comes(&cluster).await;
    a_deployment_rolls_out_behind_its_service(&cluster).await;
    cluster.tasks.drain(Duration::from_secs(10)).await.unwrap();
}

async fn a_namespace_has_its_account_and_certificate(cluster: &Cluster) {
    cluster.wait("/api/v1/namespaces/default/serviceaccounts/default", |_| true).await;
    let map = cluster.wait("/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt", |_| true).await;
    assert_eq!(map["data"]["ca.crt"], json!(PEM));
}

async fn a_pod_without_a_node_says_why_and_is_placed_when_one_comes(cluster: &Cluster) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "early"},
        "spec": {"containers": [{"name": "c", "image": "x"}]}});
    cluster.create("/api/v1/namespaces/default/pods", &pod).await;
    let waiting = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| c["message"] == json!("no nodes available to schedule pods"))
    };
    cluster.wait("/api/v1/namespaces/default/pods/early", waiting).await;
    let told = |list: &Value| {
        list["items"].as_array().is_some_and(|l| l.iter().any(|e| e["reason"] == json!("FailedScheduling")))
    };
    cluster.wait("/api/v1/namespaces/default/events", told).await;
    for name in ["n1", "n2", "n3"] {
        cluster.node(name).await;
        let given = |node: &Value| node["spec"]["podCIDR"].is_string() && node["spec"]["taints"].is_null();
        cluster.wait(&format!("/api/v1/nodes/{name}"), given).await;
    }
    cluster
        .wait("/api/v1/namespaces/default/pods/early", |pod| pod["status"]["phase"] == json!("Running"))
        .await;
}

const WEB: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

async fn a_deployment_rolls_out_behind_its_service(cluster: &Cluster) {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    cluster.create("/api/v1/namespaces", &body).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}});
    cluster.create("/api/v1/namespaces/shop/services", &service).await;
    cluster.wait("/api/v1/namespaces/shop/serviceaccounts/default", |_| true).await;
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "c", "image": "v1", "ports": [{"name": "http", "containerPort": 8080}]}]}}}});
    cluster.create("/apis/apps/v1/namespaces/shop/deployments", &deployment).await;
    cluster.wait(WEB, |d| is_complete(d, 3)).await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
    let full = |list: &Value| {
        let items = list["items"].as_array().unwrap();
        items.len() == 1 && items[0]["endpoints"].as_array().is_some_and(|e| e.len() == 3)
    };
    let list = cluster.wait(slices, full).await;
    assert_eq!(list["items"][0]["ports"][0]["port"], json!(8080));
    let pods = cluster.get("/api/v1/namespaces/shop/pods").await.unwrap();
    let mut nodes: Vec<&str> =
        pods["items"].as_array().unwrap().iter().filter_map(|p| p["spec"]["nodeName"].as_str()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["n1", "n2", "n3"], "replicas spread over the nodes");
    let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    cluster.patch(WEB, &image("v2")).await;
    cluster.wait(WEB, |d| is_complete(d, 3) && d["metadata"]["annotations"][REVISION] == json!("2")).await;
    cluster.patch(WEB, &image("v1")).await;
    cluster.wait(WEB, |d| is_complete(d, 3) && d["metadata"]["annotations"][REVISION] == json!("3")).await;
    let sets = cluster.get("/apis/apps/v1/namespaces/shop/replicasets").await.unwrap();
    assert_eq!(sets["items"].as_array().unwrap().len(), 2, "the first set was used again");
    cluster.patch(WEB, &json!({"spec": {"replicas": 5}})).await;
    cluster.wait(WEB, |d| is_complete(d, 5)).await;
}

const REVISION: &str = "deployment.kubernetes.io/revision";

fn is_complete(deployment: &Value, replicas: i64) -> bool {
    let status = &deployment["status"];
    let is = |field: &str| status[field].as_i64() == Some(replicas);
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && is("replicas")
        && is("updatedReplicas")
        && is("availableReplicas")
}

impl Cluster {
    async fn start(bin: &std::path::Path) -> Cluster {
        let users: Vec<&str> = rules::components().chain([SCHEDULER]).collect();
        let upstream = Upstream::start(bin, &users).await;
        let tasks = Tasks::new();
        let clock = Arc::new(SystemClock);
        let client_for = |component: &str| upstream.client(component);
        let informers = Informers::new(client_for(INFORMERS), tasks.clone());
        let admin = upstream.client("admin");
        let cluster = Cluster { admin: Rest::new(admin.clone()), tasks: tasks.clone(), upstream: upstream };
        for component in rules::components() {
            cluster.role(component, &policy(rules::rules(component))).await;
        }
        cluster.role(SCHEDULER, &scheduler_policy()).await;
        kubelet::start(admin, &tasks);
        cluster.run(&informers, clock);
        cluster
    }

    fn run(&self, informers: &Informers, clock: Arc<SystemClock>) {
        let client_for = |component: &str| self.upstream.client(component);
        let node_limits = Limits { silence: Duration::from_secs(4), ..Limits::default() };
        let pod_addresses = Some(Range::parse("10.244.0.0/16", 24).unwrap());
        let config = Config { root_ca: Some(PEM.into()), pod_addresses, node_limits };
        let workloads = Workloads::build(config, &client_for, informers, clock.clone(), Metrics::default());
        workloads.start(&self.tasks);
        let client: Client = client_for(SCHEDULER);
        Scheduler::build(muster_scheduler::Config::default(), client, informers, clock).start(&self.tasks);
    }

    async fn role(&self, user: &str, rules: &Value) {
        let name = user.replace(':', "-");
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": format!("test-{name}")}, "rules": rules});
        self.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role).await;
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("test-{name}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("test-{name}")},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
        self.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await;
    }

    /// A node that speaks until the token is cancelled.
    async fn node(&self, name: &str) -> CancellationToken {
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
        self.create("/api/v1/nodes", &node).await;
        let amounts = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
        let status = json!({"status": {"allocatable": amounts, "capacity": amounts,
            "conditions": [{"type": "Ready", "status": "True"}]}});
        self.admin
            .patch(&format!("/api/v1/nodes/{name}/status"), PatchKind::Strategic, &status)
            .await
            .unwrap();
        let silent = CancellationToken::new();
        kubelet::heartbeat(self.upstream.client("admin"), &self.tasks, name, silent.clone());
        silent
    }

    async fn create(&self, path: &str, body: &Value) {
        self.admin.create(path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    async fn patch(&self, path: &str, body: &Value) {
        self.admin.patch(path, PatchKind::Strategic, body).await.unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    #[expect(dead_code, reason = "used by the stories of the garbage collector")]
    async fn delete(&self, path: &str) {
        let removal = Removal { propagation: Some(Propagation::Background), ..Removal::default() };
        self.admin.delete(path, &removal).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    async fn get(&self, path: &str) -> Result<Value, kube::Error> {
        self.admin.get(path).await
    }

    /// Reads until `good`, and shows the last state seen when it never is.
    async fn wait(&self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        let mut last = String::new();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while tokio::time::Instant::now() < deadline {
            match self.get(path).await {
                Ok(value) if good(&value) => return value,
                other => last = shown(&other),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} did not come to what was expected within 30 s; last seen: {last}");
    }
}

fn shown(result: &Result<Value, impl Debug>) -> String {
    match result {
        Ok(value) => serde_json::to_string_pretty(&without_managed_fields(value.clone())).unwrap(),
        Err(error) => format!("{error:?}"),
    }
}

fn without_managed_fields(mut value: Value) -> Value {
    if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
    }
    value
}

fn policy(rules: &[rules::Rule]) -> Value {
    let row = |rule: &rules::Rule| json!({"apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs});
    Value::Array(rules.iter().map(row).collect())
}

fn scheduler_policy() -> Value {
    let row = |rule: &muster_scheduler::rules::Rule| json!({"apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs});
    Value::Array(muster_scheduler::rules::RULES.iter().map(row).collect())
}
