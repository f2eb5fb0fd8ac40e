//! Many runs at one time, each of twelve steps on a machine of its own, on a store on disk. Eight of the steps are Orders,
//! which a stand-in for the agents of all the machines answers as soon as it sees them; its share is part of the figures.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use kube::api::{ListParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use muster_api::order::{OrderPhase, OrderStatus};
use muster_api::workflow::{Run, RunPhase};
use muster_api::{Order, Workflow};
use muster_base::clock::SharedClock;
use muster_base::task::Kind;
use muster_control::{Informers, Metrics};
use muster_store::{Config, Store};
use serde_json::{Value, json};

use crate::stage::{Stage, anonymous_bytes, name};

const STEPS: usize = 12;
const RUNS: &str = "/apis/muster.dev/v1alpha1/runs";
const AGENTS_AT_ONCE: usize = 64;
const WITHIN: Duration = Duration::from_secs(1800);

pub(crate) async fn run(count: usize) -> Result<(), Box<dyn Error>> {
    let stage = Stage::build(|directory| Ok(Store::open(Config::new(directory.join("store")))?.0)).await?;
    stage.machines(count).await?;
    Api::<Workflow>::all(stage.client.clone()).create(&PostParams::default(), &workflow()?).await?;
    stage.controllers(&Metrics::default(), Duration::from_secs(900));
    let (agents, clock) = (stage.client.clone(), SharedClock::clone(&stage.clock));
    let shutdown = stage.tasks.shutdown_token();
    stage.tasks.spawn(Kind::Service, "the agents", async move {
        if let Some(Err(error)) = shutdown.run_until_cancelled(answer_orders(agents, clock)).await {
            println!("the agents gave up: {error}");
        }
    });
    let ended = Ended::watch(&stage);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = anonymous_bytes();
    let revision = revision(&stage.client).await?;
    let begun = Instant::now();
    stage.load(RUNS, count, run_of).await?;
    let started = begun.elapsed();
    let mut most = 0;
    while ended.count() < count {
        most = most.max(anonymous_bytes());
        if WITHIN < begun.elapsed() {
            return Err(format!("{} of {count} runs have ended after {WITHIN:?}", ended.count()).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    let writes = self::revision(&stage.client).await? - revision;
    println!(
        "{count} runs of {STEPS} steps at one time: created in {:.1} s, {:.1} writes for a step",
        started.as_secs_f64(),
        writes as f64 / (count * STEPS) as f64
    );
    println!(
        "{count} runs of {STEPS} steps at one time: {took:.1} s, {:.0} steps/s, {:.1} KiB of anonymous memory for a run, {} failed",
        (count * STEPS) as f64 / took,
        most.saturating_sub(before) as f64 / 1024.0 / count as f64,
        ended.failed.load(Ordering::Relaxed)
    );
    stage.tasks.drain(Duration::from_secs(10)).await?;
    Ok(())
}

/// Of the store: every write is one more.
async fn revision(client: &Client) -> Result<u64, Box<dyn Error>> {
    let list = Api::<Workflow>::all(client.clone()).list(&ListParams::default()).await?;
    Ok(list.metadata.resource_version.unwrap_or_default().parse()?)
}

/// An order, an order and a condition, four times.
fn workflow() -> Result<Workflow, serde_json::Error> {
    let order = |n: usize| json!({"name": format!("order-{n}"), "action": "order", "order": {"verb": "CheckKernel"}, "deadline": "30m"});
    let verify = |n: usize| json!({"name": format!("verify-{n}"), "action": "verify", "expression": "machine.spec.site != \"\"", "deadline": "30m"});
    let steps: Vec<Value> = (0..STEPS).map(|n| if n % 3 == 2 { verify(n) } else { order(n) }).collect();
    serde_json::from_value(
        json!({"metadata": {"name": "twelve"}, "spec": {"purpose": "person", "steps": steps}}),
    )
}

fn run_of(n: usize) -> Value {
    json!({"apiVersion": "muster.dev/v1alpha1", "kind": "Run", "metadata": {"name": format!("run-{n:07}")},
        "spec": {"workflow": "twelve", "machine": name(n)}})
}

/// Answers every order with success.
async fn answer_orders(client: Client, clock: SharedClock) -> Result<(), Box<dyn Error>> {
    let orders: Api<Order> = Api::all(client);
    let seen = watcher(orders.clone(), watcher::Config::default()).default_backoff().applied_objects();
    seen.map_err(Box::<dyn Error>::from)
        .try_for_each_concurrent(AGENTS_AT_ONCE, |mut order| {
            let (orders, clock) = (orders.clone(), SharedClock::clone(&clock));
            async move {
                if order.status.as_ref().is_some_and(|status| status.phase.is_final()) {
                    return Ok(());
                }
                let now = Some(clock.now());
                let done = OrderStatus {
                    phase: OrderPhase::Done,
                    started_at: now,
                    ended_at: now,
                    ..OrderStatus::default()
                };
                order.status = Some(done);
                orders.replace_status(&order.name_any(), &PostParams::default(), &order).await?;
                Ok(())
            }
        })
        .await
}

/// Counts runs that are over.
#[derive(Default)]
struct Ended {
    succeeded: AtomicUsize,
    failed: AtomicUsize,
}

impl Ended {
    fn watch(stage: &Stage) -> Arc<Self> {
        let ended = Arc::new(Self::default());
        let counts = Arc::clone(&ended);
        let phase = |run: &Run| run.status.as_ref().map_or(RunPhase::Pending, |status| status.phase);
        Informers::new(stage.client.clone(), stage.tasks.clone()).of::<Run>().on_change(move |change| {
            let Some(new) = change.new.as_deref().map(phase) else { return };
            if change.old.as_deref().map(phase) == Some(new) {
                return;
            }
            if new == RunPhase::Succeeded {
                counts.succeeded.fetch_add(1, Ordering::Relaxed);
            } else if new.is_final() {
                counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        });
        ended
    }

    fn count(&self) -> usize {
        self.succeeded.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed)
    }
}
