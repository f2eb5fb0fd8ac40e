//! The whole against a real API. Run inside a network namespace of its own, with the kubeconfig of an API server there:
//! `ip netns exec NS env KUBECONFIG=F cargo test -p muster-network -- --ignored follows`.

use std::future::Future;
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, PostParams};
use muster_base::task::Tasks;
use muster_control::{Informers, Metrics};
use muster_network::Network;
use serde_json::{Value, json};

use crate::lab;

const DEADLINE: Duration = Duration::from_secs(20);

fn table() -> String {
    let output = Command::new("nft").args(["list", "table", "ip", "muster"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn resolve(name: &str) -> String {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.connect("10.96.0.10:53").unwrap();
    socket.send(&message.to_vec().unwrap()).unwrap();
    let mut buffer = [0; 1232];
    let Ok(length) = socket.recv(&mut buffer) else { return "silence".into() };
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    let data: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    format!("{} {}", answer.metadata.response_code, data.join(" "))
}

/// Blocking looks are taken off the runtime, which must go on serving.
async fn wait_for(what: &str, look: fn() -> String, wanted: impl Fn(&str) -> bool) {
    let start = Instant::now();
    loop {
        let seen = tokio::task::spawn_blocking(look).await.unwrap();
        if wanted(&seen) {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "{what}; last seen: {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A machine's own namespace has a way out; /proc/1/ns is not readable everywhere.
fn own_namespace() -> bool {
    lab::command("ip", &["route", "show", "default"]).is_empty()
}

fn in_runtime(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

fn objects() -> [Value; 2] {
    let meta = json!({ "name": "web", "namespace": "default" });
    let port = json!({ "name": "http", "port": 80, "protocol": "TCP" });
    let slice_meta = json!({
        "name": "web-1", "namespace": "default", "labels": { "kubernetes.io/service-name": "web" },
    });
    [
        json!({ "metadata": meta, "spec": { "clusterIP": "10.96.0.55", "ports": [port] } }),
        json!({
            "metadata": slice_meta, "addressType": "IPv4", "ports": [{ "name": "http", "port": 8080 }],
            "endpoints": [{ "addresses": ["10.244.1.9"], "conditions": { "ready": true } }],
        }),
    ]
}

#[test]
#[ignore = "needs a Kubernetes API in a network namespace of its own"]
fn follows_the_api_survives_tampering_stays_in_force_when_stopped_and_leaves_nothing() {
    assert!(own_namespace(), "this changes the network it runs in: give it a namespace of its own");
    in_runtime(async {
        let folder = tempfile::tempdir().unwrap();
        let mut config = lab::config(&folder);
        config.sweep = Duration::from_secs(2);
        let data = config.data_dir.clone();
        let client = kube::Client::try_default().await.unwrap();
        let (tasks, metrics) = (Tasks::new(), Metrics::default());
        let informers = Informers::new(client.clone(), tasks.clone());
        let network = Network::build(config, &informers, metrics.clone()).await.unwrap();
        assert!(network.run(&tasks).ready().await);

        let services: Api<Service> = Api::namespaced(client.clone(), "default");
        let slices: Api<EndpointSlice> = Api::namespaced(client, "default");
        let [service, slice] = objects();
        services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
        slices.create(&PostParams::default(), &serde_json::from_value(slice).unwrap()).await.unwrap();
        wait_for("the endpoint is in the table", table, |t| t.contains(": 10.244.1.9 . 8080")).await;
        let name = || resolve("web.default.svc.cluster.local.");
        wait_for("the name is known", name, |answer| answer == "No Error 10.96.0.55").await;
        let connect = || match TcpStream::connect(("10.96.0.1", 443)) {
            Ok(_) => "connected".to_owned(),
            Err(error) => error.to_string(),
        };
        wait_for("the API answers on its Service address", connect, |seen| seen == "connected").await;

        assert_eq!(metrics.missed_total("network"), 0);
        lab::command("nft", &["delete", "table", "ip", "muster"]);
        wait_for("the sweep mends the table", table, |t| t.contains(": 10.244.1.9 . 8080")).await;

        services.delete("web", &DeleteParams::default()).await.unwrap();
        wait_for("the endpoint is gone", table, |t| t.contains("10.96.0.1") && !t.contains("10.244.1.9"))
            .await;
        wait_for("the name is gone", name, |answer| answer.starts_with("Non-Existent")).await;
        assert_eq!(metrics.missed_total("network"), 1);
        slices.delete("web-1", &DeleteParams::default()).await.unwrap();

        tasks.drain(Duration::from_secs(5)).await.unwrap();
        assert!(table().contains("10.96.0.1 . tcp . 443"));
        Network::remove(&data).await.unwrap();
        assert_eq!(table(), "");
    });
}
