//! Plays the scheduler and the node agents: pods are placed and become ready, pods that leave are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use muster_base::clock::{Clock as _, SystemClock};
use muster_base::task::{Kind, Tasks};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Pods whose image contains `broken` never become ready.
pub(crate) fn start(client: Client, tasks: &Tasks) {
    let token = tasks.shutdown_token();
    tasks.spawn(Kind::Request, "kubelet", async move {
        let all: Api<Pod> = Api::all(client.clone());
        let last = Arc::new(AtomicU8::new(1));
        let stream = watcher(all, watcher::Config::default()).default_backoff().applied_objects();
        let each = stream.for_each(|pod| {
            let (client, last) = (client.clone(), Arc::clone(&last));
            async move {
                if let Ok(pod) = pod {
                    serve(&client, &pod, &last).await;
                }
            }
        });
        Box::pin(token.run_until_cancelled(each)).await;
    });
}

async fn serve(client: &Client, pod: &Pod, last: &AtomicU8) {
    let name = pod.metadata.name.as_deref().unwrap();
    let api: Api<Pod> = Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap());
    let spec = pod.spec.as_ref().unwrap();
    let Some(node) = spec.node_name.as_deref() else {
        bind(client, pod, last.load(Ordering::SeqCst)).await;
        return;
    };
    if pod.metadata.deletion_timestamp.is_some() {
        if !node.starts_with("silent") {
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            let gone = api.delete(name, &now);
            assert_ok(gone.await.map(|_| ()));
        }
        return;
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let broken = spec.containers[0].image.as_deref().is_some_and(|image| image.contains("broken"));
    if phase != Some("Pending") || broken {
        return;
    }
    let ip = format!("10.244.0.{}", last.fetch_add(1, Ordering::SeqCst));
    let now = jiff::Timestamp::UNIX_EPOCH;
    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]}});
    assert_ok(api.patch_status(name, &PatchParams::default(), &Patch::Strategic(status)).await.map(|_| ()));
}

/// Plays the scheduler: a daemon pod goes where it is pinned, others in turn.
async fn bind(client: &Client, pod: &Pod, turn: u8) {
    let meta = &pod.metadata;
    let (name, namespace) = (meta.name.as_deref().unwrap(), meta.namespace.as_deref().unwrap());
    let spec = serde_json::to_value(&pod.spec).unwrap();
    let pinned = spec.pointer(
        "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0",
    );
    let node = pinned.and_then(serde_json::Value::as_str).map_or(format!("n{}", turn % 3 + 1), str::to_owned);
    let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
    let path = muster_control::rest::path("v1", namespace, "pods", &format!("{name}/binding"));
    let result = muster_control::rest::Rest::new(client.clone()).create(&path, &body).await;
    if let Err(error) = result {
        // Seen twice before the first binding came back.
        assert!(muster_control::is_conflict(&error) || muster_control::is_not_found(&error), "{error}");
    }
}

/// A pod may be gone before it is served.
fn assert_ok(result: Result<(), kube::Error>) {
    if let Err(error) = result {
        assert!(muster_control::is_not_found(&error), "{error}");
    }
}

/// Renews the node's lease until `silent` or the end.
pub(crate) fn heartbeat(client: Client, tasks: &Tasks, node: &str, silent: CancellationToken) {
    let token = tasks.shutdown_token();
    let api: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let node = node.to_owned();
    tasks.spawn(Kind::Request, "heartbeat", async move {
        let renew = async {
            loop {
                let now = SystemClock.now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
                let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": node}, "spec": {"holderIdentity": node, "renewTime": now}});
                let params = PatchParams::apply("kubelet").force();
                api.patch(&node, &params, &Patch::Apply(lease)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = renew => {}
            () = token.cancelled() => {}
            () = silent.cancelled() => {}
        }
    });
}
