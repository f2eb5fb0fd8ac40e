//! What a Deployment says of itself, in the reasons that `kubectl rollout status` understands.

use std::time::Duration;

use jiff::Timestamp;

use crate::apps::condition;
use crate::apps::deployment::scale::Sets;
use crate::view::{Condition, Deployment, DeploymentStatus, ReplicaSet};

const PROGRESSING: &str = "Progressing";
const DONE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// What happened to the current set in this pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    None,
    Created(&'a str),
    Found(&'a str),
}

pub fn status(deployment: &Deployment, sets: Sets<'_>, news: News<'_>, now: Timestamp) -> DeploymentStatus {
    let mut status = counts(deployment, sets);
    available(deployment, &mut status, now);
    if deployment.progress_deadline_seconds().is_some() {
        pause(deployment, &mut status, now);
        tell(&mut status, news, now);
        if !deployment.spec.paused {
            progress(deployment, &mut status, sets.current, now);
        }
    } else {
        condition::remove(&mut status.conditions, PROGRESSING);
    }
    replica_failure(&mut status, sets);
    status
}

/// The status without any statement about progress: what a resize or a pause changes.
pub fn counts_only(deployment: &Deployment, sets: Sets<'_>, now: Timestamp) -> DeploymentStatus {
    let mut status = counts(deployment, sets);
    available(deployment, &mut status, now);
    if deployment.progress_deadline_seconds().is_some() {
        pause(deployment, &mut status, now);
    }
    status
}

fn counts(deployment: &Deployment, sets: Sets<'_>) -> DeploymentStatus {
    let sum = |of: fn(&ReplicaSet) -> i32| sets.all().map(of).sum::<i32>();
    let available = sum(|set| set.status.available_replicas);
    DeploymentStatus {
        observed_generation: deployment.generation(),
        replicas: sum(|set| set.status.replicas),
        updated_replicas: sets.current.map_or(0, |set| set.status.replicas),
        ready_replicas: sum(|set| set.status.ready_replicas),
        available_replicas: available,
        unavailable_replicas: (sum(ReplicaSet::replicas) - available).max(0),
        collision_count: deployment.status.collision_count,
        conditions: deployment.status.conditions.clone(),
    }
}

fn available(deployment: &Deployment, status: &mut DeploymentStatus, now: Timestamp) {
    let enough = status.available_replicas >= deployment.replicas() - deployment.unavailable_max();
    let (value, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    condition::set(&mut status.conditions, condition::new("Available", value, reason, message.into(), now));
}

fn pause(deployment: &Deployment, status: &mut DeploymentStatus, now: Timestamp) {
    let before = condition::find(&status.conditions, PROGRESSING).and_then(|c| c.reason.clone());
    let before = before.as_deref();
    if before == Some(TIMED_OUT) {
        return;
    }
    let news = match (deployment.spec.paused, before == Some(PAUSED)) {
        (true, false) => Some((PAUSED, "Deployment is paused")),
        (false, true) => Some(("DeploymentResumed", "Deployment is resumed")),
        (true, true) | (false, false) => None,
    };
    if let Some((reason, message)) = news {
        let told = condition::new(PROGRESSING, "Unknown", reason, message.into(), now);
        condition::set(&mut status.conditions, told);
    }
}

fn tell(status: &mut DeploymentStatus, news: News<'_>, now: Timestamp) {
    let (reason, message) = match news {
        News::Created(name) => ("NewReplicaSetCreated", format!("Created new replica set {name:?}")),
        News::Found(name) if condition::find(&status.conditions, PROGRESSING).is_none() => {
            ("FoundNewReplicaSet", format!("Found new replica set {name:?}"))
        }
        News::Found(_) | News::None => return,
    };
    condition::set(&mut status.conditions, condition::new(PROGRESSING, "True", reason, message, now));
}

/// Whether the rollout has nothing left to do.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = deployment.replicas();
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.generation()
}

fn progress(
    deployment: &Deployment,
    status: &mut DeploymentStatus,
    current: Option<&ReplicaSet>,
    now: Timestamp,
) {
    let subject = match current {
        Some(set) => format!("ReplicaSet {:?}", set.name()),
        None => format!("Deployment {:?}", deployment.name()),
    };
    let before = condition::find(&deployment.status.conditions, PROGRESSING).cloned();
    let finished = before.as_ref().is_some_and(|c| c.reason.as_deref() == Some(DONE));
    if finished && status.replicas == status.updated_replicas {
        return;
    }
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        condition::set(&mut status.conditions, condition::new(PROGRESSING, "True", DONE, message, now));
    } else if has_moved(&deployment.status, status) {
        let message = format!("{subject} is progressing.");
        let mut moved = condition::new(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
        if let Some(before) = before.filter(|before| before.status == "True") {
            moved.last_transition_time = before.last_transition_time;
        }
        condition::remove(&mut status.conditions, PROGRESSING);
        condition::set(&mut status.conditions, moved);
    } else if deadline(deployment, &status.conditions).is_some_and(|at| at <= now) {
        let message = format!("{subject} has timed out progressing.");
        condition::set(&mut status.conditions, condition::new(PROGRESSING, "False", TIMED_OUT, message, now));
    }
}

fn has_moved(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let old = |status: &DeploymentStatus| status.replicas - status.updated_replicas;
    after.updated_replicas > before.updated_replicas
        || old(after) < old(before)
        || after.ready_replicas > before.ready_replicas
        || after.available_replicas > before.available_replicas
}

/// When the rollout counts as stuck, if nothing moves until then.
pub fn deadline(deployment: &Deployment, conditions: &[Condition]) -> Option<Timestamp> {
    let seconds = u64::try_from(deployment.progress_deadline_seconds()?).ok()?;
    let last = condition::find(conditions, PROGRESSING)?;
    match last.reason.as_deref() {
        Some(DONE | TIMED_OUT | PAUSED) => None,
        Some(_) | None => last.last_update_time?.checked_add(Duration::from_secs(seconds)).ok(),
    }
}

fn replica_failure(status: &mut DeploymentStatus, sets: Sets<'_>) {
    let failure = sets
        .current
        .into_iter()
        .chain(sets.old.iter().copied())
        .find_map(|set| condition::find(&set.status.conditions, "ReplicaFailure"));
    match failure {
        Some(failure) => {
            let mut failure = failure.clone();
            failure.last_update_time = failure.last_update_time.or(failure.last_transition_time);
            condition::set(&mut status.conditions, failure);
        }
        None => condition::remove(&mut status.conditions, "ReplicaFailure"),
    }
}
