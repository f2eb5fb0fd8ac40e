//! Loads machines through the bulk create into a store on disk and tells how long it took:
//! `cargo run --release --example bulk -- COUNT DIRECTORY`.

use std::convert::Infallible;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use muster_apiserver::pki::{Pki, ServingNames};
use muster_apiserver::{ApiServer, Config, Identity, InProcess, Metrics, NoNodes, Object, Parts, bulk};
use muster_base::clock::{Clock, SystemClock};
use muster_base::task::Tasks;
use muster_store::Store;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const MACHINES: &str = "/apis/muster.dev/v1alpha1/machines";
const LINES_OF_A_FRAME: usize = 64;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its figures are what it is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().ok_or("usage: bulk COUNT DIRECTORY")?.parse()?;
    let directory = PathBuf::from(arguments.next().ok_or("usage: bulk COUNT DIRECTORY")?);
    let (store, recovery) = Store::open(muster_store::Config::new(directory.join("store")))?;
    println!("entries at start: {}", recovery.entries);
    let tasks = Tasks::new();
    let server = server(&directory, store, &tasks).await?;
    let service = InProcess::new(server.clone(), Identity::new("admin", &["system:masters"]));
    for crd in muster_api::crds::all() {
        let request = http::Request::post(CRDS).header("content-type", "application/json");
        let request = request.body(http_body_util::Full::new(Bytes::from(serde_json::to_vec(&crd)?)))?;
        service.clone().oneshot(request).await?;
    }
    let frames = (0..count).step_by(LINES_OF_A_FRAME).map(move |first| {
        let last = count.min(first + LINES_OF_A_FRAME);
        let text: String = (first..last).map(|n| format!("{}\n", machine(n))).collect();
        Ok::<_, Infallible>(Frame::data(Bytes::from(text)))
    });
    println!("bytes of one: {}", machine(0).to_string().len());
    let begun = (Instant::now(), cpu_seconds());
    let request = bulk::request(MACHINES, StreamBody::new(futures::stream::iter(frames)))?;
    let answer = service.oneshot(request).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    let report: bulk::Report = serde_json::from_slice(&body)?;
    let seconds = begun.0.elapsed().as_secs_f64();
    println!("created {} failed {} in {seconds:.1} s", report.created, report.failed);
    println!("{:.0} objects/s, {:.1} s of CPU", report.created as f64 / seconds, cpu_seconds() - begun.1);
    if let Some(first) = report.told.first() {
        println!("first told: {first:?}");
    }
    println!("{}", memory());
    tasks.drain(Duration::from_secs(10)).await?;
    server.store().clone().close().await;
    Ok(())
}

async fn server(
    directory: &std::path::Path,
    store: Store<Object>,
    tasks: &Tasks,
) -> Result<ApiServer, Box<dyn Error>> {
    let clock = Arc::new(SystemClock);
    let config = Config::new(([127, 0, 0, 1], 6443).into());
    let names = ServingNames { dns: Vec::new(), addresses: config.serving_addresses() };
    let pki = Pki::open(&directory.join("pki"), &names, clock.now())?;
    let parts = Parts {
        clock: clock.clone(),
        tasks: tasks.clone(),
        signing_key: pki.signing_key()?,
        authority_pem: pki.authority_pem().to_owned(),
        front_proxy: pki.front_proxy(clock.now())?,
        metrics: Metrics::register(&mut Registry::default()),
        exposition: Arc::new(String::new),
        dialer: Arc::new(NoNodes),
    };
    Ok(ApiServer::build(config, store, parts).await?)
}

fn machine(n: usize) -> Value {
    json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Machine",
        "metadata": {"name": format!("machine-{n:07}"), "labels": {
            "muster.dev/owner": "platform", "example.com/model": format!("model-{}", n % 7),
            "example.com/purchase": format!("order-{}", n / 500),
        }},
        "spec": {
            "site": format!("site-{:02}", n % 84), "rack": format!("site-{:02}-rack-{:04}", n % 84, n / 84 / 40),
            "serial": format!("SN{n:012}"), "role": (["worker", "storage", "database"][n % 3]),
            "profile": format!("profile-{}", n % 12),
            "bmc": {"address": format!("redfish://10.{}.{}.{}/Systems/1", n >> 16 & 255, n >> 8 & 255, n & 255),
                    "secretRef": format!("bmc-site-{:02}", n % 84)},
        },
    })
}

fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("RssAnon")).collect()
}
