//! What to do next about one pod. Pure: desired, actual and time in, actions out.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_base::backoff::Backoff;
use muster_base::clock::elapsed;

use crate::runtime::{ContainerState, SandboxState};

mod desired;
pub use desired::{Desired, Ending, RestartPolicy, Role, Wanted};

/// What the runtime holds of the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actual {
    pub sandboxes: Vec<SandboxView>,
    pub containers: Vec<ContainerView>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxView {
    pub id: String,
    pub attempt: u32,
    pub state: SandboxState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    pub id: String,
    pub name: String,
    pub sandbox: String,
    pub attempt: u32,
    pub state: ContainerState,
    pub exit_code: i32,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    /// The image it was created for.
    pub image: String,
    /// Crashes in a row before this one.
    pub crashes: u32,
    pub verdict: Verdict,
}

/// What the probes say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against it.
    #[default]
    Fine,
    /// The startup probe has not succeeded yet.
    Starting,
    /// Liveness or startup failed too often.
    Unhealthy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    StartSandbox {
        attempt: u32,
    },
    StopSandbox {
        id: String,
    },
    RemoveSandbox {
        id: String,
    },
    Start {
        name: String,
        attempt: u32,
        crashes: u32,
    },
    Kill {
        id: String,
        name: String,
        why: Why,
    },
    Remove {
        id: String,
    },
    /// Nothing is left in the runtime: volumes, cgroup, and the API object if it is ending.
    Forget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Unhealthy,
    ImageChanged,
    /// The pod has ended, is being deleted or is past its deadline.
    PodEnds,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// When time alone changes the answer.
    pub look_again: Option<Timestamp>,
    /// Containers that wait out a back-off, and until when.
    pub backing_off: BTreeMap<String, Timestamp>,
}

const CRASH_BACKOFF: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
/// A container that ran this long is not in a crash loop any more.
const STEADY: Duration = Duration::from_secs(600);

impl Plan {
    fn again(&mut self, at: Timestamp) {
        self.look_again = Some(self.look_again.map_or(at, |other| other.min(at)));
    }
}

pub fn plan(desired: &Desired, actual: &Actual, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match desired.ending {
        Ending::Forgotten => dismantle(actual, &mut plan),
        Ending::Ended => settle(actual, &mut plan),
        Ending::No if desired.expires.is_some_and(|at| at <= now) => settle(actual, &mut plan),
        Ending::No => {
            if let Some(at) = desired.expires {
                plan.again(at);
            }
            live(desired, actual, now, &mut plan);
        }
    }
    plan
}

fn kill_all(actual: &Actual, plan: &mut Plan) {
    for container in actual.containers.iter().filter(|c| c.state == ContainerState::Running) {
        plan.actions.push(kill(container, Why::PodEnds));
    }
}

fn kill(container: &ContainerView, why: Why) -> Action {
    Action::Kill { id: container.id.clone(), name: container.name.clone(), why }
}

/// Nothing may run; dead containers stay for their logs and exit codes.
fn settle(actual: &Actual, plan: &mut Plan) {
    kill_all(actual, plan);
    for sandbox in actual.sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready) {
        plan.actions.push(Action::StopSandbox { id: sandbox.id.clone() });
    }
}

/// Nothing may remain.
fn dismantle(actual: &Actual, plan: &mut Plan) {
    kill_all(actual, plan);
    for sandbox in &actual.sandboxes {
        plan.actions.push(Action::StopSandbox { id: sandbox.id.clone() });
        plan.actions.push(Action::RemoveSandbox { id: sandbox.id.clone() });
    }
    let orphans = actual.containers.iter().filter(|c| actual.sandboxes.iter().all(|s| s.id != c.sandbox));
    plan.actions.extend(orphans.map(|container| Action::Remove { id: container.id.clone() }));
    plan.actions.push(Action::Forget);
}

fn newest(actual: &Actual) -> Option<&SandboxView> {
    actual.sandboxes.iter().max_by_key(|sandbox| sandbox.attempt)
}

fn latest<'a>(actual: &'a Actual, name: &str) -> Option<&'a ContainerView> {
    actual
        .containers
        .iter()
        .filter(|container| container.name == name)
        .max_by_key(|container| container.attempt)
}

