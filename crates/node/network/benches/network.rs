//! How long the table takes in a network namespace of its own: the first load, a change of one endpoint, a look at the
//! whole. Needs root; prints one line per figure.

#![expect(clippy::print_stdout, reason = "a benchmark prints its lines")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run may say so by ending")]

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_network::directory::Directory;
use muster_network::proxy::element::{Change, Elements};
use muster_network::proxy::plan::{Here, plan};
use muster_network::proxy::ruleset::Frame;
use muster_network::proxy::{Outcome, Proxy};
use nix::sched::{CloneFlags, setns};
use serde_json::json;

const ENDPOINTS: usize = 5;
const CHANGES: usize = 20;

fn main() {
    let name = format!("mnet-bench-{}", std::process::id());
    assert!(Command::new("ip").args(["netns", "add", &name]).status().unwrap().success());
    let path = Path::new("/run/netns").join(&name);
    let measured = std::thread::spawn(move || {
        setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for services in [100, 1_000, 5_000] {
                measure(services).await;
            }
        });
    })
    .join();
    assert!(Command::new("ip").args(["netns", "del", &name]).status().unwrap().success());
    measured.unwrap();
}

async fn measure(services: usize) {
    let (before, after) = (directory(services, 0), directory(services, 1));
    let start = Instant::now();
    let elements = plan(&before, &here(), &Elements::new());
    line(services, "plan of all", start.elapsed());
    let start = Instant::now();
    let second = plan(&after, &here(), &elements);
    assert_eq!(Change::between(&elements, &second).add.len(), 3);
    line(services, "plan and difference of one endpoint", start.elapsed());

    let mut proxy = Proxy::open(here(), frame()).await;
    let start = Instant::now();
    assert!(matches!(proxy.pass(&before).await.unwrap(), Outcome::Replaced { .. }));
    line(services, "load of all, verified", start.elapsed());
    let mut took: Vec<Duration> = Vec::new();
    for change in 1..=CHANGES {
        let start = Instant::now();
        let outcome = proxy.pass(if change % 2 == 1 { &after } else { &before }).await.unwrap();
        took.push(start.elapsed());
        assert!(matches!(outcome, Outcome::Changed { .. }));
    }
    took.sort_unstable();
    line(services, "change of one endpoint, p50", took[CHANGES / 2]);
    line(services, "change of one endpoint, max", took[CHANGES - 1]);
    let start = Instant::now();
    proxy.verify().await.unwrap();
    line(services, "look at the whole table", start.elapsed());
}

fn line(services: usize, what: &str, took: Duration) {
    let ms = took.as_secs_f64() * 1000.0;
    println!("network: {services} services x {ENDPOINTS} endpoints: {what}: {ms:.1} ms");
}

/// `moved` is the last octet's third of the one endpoint that changes.
fn directory(services: usize, moved: usize) -> Directory {
    let service = |n: usize| {
        let address = format!("10.{}.{}.{}", 96 + n / 62_500, n / 250 % 250, n % 250 + 1);
        let value = json!({
            "metadata": { "namespace": "default", "name": format!("s{n}") },
            "spec": { "clusterIP": address, "ports": [{ "port": 80 }] },
        });
        Arc::new(serde_json::from_value(value).unwrap())
    };
    let slice = |n: usize| {
        let endpoint = |e: usize| {
            let last = if n == 0 && e == 0 { 250 + moved } else { e + 1 };
            json!({ "addresses": [format!("10.244.{}.{last}", 2 + n % 250)], "conditions": { "ready": true } })
        };
        let value = json!({
            "metadata": {
                "namespace": "default", "name": format!("s{n}-x"), "labels": { "kubernetes.io/service-name": format!("s{n}") },
            },
            "addressType": "IPv4", "ports": [{ "name": "", "port": 8080 }],
            "endpoints": (0..ENDPOINTS).map(endpoint).collect::<Vec<_>>(),
        });
        Arc::new(serde_json::from_value(value).unwrap())
    };
    Directory::new((0..services).map(service), (0..services).map(slice))
}

fn here() -> Here {
    Here { node: "n1".into(), pod_cidr: "10.244.1.0/24".parse().unwrap(), own_addresses: Vec::new() }
}

fn frame() -> Frame {
    Frame {
        bridge: "muster0".into(),
        pod_cidr: "10.244.1.0/24".parse().unwrap(),
        cluster_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
    }
}
