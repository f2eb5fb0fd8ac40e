//! The controllers against the real kube-apiserver, each under its own least-privilege identity.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]
#![expect(clippy::print_stderr, reason = "says why it could not run")]

mod kubelet;
mod upstream;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use muster_base::clock::SystemClock;
use muster_base::task::Tasks;
use muster_control::rest::{PatchKind, Propagation, Removal, Rest};
use muster_control::{Informers, Metrics};
use muster_workloads::node::addresses::Range;
use muster_workloads::node::lifecycle::Limits;
use muster_workloads::rules::{self, INFORMERS};
use muster_workloads::{Config, Workloads};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use upstream::Upstream;

const PEM: &str = "-----BEGIN CERTIFICATE-----\ntest\n-----END CERTIFICATE-----\n";

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
    tracing_subscriber::fmt()
        .with_test_writer()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .init();
    let cluster = Cluster::start(&bin).await;
    a_namespace_has_its_account_and_certificate(&cluster).await;
    nodes_get_addresses_and_lose_the_taint_of_newcomers(&cluster).await;
    a_deployment_rolls_out_behind_its_service(&cluster).await;
    a_daemon_set_runs_on_every_node_and_rolls(&cluster).await;
    a_deleted_deployment_takes_its_sets_and_pods_along(&cluster).await;
    foreground_and_orphan_deletions_keep_their_order(&cluster).await;
    a_namespace_ends_with_everything_in_it(&cluster).await;
    a_silent_node_is_given_up_and_its_pods_move(&cluster).await;
    cluster.tasks.drain(Duration::from_secs(10)).await.unwrap();
}

async fn a_namespace_has_its_account_and_certificate(cluster: &Cluster) {
    cluster.wait("/api/v1/namespaces/default/serviceaccounts/default", |_| true).await;
    let map = cluster.wait("/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt", |_| true).await;
    assert_eq!(map["data"]["ca.crt"], json!(PEM));
}

async fn nodes_get_addresses_and_lose_the_taint_of_newcomers(cluster: &Cluster) {
    for name in ["n1", "n2", "n3"] {
        cluster.node(name).await;
        let given = |node: &Value| node["spec"]["podCIDR"].is_string() && node["spec"]["taints"].is_null();
        cluster.wait(&format!("/api/v1/nodes/{name}"), given).await;
    }
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
    assert_eq!(pods["items"].as_array().unwrap().len(), 3, "none too many");
    let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    cluster.patch(WEB, &image("v2")).await;
    cluster.wait(WEB, |d| is_complete(d, 3) && d["metadata"]["annotations"][REVISION] == json!("2")).await;
    cluster.patch(WEB, &image("v1")).await;
    cluster.wait(WEB, |d| is_complete(d, 3) && d["metadata"]["annotations"][REVISION] == json!("3")).await;
    let sets = cluster.get("/apis/apps/v1/namespaces/shop/replicasets").await.unwrap();
    assert_eq!(sets["items"].as_array().unwrap().len(), 2, "the first set was used again");
    cluster.patch(WEB, &json!({"spec": {"replicas": 5}})).await;
    cluster.wait(WEB, |d| is_complete(d, 5)).await;
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"maxUnavailable": "40%", "selector": {"matchLabels": {"app": "web"}}}});
    let budgets = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets";
    cluster.create(budgets, &budget).await;
    let counted = |budget: &Value| budget["status"]["disruptionsAllowed"] == json!(2);
    let budget = cluster.wait(&format!("{budgets}/web"), counted).await;
    assert_eq!(budget["status"]["desiredHealthy"], json!(3));
}

async fn a_daemon_set_runs_on_every_node_and_rolls(cluster: &Cluster) {
    let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}},
            "template": {"metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "c", "image": "v1"}]}}}});
    cluster.create("/apis/apps/v1/namespaces/shop/daemonsets", &set).await;
    let path = "/apis/apps/v1/namespaces/shop/daemonsets/agent";
    let done = |set: &Value| {
        let status = &set["status"];
        let three = |field: &str| status[field] == json!(3);
        status["observedGeneration"] == set["metadata"]["generation"]
            && three("desiredNumberScheduled")
            && three("updatedNumberScheduled")
            && three("numberAvailable")
    };
    cluster.wait(path, done).await;
    let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "v2"}]}}}});
    cluster.patch(path, &body).await;
    cluster.wait(path, |set| set["metadata"]["generation"] == json!(2) && done(set)).await;
    cluster.delete(path).await;
}

