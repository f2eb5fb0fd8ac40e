//! A fleet that needs nothing: how long the first look at all of it takes, the periodic sweep, and a change to the first
//! action upon it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{Patch, PatchParams, WatchParams};
use kube::core::WatchEvent;
use kube::{Api, Client};
use muster_api::Machine;
use muster_api::machine::Phase;
use muster_base::task::Kind;
use muster_control::Metrics;
use muster_store::{Limits, Store};
use prometheus_client::registry::Registry;
use serde_json::json;

use crate::stage::{SETTLED_AFTER, Stage, anonymous_bytes, name};

const CHANGES: usize = 100;
/// Between two of them, so that the updates beside them come to something.
const BETWEEN: Duration = Duration::from_millis(100);
const UPDATES_A_MINUTE: u32 = 12_500;
const UPDATES_AT_ONCE: usize = 16;
const SWEEP_EVERY: Duration = Duration::from_secs(60);

pub(crate) async fn run(count: usize) -> Result<(), Box<dyn Error>> {
    let stage = Stage::build(|_| Ok(Store::in_memory(Limits::default()))).await?;
    stage.machines(count).await?;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let looks = Looks(registry);
    let begun = Instant::now();
    stage.controllers(&metrics, SWEEP_EVERY);
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
    let others = Others::start(&stage, count);
    changes(&stage.client, count).await?;
    others.tell();
    stage.tasks.drain(Duration::from_secs(10)).await?;
    Ok(())
}

/// Changes of other machines meanwhile, of what no controller decides by.
struct Others {
    begun: Instant,
    done: Arc<AtomicUsize>,
}

impl Others {
    fn start(stage: &Stage, count: usize) -> Self {
        let done = Arc::new(AtomicUsize::new(0));
        let (api, shutdown) = (Api::<Machine>::all(stage.client.clone()), stage.tasks.shutdown_token());
        let counted = Arc::clone(&done);
        stage.tasks.spawn(Kind::Service, "other changes", async move {
            let every = tokio::time::interval(Duration::from_secs(60) / UPDATES_A_MINUTE);
            let ticks =
                futures::stream::unfold(every, |mut every| async move { Some((every.tick().await, every)) });
            let updates = ticks.enumerate().for_each_concurrent(UPDATES_AT_ONCE, |(n, _)| {
                let (api, done) = (api.clone(), Arc::clone(&counted));
                async move {
                    let label = Patch::Merge(json!({"metadata": {"labels": {"seen": n.to_string()}}}));
                    match api.patch(&name(n * 7919 % count), &PatchParams::default(), &label).await {
                        Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => println!("an update failed: {error}"),
                    }
                }
            });
            shutdown.run_until_cancelled(updates).await;
        });
        Self { begun: Instant::now(), done }
    }

    fn tell(&self) {
        let minutes = self.begun.elapsed().as_secs_f64() / 60.0;
        println!(
            "updates of other machines meanwhile: {:.0} a minute of {UPDATES_A_MINUTE} asked for",
            self.done.load(Ordering::Relaxed) as f64 / minutes
        );
    }
}

/// From the answer to a change until its first consequence is seen, one machine after the other.
async fn changes(client: &Client, count: usize) -> Result<(), Box<dyn Error>> {
    let api: Api<Machine> = Api::all(client.clone());
    let mut times = Vec::new();
    for change in 0..CHANGES.min(count) {
        let name = name(change * (count / CHANGES.min(count)));
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
        tokio::time::sleep(BETWEEN).await;
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
