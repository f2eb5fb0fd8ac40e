//! The controllers of the fleet over many machines that need nothing: `cargo run --release --example sweep -- MACHINES`.
//! Prints how long the first look at all of them takes, the periodic sweep, and a change to the first action upon it.
#![expect(clippy::print_stdout, reason = "a measuring program prints its figures")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use kube::api::{Patch, PatchParams, PostParams, WatchParams};
use kube::core::WatchEvent;
use kube::{Api, Client};
use muster_api::machine::Phase;
use muster_api::site::SiteSpec;
use muster_api::{Machine, Site};
use muster_apiserver::pki::{Pki, ServingNames};
use muster_apiserver::{ApiServer, Config, Identity, InProcess, NoNodes, Parts, bulk};
use muster_base::clock::{SharedClock, SystemClock};
use muster_base::task::Tasks;
use muster_control::{Informers, Metrics, install};
use muster_store::{Limits, Store};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const SITES: usize = 84;
const CHANGES: usize = 100;
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SETTLED_AFTER: Duration = Duration::from_secs(3);
const MACHINES: &str = "/apis/muster.dev/v1alpha1/machines";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).ok_or("usage: sweep MACHINES")?.parse()?;
    let tasks = Tasks::new();
    let clock: SharedClock = Arc::new(SystemClock);
    let directory = tempfile::tempdir()?;
    let server = server(&clock, &tasks, directory.path()).await?;
    let service = InProcess::new(server, Identity::new("admin", &["system:masters"]));
    let client = Client::new(service.clone(), "default");
    install::crds(&client, muster_api::crds::all()).await?;
    muster_machines::builtin::ensure(&client).await?;
    muster_workflow::builtin::ensure(&client).await?;
    for site in 0..SITES {
        let site = Site::new(&format!("site-{site:02}"), SiteSpec::default());
        Api::<Site>::all(client.clone()).create(&PostParams::default(), &site).await?;
    }
    load(&service, count, &settled(&client, &clock).await?).await?;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let looks = Looks(registry);
    let begun = Instant::now();
    controllers(&client, &clock, &tasks, &metrics, SWEEP_EVERY);
    let first = looks.settled(begun, count as u64).await?;
    let before = looks.counts()?;
    println!("sweep of {count} machines: first look at all after {:.1} s", first.as_secs_f64());
    println!("sweep: anonymous memory {:.2} GiB", anonymous_bytes() as f64 / f64::from(1 << 30));
    tokio::time::sleep(SWEEP_EVERY.saturating_sub(begun.elapsed())).await;
    let swept = looks.settled(begun + SWEEP_EVERY, before.passes + count as u64).await?;
    let after = looks.counts()?;
    println!(
        "sweep of {count} machines: {:.1} s, {} passes, {} of them acted, {} missed by the watch",
        swept.as_secs_f64(),
        after.passes - before.passes,
        after.acted - before.acted,
        after.missed
    );
    changes(&client, count).await?;
    tasks.drain(Duration::from_secs(10)).await?;
    Ok(())
}

async fn server(
    clock: &SharedClock,
    tasks: &Tasks,
    directory: &std::path::Path,
) -> Result<ApiServer, Box<dyn Error>> {
    let config = Config::new(([127, 0, 0, 1], 6443).into());
    let names = ServingNames { dns: Vec::new(), addresses: config.serving_addresses() };
    let pki = Pki::open(directory, &names, clock.now())?;
    let parts = Parts {
        clock: SharedClock::clone(clock),
        tasks: tasks.clone(),
        signing_key: pki.signing_key()?,
        authority_pem: pki.authority_pem().to_owned(),
        front_proxy: pki.front_proxy(clock.now())?,
        metrics: muster_apiserver::Metrics::register(&mut Registry::default()),
        exposition: Arc::new(String::new),
        dialer: Arc::new(NoNodes),
    };
    Ok(ApiServer::build(config, Store::in_memory(Limits::default()), parts).await?)
}

fn controllers(client: &Client, clock: &SharedClock, tasks: &Tasks, metrics: &Metrics, every: Duration) {
    let informers = Informers::new(client.clone(), tasks.clone());
    let machines = muster_machines::Config { sweep_every: every, ..muster_machines::Config::default() };
    muster_machines::start_claims(client, &informers, clock, tasks, metrics, &machines);
    muster_machines::start(&informers, clock, tasks, metrics, machines);
    muster_workflow::start(&informers, clock, tasks, metrics, muster_workflow::Config { sweep_every: every });
}

