//! The crash matrix: the real binary is killed after every step that a run of twelve persists, with real controllers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};
use muster_api::order::Verb;
use muster_api::workflow::{RunPhase, RunStatus};
use muster_api::{Order, Run};

use super::emulator::{IpmiSim, lacks};
use super::fleet::{Plane, begin, block_on, machines, step, workflow};
use crate::harness::wait_for;

/// What the hook must have logged after a whole run, and never more of.
const ACTS: [&str; 10] = [
    "power 1", "power 0", "power 1", "reset", "power 0", "power 1", "power 0", "power 1", "reset", "shutdown",
];

const RESUMED_WITHIN: Duration = Duration::from_secs(10);
const RUN_WITHIN: Duration = Duration::from_secs(180);
/// Persisted changes between two kills of one run.
const BETWEEN_KILLS: usize = 24;

fn twelve_steps() -> Vec<muster_api::workflow::Step> {
    [
        ("boot-network", Verb::SetBootDevice),
        ("on", Verb::PowerOn),
        ("lamp", Verb::IdentifyLed),
        ("cycle", Verb::PowerCycle),
        ("reset", Verb::Reset),
        ("boot-again", Verb::SetBootDevice),
        ("cycle-again", Verb::PowerCycle),
        ("off", Verb::PowerOff),
        ("off-again", Verb::PowerOff),
        ("on-again", Verb::PowerOn),
        ("reset-again", Verb::Reset),
        ("shutdown", Verb::Shutdown),
    ]
    .into_iter()
    .map(|(name, verb)| step(name, verb, 120))
    .collect()
}

/// One control plane with its machines; lanes know nothing of each other.
struct Lane {
    plane: Plane,
    sims: Vec<IpmiSim>,
    client: Client,
    rounds: usize,
    kills: usize,
    slowest: Duration,
}

impl Lane {
    fn start(directory: &Path, count: usize) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let plane = Plane::start(directory);
        let sims: Vec<IpmiSim> =
            (0..count).map(|number| IpmiSim::start(directory.join(format!("sim{number}")))).collect();
        let client = plane.client();
        let rows: Vec<(String, String)> =
            sims.iter().enumerate().map(|(number, sim)| (format!("m{number}"), sim.address())).collect();
        block_on(async {
            machines(&client, &rows, &[("cipherSuite", "3")]).await;
            workflow(&client, "matrix", twelve_steps()).await;
        });
        Self { plane, sims, client, rounds: 0, kills: 0, slowest: Duration::ZERO }
    }

    fn run_name(&self, machine: usize) -> String {
        format!("r{}-m{machine}", self.rounds)
    }

    /// One run on every machine; the binary is killed when the first machine's run has persisted `at` changes. Gives
    /// the number of changes the first run took, and the kills that came about.
    fn round(&mut self, at: &[usize]) -> (usize, Vec<usize>) {
        self.rounds += 1;
        for sim in &self.sims {
            sim.forget();
        }
        let names: Vec<String> = (0..self.sims.len()).map(|machine| self.run_name(machine)).collect();
        block_on(async {
            for (machine, name) in names.iter().enumerate() {
                begin(&self.client, name, "matrix", &format!("m{machine}")).await;
            }
        });
        let mut seen = BTreeSet::new();
        let mut killed = Vec::new();
        for at in at {
            if !block_on(until(&self.client, &names[0], &mut seen, *at)) {
                break;
            }
            self.plane.kill_and_start();
            self.client = self.plane.client();
            let began = Instant::now();
            killed.push(*at);
            self.kills += 1;
            self.resumes(&names[0], &seen, began);
        }
        let changes = if killed.is_empty() {
            block_on(until(&self.client, &names[0], &mut seen, usize::MAX));
            seen.len()
        } else {
            0
        };
        for (machine, name) in names.iter().enumerate() {
            let status = self.ended(name);
            judge(&status, &self.sims[machine].acts(), name);
        }
        (changes, killed)
    }

    /// The run goes on soon after the control plane is ready again.
    fn resumes(&mut self, run: &str, seen: &BTreeSet<String>, began: Instant) {
        wait_for("progress of the run", RESUMED_WITHIN, || {
            let now = block_on(versions(&self.client, run));
            let over =
                block_on(Api::<Run>::all(self.client.clone()).get(run)).unwrap().status.unwrap_or_default();
            if over.phase.is_final() || now.iter().any(|version| !seen.contains(version)) {
                Ok(())
            } else {
                Err(format!("{:?}", over.message))
            }
        });
        self.slowest = self.slowest.max(began.elapsed());
        assert!(began.elapsed() <= RESUMED_WITHIN, "resumed after {:?}", began.elapsed());
    }

    fn ended(&self, run: &str) -> RunStatus {
        wait_for("end of the run", RUN_WITHIN, || {
            let status = block_on(Api::<Run>::all(self.client.clone()).get(run))
                .map_err(|error| error.to_string())?
                .status
                .unwrap_or_default();
            if status.phase.is_final() { Ok(status) } else { Err(status.message) }
        })
    }
}

