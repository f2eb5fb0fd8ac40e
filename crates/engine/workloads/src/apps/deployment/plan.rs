//! One step of a Deployment: which set to make, scale, number or forget, and what to report.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::apps::deployment::scale::{self, Scales, Sets};
use crate::apps::deployment::status::{self, News};
use crate::apps::deployment::{Strategy, revision};
use crate::view::{Deployment, DeploymentStatus, ReplicaSet};

#[derive(Debug, PartialEq)]
pub enum Act {
    /// A new set for the present template.
    Create(Box<Value>),
    /// Another size, with the bounds it belongs to.
    Scale {
        set: String,
        from: i32,
        replicas: i32,
        annotations: BTreeMap<String, String>,
    },
    /// Annotations that fell behind.
    Annotate {
        set: String,
        annotations: BTreeMap<String, String>,
    },
    /// A set beyond the history limit.
    Forget {
        set: String,
        uid: String,
    },
    /// The deployment's own revision number.
    Number(i64),
    Status(Box<DeploymentStatus>),
}

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub acts: Vec<Act>,
    pub again_at: Option<Timestamp>,
}

/// Whether pods of old sets are still there (finished ones do not count); only Recreate asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldPods {
    Present,
    Gone,
}

/// `sets` are the ReplicaSets the deployment owns.
pub fn plan(deployment: &Deployment, sets: &[&ReplicaSet], old_pods: OldPods, now: Timestamp) -> Plan {
    let sets: Vec<&ReplicaSet> = sets.iter().copied().filter(|set| !set.is_leaving()).collect();
    let current = revision::current(deployment, &sets);
    let old: Vec<&ReplicaSet> =
        sets.iter().copied().filter(|set| current.is_none_or(|c| c.uid() != set.uid())).collect();
    let sets = Sets { current, old: &old };
    let mut plan = Plan::default();
    if deployment.is_leaving() {
        plan.report(deployment, status::counts_only(deployment, sets, now));
        return plan;
    }
    let number = revision::next(&sets.all().collect::<Vec<_>>(), current);
    if deployment.spec.paused || scale::is_resize(deployment, sets) {
        plan.scale(deployment, sets, &scale::resize(deployment, sets));
        plan.forget(deployment, sets);
        plan.report(deployment, status::counts_only(deployment, sets, now));
        return plan;
    }
    let news = plan.step(deployment, sets, old_pods, number);
    let status = status::status(deployment, sets, news, now);
    if status::is_complete(deployment, &status) && plan.acts.is_empty() {
        plan.forget(deployment, sets);
    }
    plan.again_at = status::deadline(deployment, &status.conditions).filter(|at| *at > now);
    plan.report(deployment, status);
    plan
}

impl Plan {
    fn step<'a>(
        &mut self,
        deployment: &Deployment,
        sets: Sets<'a>,
        old_pods: OldPods,
        number: i64,
    ) -> News<'a> {
        if deployment.strategy() == Strategy::Recreate {
            let ends: Scales = sets
                .old
                .iter()
                .filter(|set| set.replicas() > 0)
                .map(|set| (set.name().to_owned(), 0))
                .collect();
            if !ends.is_empty() {
                self.scale(deployment, sets, &ends);
                return News::None;
            }
            if sets.current.is_none() && old_pods == OldPods::Present {
                return News::None;
            }
        }
        let Some(current) = sets.current else {
            let replicas = scale::first_size(deployment, sets.old, 0);
            self.acts.push(Act::Create(Box::new(revision::replica_set(deployment, replicas, number))));
            self.number(deployment, number);
            return News::None;
        };
        self.annotate(deployment, current, number);
        let scales = match deployment.strategy() {
            Strategy::Recreate => scale::one(current, deployment.replicas()),
            Strategy::Rolling { .. } => scale::roll(deployment, current, sets.old),
        };
        self.scale(deployment, sets, &scales);
        News::Found(current.name())
    }

    fn annotate(&mut self, deployment: &Deployment, current: &ReplicaSet, number: i64) {
        let annotations = revision::overdue_annotations(deployment, current, number);
        if !annotations.is_empty() {
            self.acts.push(Act::Annotate { set: current.name().to_owned(), annotations });
        }
        self.number(deployment, revision::number(current).max(number));
    }

    fn number(&mut self, deployment: &Deployment, number: i64) {
        if deployment.annotation(revision::REVISION) != Some(&number.to_string()) {
            self.acts.push(Act::Number(number));
        }
    }

    /// Sizes that change, and the bounds on every active set: what is not told of a resize would see it again.
    fn scale(&mut self, deployment: &Deployment, sets: Sets<'_>, scales: &Scales) {
        let bounds = revision::bounds(deployment);
        for set in sets.all() {
            let replicas = scales.get(set.name()).copied().unwrap_or_else(|| set.replicas());
            let told = bounds.iter().all(|(key, value)| set.annotation(key) == Some(value));
            let is_current = sets.current.is_some_and(|current| current.uid() == set.uid());
            if replicas == set.replicas()
                && (told || set.replicas() == 0 || (is_current && !resizing(set, &bounds)))
            {
                continue;
            }
            self.acts.push(Act::Scale {
                set: set.name().to_owned(),
                from: set.replicas(),
                replicas,
                annotations: bounds.clone(),
            });
        }
    }

    /// Empty old sets beyond the limit, the oldest revision first.
    fn forget(&mut self, deployment: &Deployment, sets: Sets<'_>) {
        let limit = usize::try_from(deployment.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
        let mut idle: Vec<&ReplicaSet> = sets.old.iter().copied().filter(|set| is_idle(set)).collect();
        idle.sort_by_key(|set| (revision::number(set), set.created()));
        for set in idle.iter().take(sets.old.len().saturating_sub(limit)) {
            self.acts.push(Act::Forget { set: set.name().to_owned(), uid: set.uid().to_owned() });
        }
    }

    fn report(&mut self, deployment: &Deployment, status: DeploymentStatus) {
        if status != deployment.status {
            self.acts.push(Act::Status(Box::new(status)));
        }
    }
}

/// Whether the set was told of another size than the deployment has now.
fn resizing(set: &ReplicaSet, bounds: &BTreeMap<String, String>) -> bool {
    set.annotation(revision::DESIRED) != bounds.get(revision::DESIRED).map(String::as_str)
}

fn is_idle(set: &ReplicaSet) -> bool {
    set.replicas() == 0 && set.status.replicas == 0 && set.status.observed_generation >= set.generation()
}

#[cfg(test)]
mod tests;