fn live(desired: &Desired, actual: &Actual, now: Timestamp, plan: &mut Plan) {
    let newest = newest(actual);
    for old in actual.sandboxes.iter().filter(|sandbox| newest.is_some_and(|newest| newest.id != sandbox.id))
    {
        plan.actions.push(Action::StopSandbox { id: old.id.clone() });
        plan.actions.push(Action::RemoveSandbox { id: old.id.clone() });
    }
    let Some(sandbox) = newest.filter(|sandbox| sandbox.state == SandboxState::Ready) else {
        return without_sandbox(desired, actual, newest, now, plan);
    };
    tidy(desired, actual, plan);
    let wants = wants(desired, actual, &sandbox.id, now, plan);
    let over = wants.over;
    plan.actions.extend(wants.actions);
    if over {
        settle(actual, plan);
    }
}

/// The sandbox is missing or dead. What still runs in a dead one runs without its namespaces and must go first.
fn without_sandbox(
    desired: &Desired,
    actual: &Actual,
    dead: Option<&SandboxView>,
    now: Timestamp,
    plan: &mut Plan,
) {
    if let Some(dead) = dead
        && actual.containers.iter().any(|c| c.sandbox == dead.id && c.state == ContainerState::Running)
    {
        plan.actions.push(Action::StopSandbox { id: dead.id.clone() });
        return plan.again(now);
    }
    let wants = wants(desired, actual, "", now, plan);
    if wants.over || wants.actions.is_empty() {
        return;
    }
    plan.actions.push(Action::StartSandbox { attempt: dead.map_or(0, |dead| dead.attempt + 1) });
    plan.actions.extend(wants.actions);
}

/// Of each container the last two lives are kept: the present, and the one that explains it.
fn tidy(desired: &Desired, actual: &Actual, plan: &mut Plan) {
    for wanted in &desired.containers {
        let Some(last) = latest(actual, &wanted.name) else { continue };
        let old = actual.containers.iter().filter(|c| c.name == wanted.name && c.attempt + 1 < last.attempt);
        plan.actions.extend(old.map(|container| Action::Remove { id: container.id.clone() }));
    }
}

struct Wants {
    actions: Vec<Action>,
    /// No container runs and none will: the pod is complete.
    over: bool,
}

/// Where one container stands.
enum Step {
    /// Nothing to do, and what comes after it may go on.
    Pass,
    /// What comes after it has to wait.
    Wait,
    Do(Vec<Action>),
    /// It has failed for good.
    Fail,
}

fn wants(desired: &Desired, actual: &Actual, sandbox: &str, now: Timestamp, plan: &mut Plan) -> Wants {
    // Once a container of the pod proper was started in this sandbox, its init containers are done.
    let initialized = desired.of(Role::Main).any(|wanted| {
        latest(actual, &wanted.name).is_some_and(|c| c.sandbox == sandbox && !sandbox.is_empty())
    });
    let mut actions = Vec::new();
    for wanted in desired.containers.iter().filter(|wanted| wanted.role != Role::Main) {
        match init_step(desired, wanted, actual, sandbox, initialized, now, plan) {
            Step::Pass => {}
            Step::Wait => return Wants { actions, over: false },
            Step::Do(more) => {
                actions.extend(more);
                if !initialized {
                    return Wants { actions, over: false };
                }
            }
            Step::Fail => return Wants { actions: Vec::new(), over: true },
        }
    }
    let mut over = true;
    for wanted in desired.of(Role::Main) {
        match main_step(desired.restart, wanted, latest(actual, &wanted.name), sandbox, now, plan) {
            Step::Pass => {
                over &= latest(actual, &wanted.name).is_some_and(|c| c.state != ContainerState::Running)
            }
            Step::Wait => over = false,
            Step::Do(more) => {
                actions.extend(more);
                over = false;
            }
            Step::Fail => {}
        }
    }
    Wants { actions, over }
}