async fn a_deleted_deployment_takes_its_sets_and_pods_along(cluster: &Cluster) {
    cluster.delete(WEB).await;
    for path in ["/apis/apps/v1/namespaces/shop/replicasets", "/api/v1/namespaces/shop/pods"] {
        cluster.wait(path, |list| list["items"].as_array().is_some_and(Vec::is_empty)).await;
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A ConfigMap, owned by another one.
async fn map(cluster: &Cluster, name: &str, owner: Option<&Value>) -> Value {
    let mut body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    if let Some(owner) = owner {
        body["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap",
            "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true}]);
    }
    cluster.create(MAPS, &body).await;
    cluster.get(&format!("{MAPS}/{name}")).await.unwrap()
}

async fn foreground_and_orphan_deletions_keep_their_order(cluster: &Cluster) {
    let root = map(cluster, "root", None).await;
    let child = map(cluster, "child", Some(&root)).await;
    map(cluster, "grandchild", Some(&child)).await;
    cluster.delete_with(&format!("{MAPS}/root"), Propagation::Foreground).await;
    for name in ["grandchild", "child", "root"] {
        cluster.gone(&format!("{MAPS}/{name}")).await;
    }
    let root = map(cluster, "root", None).await;
    map(cluster, "child", Some(&root)).await;
    cluster.delete_with(&format!("{MAPS}/root"), Propagation::Orphan).await;
    cluster.gone(&format!("{MAPS}/root")).await;
    cluster.wait(&format!("{MAPS}/child"), |map| map["metadata"]["ownerReferences"].is_null()).await;
    // An owner that never was: a uid nobody has.
    let stranger = json!({"metadata": {"name": "child", "uid": "5b4a5b0e-0000-4000-8000-000000000000"}});
    map(cluster, "stray", Some(&stranger)).await;
    cluster.gone(&format!("{MAPS}/stray")).await;
}

async fn a_namespace_ends_with_everything_in_it(cluster: &Cluster) {
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd).await;
    let widgets = "/apis/example.com/v1/namespaces/shop/widgets";
    cluster.wait(widgets, |_| true).await;
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w", "finalizers": ["example.com/hold"]}});
    cluster.create(widgets, &widget).await;
    cluster.delete("/api/v1/namespaces/shop").await;
    let told = |namespace: &Value| {
        let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| {
            c["type"] == json!("NamespaceFinalizersRemaining")
                && c["message"]
                    == json!(
                        "Some content in the namespace has finalizers remaining: \
                    example.com/hold in 1 resource instances"
                    )
        })
    };
    cluster.wait("/api/v1/namespaces/shop", told).await;
    let body = json!({"metadata": {"finalizers": null}});
    cluster.admin.patch(&format!("{widgets}/w"), PatchKind::Merge, &body).await.unwrap();
    cluster.gone("/api/v1/namespaces/shop").await;
}

async fn a_silent_node_is_given_up_and_its_pods_move(cluster: &Cluster) {
    let silent = cluster.node("silent").await;
    cluster.wait("/api/v1/nodes/silent", |node| node["spec"]["taints"].is_null()).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stuck"},
        "spec": {"nodeName": "silent", "containers": [{"name": "c", "image": "x"}],
            "tolerations": [{"key": "node.kubernetes.io/unreachable", "operator": "Exists",
                "effect": "NoExecute", "tolerationSeconds": 1}]}});
    cluster.create("/api/v1/namespaces/default/pods", &pod).await;
    let path = "/api/v1/namespaces/default/pods/stuck";
    cluster.wait(path, |pod| pod["status"]["phase"] == json!("Running")).await;
    silent.cancel();
    let given_up = |node: &Value| {
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        taints.iter().filter(|taint| taint["key"] == json!("node.kubernetes.io/unreachable")).count() == 2
    };
    cluster.wait("/api/v1/nodes/silent", given_up).await;
    cluster.wait(path, |pod| pod["metadata"]["deletionTimestamp"].is_string()).await;
    let conditions = cluster.get(path).await.unwrap()["status"]["conditions"].clone();
    let has = |kind: &str, reason: &str| {
        let list = conditions.as_array().unwrap();
        list.iter().any(|c| c["type"] == json!(kind) && c["reason"] == json!(reason))
    };
    assert!(
        has("Ready", "NodeNotReady") && has("DisruptionTarget", "DeletionByTaintManager"),
        "{conditions}"
    );
    kubelet::heartbeat(cluster.upstream.client("admin"), &cluster.tasks, "silent", CancellationToken::new());
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    cluster.admin.patch("/api/v1/nodes/silent/status", PatchKind::Strategic, &ready).await.unwrap();
    cluster.wait("/api/v1/nodes/silent", |node| node["spec"]["taints"].is_null()).await;
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
        let users: Vec<&str> = rules::components().collect();
        let upstream = Upstream::start(bin, &users).await;
        let tasks = Tasks::new();
        let clock = Arc::new(SystemClock);
        let client_for = |component: &str| upstream.client(component);
        let informers = Informers::new(client_for(INFORMERS), tasks.clone());
        let admin = upstream.client("admin");
        let cluster = Cluster { admin: Rest::new(admin.clone()), tasks: tasks.clone(), upstream };
        for component in rules::components() {
            cluster.role(component, &policy(rules::rules(component))).await;
        }
        kubelet::start(admin, &tasks);
        cluster.run(&informers, clock);
        cluster
    }

    fn run(&self, informers: &Informers, clock: Arc<SystemClock>) {
        let client_for = |component: &str| self.upstream.client(component);
        let node_limits = Limits { silence: Duration::from_secs(4), ..Limits::default() };
        let pod_addresses = Some(Range::parse("10.244.0.0/16", 24).unwrap());
        let config = Config { root_ca: Some(PEM.into()), pod_addresses, signer: None, node_limits };
        let workloads = Workloads::build(config, &client_for, informers, clock, Metrics::default());
        workloads.start(&self.tasks);
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

    async fn delete(&self, path: &str) {
        self.delete_with(path, Propagation::Background).await;
    }

    async fn delete_with(&self, path: &str, propagation: Propagation) {
        let removal = Removal { propagation: Some(propagation), ..Removal::default() };
        self.admin.delete(path, &removal).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    async fn gone(&self, path: &str) {
        let mut last = String::new();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while tokio::time::Instant::now() < deadline {
            match self.get(path).await {
                Err(error) if muster_control::is_not_found(&error) => return,
                other => last = shown(&other),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} was not gone within 30 s; last seen: {last}");
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
