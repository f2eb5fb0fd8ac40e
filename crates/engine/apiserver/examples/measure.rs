//! What requests cost, without sockets: `cargo run --release --example measure`. Prints one line per figure.
#![expect(clippy::print_stdout, reason = "a measuring program prints its figures")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use muster_apiserver::pki::{Pki, ServingNames};
use muster_apiserver::{ApiServer, Config, Identity, InProcess, Metrics, NoNodes, Parts};
use muster_base::clock::{Clock, SystemClock};
use muster_base::task::Tasks;
use muster_store::{Limits, Store};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt;

const PODS: usize = 10_000;
const PATH: &str = "/api/v1/namespaces/default/pods";

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("measure-{}", std::process::id()));
    let clock = Arc::new(SystemClock);
    let begun = Instant::now();
    let config = Config::new(([127, 0, 0, 1], 6443).into());
    let names = ServingNames { dns: Vec::new(), addresses: config.serving_addresses() };
    let pki = Pki::open(&directory, &names, clock.now())?;
    let keys = begun.elapsed();
    let parts = Parts {
        clock: clock.clone(),
        tasks: Tasks::new(),
        signing_key: pki.signing_key()?,
        authority_pem: pki.authority_pem().to_owned(),
        front_proxy: pki.front_proxy(clock.now())?,
        metrics: Metrics::register(&mut Registry::default()),
        exposition: Arc::new(String::new),
        dialer: Arc::new(NoNodes),
    };
    let server = ApiServer::build(config, Store::in_memory(Limits::default()), parts).await?;
    println!("start: {:?}, of it keys {keys:?}", begun.elapsed());
    let service = InProcess::new(server, Identity::new("admin", &["system:masters"]));
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    call(&service, "POST", "/api/v1/namespaces/default/serviceaccounts", &account).await?;
    let (body, cpu) = (pod(), cpu_ms());
    for number in 0..PODS {
        let mut pod = body.clone();
        pod["metadata"]["name"] = json!(format!("pod-{number:05}"));
        call(&service, "POST", PATH, &pod).await?;
    }
    let mut client = cpu_ms();
    for number in 0..PODS {
        let mut pod = body.clone();
        pod["metadata"]["name"] = json!(format!("pod-{number:05}"));
        std::hint::black_box(pod.to_string());
    }
    client = cpu_ms() - client;
    let each = (cpu_ms() - cpu - 2.0 * client) / PODS as f64;
    println!(
        "create of a {} byte pod: {each:.3} ms CPU (the client's own share taken off)",
        body.to_string().len()
    );
    for (what, query) in [("all", ""), ("by a label that none has", "?labelSelector=none")] {
        let (cpu, times) = (cpu_ms(), 10);
        let mut bytes = 0;
        for _ in 0..times {
            bytes = call(&service, "GET", &format!("{PATH}{query}"), &Value::Null).await?;
        }
        let each = (cpu_ms() - cpu) / f64::from(times);
        println!("list of {PODS} pods, {what}: {each:.1} ms CPU, {bytes} bytes");
    }
    let (cpu, times) = (cpu_ms(), 5000);
    for number in 0..times {
        call(&service, "GET", &format!("{PATH}/pod-{number:05}"), &Value::Null).await?;
    }
    println!("get: {:.4} ms CPU", (cpu_ms() - cpu) / f64::from(times));
    let (cpu, times) = (cpu_ms(), 2000);
    let patch = json!({"status": {"phase": "Running"}});
    for number in 0..times {
        call(&service, "PATCH", &format!("{PATH}/pod-{number:05}/status"), &patch).await?;
    }
    println!("patch of a status: {:.3} ms CPU", (cpu_ms() - cpu) / f64::from(times));
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

async fn call(service: &InProcess, method: &str, path: &str, body: &Value) -> Result<usize, Box<dyn Error>> {
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let kind = if method == "PATCH" { "application/strategic-merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(path).header("content-type", kind);
    let reply = service.clone().oneshot(request.body(Full::new(Bytes::from(bytes)))?).await?;
    let code = reply.status();
    let mut body = reply.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len);
    }
    if code.is_success() { Ok(length) } else { Err(format!("{method} {path}: {code}").into()) }
}

/// CPU time of this process (proc_pid_stat(5): fields 14 and 15, in hundredths of a second).
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 10.0
}

/// A pod as a controller writes it, about 5 KB.
fn pod() -> Value {
    let container = |name: &str| {
        let variables: Vec<Value> = (0..12)
            .map(|number| json!({"name": format!("SETTING_{number}"), "value": format!("value-of-setting-{number}")}))
            .collect();
        json!({
            "name": name, "image": "registry.example.com/team/application:1.2.3", "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/application"], "args": ["--listen=:8080", "--log-level=info", "--config=/etc/app.yaml"],
            "env": variables,
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 5},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}, {"name": "data", "mountPath": "/data"}],
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "", "namespace": "default",
            "labels": {"app": "application", "tier": "backend", "release": "r-42", "pod-template-hash": "7d9f8b6c5"},
            "annotations": {"example.com/checksum": "d2c1".repeat(16), "example.com/note": "n".repeat(200)},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "application-7d9f8b6c5", "controller": true,
                "blockOwnerDeletion": true, "uid": "0c9b2f7e-0000-4000-8000-000000000000",
            }],
        },
        "spec": {
            "containers": [container("main"), container("sidecar"), container("helper")],
            "volumes": [
                {"name": "config", "configMap": {"name": "application"}},
                {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
            ],
            "nodeSelector": {"kubernetes.io/os": "linux"}, "terminationGracePeriodSeconds": 30,
        },
    })
}