fn machine(n: usize, status: &Value) -> Value {
    json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Machine", "metadata": {"name": format!("machine-{n:07}")},
        "spec": {"site": format!("site-{:02}", n % SITES), "serial": format!("SN{n:012}")}, "status": status,
    })
}

/// The status of a machine that the controllers have nothing to do for.
async fn settled(client: &Client, clock: &SharedClock) -> Result<Value, Box<dyn Error>> {
    let tasks = Tasks::new();
    controllers(client, clock, &tasks, &Metrics::default(), Duration::from_secs(3600));
    let api: Api<Machine> = Api::all(client.clone());
    let mut probe: Machine = serde_json::from_value(machine(0, &json!({})))?;
    probe.metadata.name = Some("probe".to_owned());
    probe.spec.serial = "probe".to_owned();
    probe.status = None;
    api.create(&PostParams::default(), &probe).await?;
    tokio::time::sleep(SETTLED_AFTER).await;
    let status = api.get("probe").await?.status.ok_or("the controllers did not take the first machine in")?;
    tasks.drain(Duration::from_secs(10)).await?;
    Ok(serde_json::to_value(status)?)
}

async fn load(service: &InProcess, count: usize, status: &Value) -> Result<(), Box<dyn Error>> {
    let path = format!("{MACHINES}?{}=true", bulk::KEEP_STATUS);
    let status = status.clone();
    let lines = (0..count).map(move |n| {
        let line = format!("{}\n", machine(n, &status));
        Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from(line)))
    });
    let body = http_body_util::StreamBody::new(futures::stream::iter(lines));
    let answer = service.clone().oneshot(bulk::request(&path, body)?).await?;
    let report: bulk::Report = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
    if report.created != count as u64 {
        return Err(format!("{} of {count} were created: {:?}", report.created, report.told.first()).into());
    }
    Ok(())
}

/// From the answer to a change until its first consequence is seen, one machine after the other.
async fn changes(client: &Client, count: usize) -> Result<(), Box<dyn Error>> {
    let api: Api<Machine> = Api::all(client.clone());
    let mut times = Vec::new();
    for change in 0..CHANGES.min(count) {
        let name = format!("machine-{:07}", change * (count / CHANGES.min(count)));
        let role = Patch::Merge(json!({"spec": {"role": muster_machines::builtin::WORKER}}));
        let patched = api.patch(&name, &PatchParams::default(), &role).await?;
        let begun = Instant::now();
        let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(60);
        let from = patched.metadata.resource_version.unwrap_or_default();
        let mut watch = std::pin::pin!(api.watch(&params, &from).await?);
        loop {
            let event = watch.next().await.ok_or("no action upon a change within a minute")??;
            if let WatchEvent::Modified(machine) = event
                && machine.status.is_some_and(|status| status.phase != Phase::Registered)
            {
                break;
            }
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!("change to first action, {count} machines: p50 {:.1} ms, p99 {:.1} ms", at(50), at(99));
    Ok(())
}

/// What the controllers count.
struct Looks(Registry);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passes: u64,
    acted: u64,
    missed: u64,
}

impl Looks {
    /// Passes of the intake of machines, what any controller did, what any sweep found.
    fn counts(&self) -> Result<Counts, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0)?;
        let sum = |start: &str| {
            let lines = text.lines().filter(|line| line.starts_with(start));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        Ok(Counts {
            passes: sum("muster_passes_total{controller=\"machines\"}"),
            acted: sum("muster_passes_acted_total"),
            missed: sum("muster_sweep_missed_total"),
        })
    }

    /// Time from `begun` until so many passes were made and no more came for a while.
    async fn settled(&self, begun: Instant, passes: u64) -> Result<Duration, Box<dyn Error>> {
        let (mut last, mut since) = (Counts::default(), Instant::now());
        loop {
            let now = self.counts()?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            if passes <= now.passes && SETTLED_AFTER < since.elapsed() {
                return Ok(since.duration_since(begun));
            }
            if Duration::from_secs(600) < since.elapsed() {
                return Err(format!("nothing was looked at for long: {now:?} of {passes}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn anonymous_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("");
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) << 10
}