fn init_step(
    desired: &Desired,
    wanted: &Wanted,
    actual: &Actual,
    sandbox: &str,
    initialized: bool,
    now: Timestamp,
    plan: &mut Plan,
) -> Step {
    let last = latest(actual, &wanted.name);
    if wanted.role == Role::Sidecar {
        let step = main_step(RestartPolicy::Always, wanted, last, sandbox, now, plan);
        let starts = last.is_some_and(|last| last.verdict == Verdict::Starting) && !initialized;
        return if matches!(step, Step::Pass) && starts { Step::Wait } else { step };
    }
    if initialized {
        return Step::Pass;
    }
    // A new sandbox starts the initialization over, unless nothing may be started twice.
    let here = last.filter(|c| c.sandbox == sandbox || desired.restart == RestartPolicy::Never);
    match here {
        Some(c) if c.state == ContainerState::Exited && c.exit_code == 0 => Step::Pass,
        Some(c) if c.state == ContainerState::Running && c.verdict != Verdict::Unhealthy => Step::Wait,
        Some(_) | None => {
            let policy = match desired.restart {
                RestartPolicy::Never => RestartPolicy::Never,
                RestartPolicy::Always | RestartPolicy::OnFailure => RestartPolicy::OnFailure,
            };
            // Done in an earlier sandbox: done again in this one.
            let Some(judged) = here.or(last.filter(|last| last.exit_code != 0)) else {
                return held(wanted, now, plan).unwrap_or_else(|| Step::Do(vec![start(wanted, last, 0)]));
            };
            main_step(policy, wanted, Some(judged), sandbox, now, plan)
        }
    }
}

fn start(wanted: &Wanted, last: Option<&ContainerView>, crashes: u32) -> Action {
    let attempt = last.map_or(wanted.attempts_known, |last| (last.attempt + 1).max(wanted.attempts_known));
    Action::Start { name: wanted.name.clone(), attempt, crashes }
}

fn main_step(
    policy: RestartPolicy,
    wanted: &Wanted,
    last: Option<&ContainerView>,
    sandbox: &str,
    now: Timestamp,
    plan: &mut Plan,
) -> Step {
    let Some(last) = last else {
        return held(wanted, now, plan).unwrap_or_else(|| Step::Do(vec![start(wanted, None, 0)]));
    };
    match last.state {
        ContainerState::Running if last.image != wanted.image => {
            Step::Do(vec![kill(last, Why::ImageChanged)])
        }
        ContainerState::Running if last.verdict == Verdict::Unhealthy => {
            Step::Do(vec![kill(last, Why::Unhealthy)])
        }
        ContainerState::Running => Step::Pass,
        // We died between creating and starting it, or its start failed.
        ContainerState::Created | ContainerState::Unknown => held(wanted, now, plan).unwrap_or_else(|| {
            let again =
                Action::Start { name: wanted.name.clone(), attempt: last.attempt, crashes: last.crashes };
            Step::Do(vec![Action::Remove { id: last.id.clone() }, again])
        }),
        ContainerState::Exited => ended(policy, wanted, last, sandbox, now, plan),
    }
}

fn ended(
    policy: RestartPolicy,
    wanted: &Wanted,
    last: &ContainerView,
    sandbox: &str,
    now: Timestamp,
    plan: &mut Plan,
) -> Step {
    let again = match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => last.exit_code != 0,
        RestartPolicy::Never => false,
    };
    if !again {
        return if last.exit_code == 0 { Step::Pass } else { Step::Fail };
    }
    if let Some(step) = held(wanted, now, plan) {
        return step;
    }
    // Lost with its sandbox, or replaced for a new image: no crash of its own.
    if last.sandbox != sandbox || last.image != wanted.image {
        return Step::Do(vec![start(wanted, Some(last), 0)]);
    }
    let finished = last.finished.unwrap_or(now);
    let steady = last.started.is_some_and(|started| elapsed(started, finished) >= STEADY);
    let crashes = if steady { 0 } else { last.crashes };
    // The first restart is immediate, as with the kubelet.
    let wait = if crashes == 0 { Duration::ZERO } else { CRASH_BACKOFF.base(crashes) };
    let due = finished + SignedDuration::try_from(wait).expect("five minutes fit");
    if now < due {
        plan.again(due);
        plan.backing_off.insert(wanted.name.clone(), due);
        return Step::Wait;
    }
    Step::Do(vec![start(wanted, Some(last), crashes + 1)])
}

/// A start that failed (image, configuration) waits before it is tried again.
fn held(wanted: &Wanted, now: Timestamp, plan: &mut Plan) -> Option<Step> {
    let until = wanted.held_until.filter(|until| now < *until)?;
    plan.again(until);
    Some(Step::Wait)
}

#[cfg(test)]
mod tests;
