//! Problems of a fleet: a steady stream of evidence, and among it openings; from an opening to the start of its repair.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{Patch, PatchParams, PostParams, WatchParams};
use kube::core::WatchEvent;
use kube::{Api, Client};
use muster_api::machine::Phase;
use muster_api::problem::{self, ProblemSpec};
use muster_api::{Problem, Run};
use muster_base::clock::{Clock as _, SystemClock};
use muster_base::task::Kind;
use muster_control::Metrics;
use muster_store::{Limits, Store};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::stage::{SETTLED_AFTER, Stage, name};

const UPDATES_A_MINUTE: u32 = 12_500;
/// Of so many updates one opens a problem; the others are evidence of one that is open.
const OPENS_EACH: usize = 10;
const AT_ONCE: usize = 32;
const LASTS: Duration = Duration::from_secs(120);
/// What is not started then counts as that late.
const LATEST: Duration = Duration::from_secs(30);
const CLASS: &str = "runtime.hung";

type Times = Arc<Mutex<HashMap<String, Instant>>>;

pub(crate) async fn run(count: usize) -> Result<(), Box<dyn Error>> {
    let stage = Stage::build(|_| Ok(Store::in_memory(Limits::default()))).await?;
    stage.machines_in(count, Some(Phase::Healthy)).await?;
    let metrics = Metrics::default();
    stage.controllers(&metrics, Duration::from_secs(15 * 60));
    stage.global_doctor(&metrics);
    // The first look at everything; then a first problem is repaired, so that all is in motion.
    open(&stage.client, count - 1, &Times::default()).await?;
    wait_for_a_run(&stage.client).await?;
    tokio::time::sleep(SETTLED_AFTER).await;
    let (opened, started) = (Times::default(), Times::default());
    listen(&stage, &started).await?;
    let (begun, done) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    stream(&stage.client, count, &opened, &done).await;
    let took = begun.elapsed();
    let waited = Instant::now();
    while started.lock().len() < opened.lock().len() && waited.elapsed() < LATEST {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rate = done.load(Ordering::Relaxed) as f64 / took.as_secs_f64() * 60.0;
    println!("problems of {count} machines: {rate:.0} updates a minute of {UPDATES_A_MINUTE} asked for");
    tell(count, &opened.lock(), &started.lock());
    stage.tasks.drain(Duration::from_secs(10)).await?;
    Ok(())
}

fn tell(count: usize, opened: &HashMap<String, Instant>, started: &HashMap<String, Instant>) {
    let mut missing = 0;
    let mut times: Vec<f64> = Vec::new();
    for (problem, opened) in opened {
        let Some(started) = started.get(problem) else {
            missing += 1;
            continue;
        };
        times.push(started.saturating_duration_since(*opened).as_secs_f64() * 1e3);
    }
    times.extend((0..missing).map(|_| LATEST.as_secs_f64() * 1e3));
    times.sort_unstable_by(f64::total_cmp);
    let at =
        |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied();
    println!(
        "problem opened to run started, {count} machines: p50 {:.1} ms, p99 {:.1} ms of {} openings, {missing} not started",
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
        times.len(),
    );
}

fn problem(n: usize) -> String {
    problem::name(&name(n), CLASS, "")
}

fn status(count: usize, opened: &str) -> Value {
    json!({ "status": {
        "state": "Open", "episode": 1, "count": count, "openedAt": opened, "firstSeen": opened, "lastSeen": opened,
        "evidence": [{ "at": opened, "text": "Version timed out after 2 s" }],
    }})
}

async fn open(client: &Client, n: usize, opened: &Times) -> Result<(), kube::Error> {
    let api: Api<Problem> = Api::all(client.clone());
    let spec = ProblemSpec { machine: name(n), class: CLASS.to_owned(), component: String::new() };
    api.create(&PostParams::default(), &Problem::new(&problem(n), spec)).await?;
    let now = SystemClock.now().to_string();
    api.patch_status(&problem(n), &PatchParams::default(), &Patch::Merge(status(1, &now))).await?;
    opened.lock().insert(problem(n), Instant::now());
    Ok(())
}

async fn wait_for_a_run(client: &Client) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    while Api::<Run>::all(client.clone())
        .list_metadata(&kube::api::ListParams::default())
        .await?
        .items
        .is_empty()
    {
        if Duration::from_secs(600) < begun.elapsed() {
            return Err("no repair of the first problem within ten minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Notes when each problem has its first run.
async fn listen(stage: &Stage, started: &Times) -> Result<(), Box<dyn Error>> {
    let api: Api<Run> = Api::all(stage.client.clone());
    let from = api.list_metadata(&kube::api::ListParams::default()).await?.metadata.resource_version;
    let params = WatchParams::default().timeout(290);
    let events = api.watch(&params, &from.unwrap_or_default()).await?.boxed();
    let (started, token) = (Arc::clone(started), stage.tasks.shutdown_token());
    stage.tasks.spawn(Kind::Service, "runs that start", async move {
        let each = events.for_each(|event| {
            if let Ok(WatchEvent::Added(run)) = event {
                started.lock().entry(run.spec.problem).or_insert_with(Instant::now);
            }
            std::future::ready(())
        });
        token.run_until_cancelled(each).await;
    });
    Ok(())
}

/// Openings of machines all over the fleet, and between them evidence of those before.
async fn stream(client: &Client, count: usize, opened: &Times, done: &Arc<AtomicUsize>) {
    let every = tokio::time::interval(Duration::from_secs(60) / UPDATES_A_MINUTE);
    let ticks = futures::stream::unfold(every, |mut every| async move { Some((every.tick().await, every)) });
    let updates = ticks.enumerate().for_each_concurrent(AT_ONCE, |(n, _)| async move {
        let which = (n / OPENS_EACH) * 7919 % (count - 1);
        let result = if n % OPENS_EACH == 0 {
            open(client, which, opened).await
        } else {
            seen(client, which, n).await
        };
        match result {
            Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
            Err(error) => println!("an update failed: {error}"),
        }
    });
    let _lasted = tokio::time::timeout(LASTS, updates).await;
}

/// One more piece of evidence, of the problem that opened ten updates before.
async fn seen(client: &Client, n: usize, count: usize) -> Result<(), kube::Error> {
    let now = SystemClock.now().to_string();
    let api: Api<Problem> = Api::all(client.clone());
    let patch = json!({ "status": { "count": count, "lastSeen": now } });
    match api.patch_status(&problem(n), &PatchParams::default(), &Patch::Merge(patch)).await {
        // It is being opened beside this.
        Err(error) if muster_control::is_not_found(&error) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
