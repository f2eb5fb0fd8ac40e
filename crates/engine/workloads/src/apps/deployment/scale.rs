//! How many replicas each set gets: the step of a rollout, and the fair division of a resize.

use std::collections::BTreeMap;

use crate::apps::deployment::{Strategy, revision};
use crate::view::{Deployment, ReplicaSet};

/// New replica counts by set name, only those that change.
pub type Scales = BTreeMap<String, i32>;

/// The sets of a deployment.
#[derive(Debug, Clone, Copy)]
pub struct Sets<'a> {
    pub current: Option<&'a ReplicaSet>,
    pub old: &'a [&'a ReplicaSet],
}

impl<'a> Sets<'a> {
    pub fn all(&self) -> impl Iterator<Item = &'a ReplicaSet> {
        self.old.iter().copied().chain(self.current)
    }

    fn active(&self) -> Vec<&'a ReplicaSet> {
        self.all().filter(|set| set.replicas() > 0).collect()
    }

    fn replicas(&self) -> i32 {
        self.all().map(ReplicaSet::replicas).sum()
    }
}

/// Available pods that a set will keep: a status from before a scale-down counts no more than is asked for.
pub fn available(set: &ReplicaSet) -> i32 {
    set.status.available_replicas.min(set.replicas())
}

/// Whether the deployment's size changed since its sets were last scaled.
pub fn is_resize(deployment: &Deployment, sets: Sets<'_>) -> bool {
    sets.active().iter().any(|set| {
        let desired: Option<i32> = set.annotation(revision::DESIRED).and_then(|text| text.parse().ok());
        desired.is_some_and(|desired| desired != deployment.replicas())
    })
}

/// Divides a new size among the sets in proportion, so that a resize in the middle of a rollout changes no risk.
pub fn resize(deployment: &Deployment, sets: Sets<'_>) -> Scales {
    let active = sets.active();
    if let Some(only) = only(&active, sets.current) {
        return one(only, deployment.replicas());
    }
    if sets.current.is_some_and(|set| is_saturated(deployment, set)) {
        return sets.old.iter().filter(|set| set.replicas() > 0).map(|set| (name(set), 0)).collect();
    }
    match deployment.strategy() {
        Strategy::Recreate => Scales::new(),
        Strategy::Rolling { surge, .. } => in_proportion(deployment, &active, surge),
    }
}

/// The one set that matters when there is no rollout: the only active one, or the newest when none is.
fn only<'a>(active: &[&'a ReplicaSet], current: Option<&'a ReplicaSet>) -> Option<&'a ReplicaSet> {
    match active {
        [] => current,
        [only] => Some(only),
        [_, _, ..] => None,
    }
}

fn is_saturated(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let desired = set.annotation(revision::DESIRED).and_then(|text| text.parse::<i32>().ok());
    let wanted = deployment.replicas();
    set.replicas() == wanted && desired == Some(wanted) && set.status.available_replicas == wanted
}

fn in_proportion(deployment: &Deployment, active: &[&ReplicaSet], surge: i32) -> Scales {
    let now: i32 = active.iter().map(|set| set.replicas()).sum();
    let allowed = if deployment.replicas() > 0 { deployment.replicas().saturating_add(surge) } else { 0 };
    let mut rest = allowed - now;
    let mut order = active.to_vec();
    // The largest first; of equals, the newest when growing and the oldest when shrinking.
    order.sort_by_key(|set| (-set.replicas(), set.created(), set.name().to_owned()));
    if rest > 0 {
        order.sort_by_key(|set| (-set.replicas(), std::cmp::Reverse(set.created())));
    }
    let mut sizes: Vec<i32> = Vec::with_capacity(order.len());
    for set in &order {
        let share = share(deployment, set, rest, surge);
        rest -= share;
        sizes.push(set.replicas() + share);
    }
    if let Some(largest) = sizes.first_mut() {
        *largest = (*largest + rest).max(0);
    }
    let pairs = order.iter().zip(sizes);
    pairs.filter(|(set, size)| set.replicas() != *size).map(|(set, size)| (name(set), size)).collect()
}

/// A set's part of the change, never more than what is left of it.
fn share(deployment: &Deployment, set: &ReplicaSet, rest: i32, surge: i32) -> i32 {
    if rest == 0 || set.replicas() == 0 {
        return 0;
    }
    let fraction = if deployment.replicas() == 0 {
        -set.replicas()
    } else {
        let before = set
            .annotation(revision::MAX)
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|most| *most > 0)
            .unwrap_or_else(|| i64::from(deployment.status.replicas.max(1)));
        let wanted = i64::from(set.replicas()) * i64::from(deployment.replicas() + surge);
        i32::try_from((wanted + before / 2) / before).unwrap_or(i32::MAX) - set.replicas()
    };
    if rest > 0 { fraction.clamp(0, rest) } else { fraction.clamp(rest, 0) }
}

/// The next step of a rolling update: first grow the new set as far as the surge allows, else shrink the old ones as
/// far as availability allows.
pub fn roll(deployment: &Deployment, current: &ReplicaSet, old: &[&ReplicaSet]) -> Scales {
    let grown = grow(deployment, current, old);
    if grown == current.replicas() { shrink(deployment, current, old) } else { one(current, grown) }
}

/// The size of the new set within the surge.
pub fn grow(deployment: &Deployment, current: &ReplicaSet, old: &[&ReplicaSet]) -> i32 {
    let wanted = deployment.replicas();
    if current.replicas() >= wanted {
        return wanted;
    }
    current.replicas() + first_size(deployment, old, current.replicas()).min(wanted - current.replicas())
}

/// How many replicas a set of `present` replicas may gain beside the old ones.
pub fn first_size(deployment: &Deployment, old: &[&ReplicaSet], present: i32) -> i32 {
    let wanted = deployment.replicas();
    let room = match deployment.strategy() {
        Strategy::Recreate => wanted,
        Strategy::Rolling { surge, .. } => {
            let held: i32 = old.iter().map(|set| set.replicas()).sum();
            wanted.saturating_add(surge) - held - present
        }
    };
    room.clamp(0, wanted)
}

fn shrink(deployment: &Deployment, current: &ReplicaSet, old: &[&ReplicaSet]) -> Scales {
    let sets = Sets { current: Some(current), old };
    let available_min = deployment.replicas() - deployment.unavailable_max();
    let unavailable_new = current.replicas() - available(current);
    let mut budget = sets.replicas() - available_min - unavailable_new;
    let mut sizes: Vec<(&ReplicaSet, i32)> = old.iter().map(|set| (*set, set.replicas())).collect();
    sizes.sort_by_key(|(set, _)| (set.created(), set.name().to_owned()));
    // Those that serve nobody go first: they must not hold up the rollout.
    for (set, size) in &mut sizes {
        let idle = (*size - available(set)).min(budget).max(0);
        *size -= idle;
        budget -= idle;
    }
    let serving: i32 = sets.all().map(available).sum();
    let mut spare = (serving - available_min).min(budget).max(0);
    for (_, size) in &mut sizes {
        let taken = (*size).min(spare);
        *size -= taken;
        spare -= taken;
    }
    sizes.into_iter().filter(|(set, size)| set.replicas() != *size).map(|(s, size)| (name(s), size)).collect()
}

pub fn one(set: &ReplicaSet, size: i32) -> Scales {
    if set.replicas() == size { Scales::new() } else { Scales::from([(name(set), size)]) }
}

fn name(set: &ReplicaSet) -> String {
    set.name().to_owned()
}