/// Exactly what was intended, or exactly the part of it before an act that nobody can tell of: a reset, or a soft shutdown
/// that the system may be about to follow.
fn judge(status: &RunStatus, acts: &[String], run: &str) {
    match status.phase {
        RunPhase::Succeeded => assert_eq!(acts, ACTS, "{run}"),
        RunPhase::Ambiguous => {
            let step = status.steps.iter().find(|step| step.phase == RunPhase::Ambiguous).unwrap();
            let before = match step.step.name.as_str() {
                "reset" => 3,
                "reset-again" => 8,
                "shutdown" => 9,
                other => panic!("{run}: step {other} is Ambiguous: {}", status.message),
            };
            assert!(acts == &ACTS[..before] || acts == &ACTS[..=before], "{run}: {acts:?}");
        }
        RunPhase::Pending
        | RunPhase::Running
        | RunPhase::Paused
        | RunPhase::Failed
        | RunPhase::Cancelled
        | RunPhase::Undone => panic!("{run} ended {}: {}", status.phase.as_str(), status.message),
    }
}

async fn versions(client: &Client, run: &str) -> BTreeSet<String> {
    let orders = Api::<Order>::all(client.clone()).list(&ListParams::default()).await;
    let runs = Api::<Run>::all(client.clone()).get(run).await;
    let of_run = orders.into_iter().flatten().filter(|order| order.spec.run == run);
    of_run
        .filter_map(|order| order.resource_version())
        .chain(runs.ok().and_then(|r| r.resource_version()))
        .collect()
}

/// Waits until the run and its orders have had so many versions; `false` when the run has ended before.
async fn until(client: &Client, run: &str, seen: &mut BTreeSet<String>, count: usize) -> bool {
    let parameters = WatchParams::default();
    let runs = Api::<Run>::all(client.clone());
    let orders = Api::<Order>::all(client.clone());
    seen.extend(versions(client, run).await);
    let mut runs =
        runs.watch(&parameters.clone().fields(&format!("metadata.name={run}")), "0").await.unwrap().boxed();
    let mut orders = orders.watch(&parameters, "0").await.unwrap().boxed();
    while seen.len() < count {
        let over = tokio::select! {
            event = runs.next() => match event {
                Some(Ok(WatchEvent::Added(run) | WatchEvent::Modified(run))) => {
                    seen.extend(run.resource_version());
                    run.status.is_some_and(|status| status.phase.is_final())
                }
                Some(_) => false,
                None => return false,
            },
            event = orders.next() => match event {
                Some(Ok(WatchEvent::Added(order) | WatchEvent::Modified(order))) if order.spec.run == run => {
                    seen.extend(order.resource_version());
                    false
                }
                Some(_) => false,
                None => return false,
            },
        };
        if over {
            return false;
        }
    }
    true
}

/// Takes the kills of one round from what is left: each later than the one before by some way.
fn next_kills(left: &BTreeSet<usize>) -> Vec<usize> {
    let mut at = Vec::new();
    for one in left {
        if at.last().is_none_or(|last: &usize| last + BETWEEN_KILLS <= *one) {
            at.push(*one);
        }
    }
    at
}

/// Every step from `first` by `every`, until at least `runs` runs were made; what it came to.
fn matrix(
    directory: &Path,
    machines: usize,
    first: usize,
    every: usize,
    runs: usize,
    over: &AtomicBool,
) -> (usize, usize, Duration) {
    let mut lane = Lane::start(directory, machines);
    let (changes, _) = lane.round(&[]);
    assert!(changes > 36, "a run of 12 steps persisted {changes} changes only");
    let all: BTreeSet<usize> = (first..changes).step_by(every).collect();
    let mut left = all.clone();
    while !over.load(Ordering::Relaxed) && (!left.is_empty() || lane.rounds * machines < runs) {
        let at = if left.is_empty() { next_kills(&all) } else { next_kills(&left) };
        let (_, killed) = lane.round(&at);
        // A run that ended before had no such step any more.
        left.remove(&at[killed.len().min(at.len() - 1)]);
        for at in killed {
            left.remove(&at);
        }
    }
    (lane.rounds * machines, lane.kills, lane.slowest)
}

#[test]
#[ignore = "make test-slow runs it"]
fn a9_some_kills_in_a_run_of_twelve_steps_repeat_no_act() {
    if let Some(why) = lacks(&["ipmi_sim", "ipmitool", "setpriv"]) {
        println!("could not run: {why}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (runs, kills, slowest) = matrix(directory.path(), 3, 7, 29, 0, &AtomicBool::new(false));
    println!("{runs} runs, {kills} kills, slowest resume {slowest:?}");
    assert!(kills >= 2);
}

/// Tells the other lane that this one failed.
struct OnUnwind<'a>(&'a AtomicBool);

impl Drop for OnUnwind<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
#[ignore = "make test-slow runs it"]
fn a9_killed_after_every_persisted_step_no_cycle_is_doubled_or_lost_and_no_reset_repeated() {
    if let Some(why) = lacks(&["ipmi_sim", "ipmitool", "setpriv"]) {
        println!("could not run: {why}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let over = AtomicBool::new(false);
    // The scope waits for both, so that a lane that fails leaves no process of the other behind.
    let done = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..2)
            .map(|lane| {
                let (directory, over) = (directory.path().join(format!("lane{lane}")), &over);
                scope.spawn(move || {
                    let _failed = OnUnwind(over);
                    matrix(&directory, 5, 1 + lane, 2, 110, over)
                })
            })
            .collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect::<Vec<_>>()
    });
    let (runs, kills) = done.iter().fold((0, 0), |(runs, kills), lane| (runs + lane.0, kills + lane.1));
    let slowest = done.iter().map(|lane| lane.2).max().unwrap();
    println!("{runs} runs, {kills} kills, slowest resume {slowest:?}");
    assert!(runs >= 200, "{runs} runs");
}
