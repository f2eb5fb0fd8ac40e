//! How many pods to add or which to take away, and what to report.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use muster_control::matching::{self, Labels};

use crate::apps::condition;
use crate::view::{Pod, ReplicaSet, ReplicaSetStatus};

/// At most so many pods are created or deleted in one pass.
const BURST: usize = 500;
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What one pass does to the pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    None,
    Create(usize),
    /// Names with uids, the cheapest loss first.
    Delete(Vec<(String, String)>),
}

#[derive(Debug, PartialEq)]
pub struct Plan {
    pub change: Change,
    /// The new status, if it differs from the old.
    pub status: Option<ReplicaSetStatus>,
    /// When a pod becomes available merely by time passing.
    pub again_at: Option<Timestamp>,
}

/// What the last attempt to change the pods came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt<'a> {
    Fine,
    CreateFailed(&'a str),
    DeleteFailed(&'a str),
}

/// `pods` are the pods this set owns, finished and leaving ones included.
pub fn plan(set: &ReplicaSet, pods: &[&Pod], last: Attempt<'_>, now: Timestamp) -> Plan {
    let active: Vec<&Pod> = pods.iter().copied().filter(|pod| pod.is_active()).collect();
    let change = if set.is_leaving() { Change::None } else { change(set, &active, now) };
    let status = status(set, &active, last, now);
    Plan {
        change,
        status: (status != set.status).then_some(status),
        again_at: next_available(set, &active, now),
    }
}

fn change(set: &ReplicaSet, active: &[&Pod], now: Timestamp) -> Change {
    let wanted = usize::try_from(set.spec.replicas.unwrap_or(1)).unwrap_or(0);
    match active.len().cmp(&wanted) {
        Ordering::Less => Change::Create((wanted - active.len()).min(BURST)),
        Ordering::Equal => Change::None,
        Ordering::Greater => {
            let mut ranked = ranked(active, now);
            ranked.truncate((active.len() - wanted).min(BURST));
            Change::Delete(ranked.iter().map(|pod| (pod.name().to_owned(), pod.uid().to_owned())).collect())
        }
    }
}

/// The pods, the one that is missed least first.
pub fn ranked<'a>(active: &[&'a Pod], now: Timestamp) -> Vec<&'a Pod> {
    let mut ready_on: HashMap<&str, usize> = HashMap::new();
    for pod in active.iter().filter(|pod| pod.is_ready()) {
        *ready_on.entry(pod.node().unwrap_or_default()).or_default() += 1;
    }
    let mut pods = active.to_vec();
    pods.sort_by_cached_key(|pod| {
        let crowd = ready_on.get(pod.node().unwrap_or_default()).copied().unwrap_or(0);
        (
            pod.node().is_some(),
            pod.status.phase,
            pod.is_ready(),
            cost(pod),
            Reverse(crowd),
            pod.ready_since().map(|since| age_class(since, now)),
            Reverse(pod.restarts()),
            pod.created().map(|created| age_class(created, now)),
            pod.uid().to_owned(),
        )
    });
    pods
}

fn cost(pod: &Pod) -> i32 {
    pod.annotation(DELETION_COST).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Ages in powers of two: pods of about the same age are equal, so that the choice among them is spread (KEP-2185).
fn age_class(since: Timestamp, now: Timestamp) -> u32 {
    let seconds = u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0);
    seconds.checked_ilog2().map_or(0, |log| log + 1)
}

fn min_ready(set: &ReplicaSet) -> Duration {
    Duration::from_secs(u64::try_from(set.spec.min_ready_seconds).unwrap_or(0))
}

fn status(set: &ReplicaSet, active: &[&Pod], last: Attempt<'_>, now: Timestamp) -> ReplicaSetStatus {
    let none = Labels::new();
    let template: Labels = set
        .spec
        .template
        .pointer("/metadata/labels")
        .and_then(|labels| serde_json::from_value(labels.clone()).ok())
        .unwrap_or_default();
    let labelled = |pod: &&&Pod| matching::has_all(&template, pod.metadata.labels.as_ref().unwrap_or(&none));
    let mut conditions = set.status.conditions.clone();
    let failure = match last {
        Attempt::Fine => None,
        Attempt::CreateFailed(message) => Some(("FailedCreate", message)),
        Attempt::DeleteFailed(message) => Some(("FailedDelete", message)),
    };
    match failure {
        Some((reason, message)) => {
            let mut failed = condition::new("ReplicaFailure", "True", reason, message.to_owned(), now);
            failed.last_update_time = None;
            condition::set(&mut conditions, failed);
        }
        None => condition::remove(&mut conditions, "ReplicaFailure"),
    }
    ReplicaSetStatus {
        observed_generation: set.generation(),
        replicas: count(active.len()),
        fully_labeled_replicas: count(active.iter().filter(labelled).count()),
        ready_replicas: count(active.iter().filter(|pod| pod.is_ready()).count()),
        available_replicas: count(active.iter().filter(|pod| pod.is_available(min_ready(set), now)).count()),
        conditions,
    }
}

fn next_available(set: &ReplicaSet, active: &[&Pod], now: Timestamp) -> Option<Timestamp> {
    let moments = active.iter().filter_map(|pod| pod.available_from(min_ready(set)));
    moments.filter(|from| *from > now).min()
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
