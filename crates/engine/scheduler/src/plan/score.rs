//! Which of the possible nodes is best. Each criterion gives 0 to 100; the weights are those of Kubernetes.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::WeightedPodAffinityTerm;
use muster_control::matching::{self, Effect};

use crate::node::Node;
use crate::plan::topology::{self, Spread};
use crate::pod::Pod;
use crate::snapshot::Snapshot;

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const FULL: i64 = 100;

/// One total per node of `nodes`.
pub(crate) fn totals(snapshot: &Snapshot, pod: &Pod, nodes: &[&Node]) -> Vec<i64> {
    let mut totals: Vec<i64> =
        nodes.iter().map(|node| least_allocated(pod, node) + balanced(pod, node)).collect();
    let mut add = |weight: i64, scores: Vec<i64>| {
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += weight * score;
        }
    };
    add(3, fewer_is_better(nodes.iter().map(|node| distrust(pod, node)).collect()));
    add(2, more_is_better(nodes.iter().map(|node| liking(pod, node)).collect()));
    add(2, fewer_is_better(crowding(snapshot, pod, nodes)));
    add(2, more_is_better(company(snapshot, pod, nodes)));
    totals
}

fn least_allocated(pod: &Pod, node: &Node) -> i64 {
    let free = |have: i64, used: i64, asked: i64| {
        if have <= 0 { 0 } else { (have - used - asked).max(0).saturating_mul(FULL) / have }
    };
    let (have, used, asked) = (&node.offer.allocatable, &node.weight, &pod.weight);
    let cpu = free(have.cpu_milli, used.cpu_milli, asked.cpu_milli);
    let memory = free(have.memory_bytes, used.memory_bytes, asked.memory_bytes);
    i64::midpoint(cpu, memory)
}

/// High when processor and memory are used up in step.
fn balanced(pod: &Pod, node: &Node) -> i64 {
    let share = |have: i64, used: i64| {
        if have <= 0 {
            FULL
        } else {
            used.saturating_mul(FULL).checked_div(have).map_or(FULL, |s| s.min(FULL))
        }
    };
    let (have, used, asked) = (&node.offer.allocatable, &node.used, &pod.requests);
    let cpu = share(have.cpu_milli, used.cpu_milli + asked.cpu_milli);
    let memory = share(have.memory_bytes, used.memory_bytes + asked.memory_bytes);
    FULL - (cpu - memory).abs() / 2
}

/// How many taints ask for the pod to stay away if it can.
fn distrust(pod: &Pod, node: &Node) -> i64 {
    let soft = node.offer.taints.iter().filter(|t| Effect::of(t) == Some(Effect::PreferNoSchedule));
    let open =
        soft.filter(|taint| !pod.tolerations.iter().any(|toleration| matching::covers(toleration, taint)));
    i64::try_from(open.count()).unwrap_or(i64::MAX)
}

/// The sum of the weights of preferred node affinity that hold.
fn liking(pod: &Pod, node: &Node) -> i64 {
    let preferred = pod
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|rule| rule.preferred_during_scheduling_ignored_during_execution.as_deref())
        .unwrap_or_default();
    let offer = &node.offer;
    preferred
        .iter()
        .filter(|term| matching::term_matches(&term.preference, &offer.name, &offer.labels))
        .map(|term| i64::from(term.weight))
        .sum()
}

/// How many pods of the same kind stand near. Soft constraints if the pod has any, else those of the same owner by
/// host and zone, so that a set of replicas does not share one fate although nobody said so.
fn crowding(snapshot: &Snapshot, pod: &Pod, nodes: &[&Node]) -> Vec<i64> {
    let soft = pod.spread.iter().filter(|constraint| constraint.when_unsatisfiable == "ScheduleAnyway");
    let mut counted: Vec<(String, HashMap<String, i64>)> = soft
        .map(|constraint| Spread::count(snapshot, pod, constraint))
        .map(|spread| (spread.key, spread.counts))
        .collect();
    if counted.is_empty()
        && let Some(owner) = &pod.owner
    {
        let siblings =
            |node: &&Node| i64::try_from(node.owners.get(owner).copied().unwrap_or(0)).unwrap_or(0);
        let zones = topology::siblings_by(snapshot, owner, ZONE);
        return nodes
            .iter()
            .map(|node| siblings(node) * 2 + node.offer.labels.get(ZONE).map_or(0, |zone| at(&zones, zone)))
            .collect();
    }
    // A host says more about shared fate than the wider domain it stands in.
    counted.sort_by_key(|(key, _)| key != HOSTNAME);
    let most = |counts: &HashMap<String, i64>| counts.values().copied().max().unwrap_or(0);
    let near = |node: &Node| {
        let far = |key: &str, counts: &HashMap<String, i64>| match node.offer.labels.get(key) {
            Some(value) => at(counts, value),
            None => most(counts) + 1,
        };
        counted.iter().map(|(key, counts)| far(key, counts)).sum()
    };
    nodes.iter().map(|node| near(node)).collect()
}

fn at(counts: &HashMap<String, i64>, value: &str) -> i64 {
    counts.get(value).copied().unwrap_or(0)
}

/// Preferred pod affinity minus preferred anti-affinity, by topology.
fn company(snapshot: &Snapshot, pod: &Pod, nodes: &[&Node]) -> Vec<i64> {
    let (liked, disliked) = preferred_company(pod);
    if liked.is_empty() && disliked.is_empty() {
        return vec![0; nodes.len()];
    }
    let mut sums: HashMap<(&str, &str), i64> = HashMap::new();
    let signed = liked.iter().map(|w| (w, 1)).chain(disliked.iter().map(|w| (w, -1)));
    for (weighted, sign) in signed {
        let term = &weighted.pod_affinity_term;
        for node in snapshot.nodes() {
            let Some(value) = node.offer.labels.get(&term.topology_key) else { continue };
            let here =
                node.pods.values().filter(|other| topology::concerns(snapshot, term, pod, other)).count();
            let sum = sums.entry((&term.topology_key, value)).or_default();
            *sum += sign * i64::from(weighted.weight) * i64::try_from(here).unwrap_or(0);
        }
    }
    let total = |node: &&Node| {
        let held = sums
            .iter()
            .filter(|((key, value), _)| node.offer.labels.get(*key).is_some_and(|found| found == value));
        held.map(|(_, sum)| sum).sum()
    };
    nodes.iter().map(total).collect()
}

fn preferred_company(pod: &Pod) -> (&[WeightedPodAffinityTerm], &[WeightedPodAffinityTerm]) {
    let Some(affinity) = &pod.affinity else { return (&[], &[]) };
    let liked = affinity
        .pod_affinity
        .as_ref()
        .and_then(|rule| rule.preferred_during_scheduling_ignored_during_execution.as_deref());
    let disliked = affinity
        .pod_anti_affinity
        .as_ref()
        .and_then(|rule| rule.preferred_during_scheduling_ignored_during_execution.as_deref());
    (liked.unwrap_or_default(), disliked.unwrap_or_default())
}

/// Stretches raw values to 0 … 100. All equal: nothing to choose, all 0.
fn more_is_better(raw: Vec<i64>) -> Vec<i64> {
    let (least, most) = (raw.iter().copied().min().unwrap_or(0), raw.iter().copied().max().unwrap_or(0));
    let range = most - least;
    raw.into_iter().map(|value| if range == 0 { 0 } else { (value - least) * FULL / range }).collect()
}

fn fewer_is_better(raw: Vec<i64>) -> Vec<i64> {
    more_is_better(raw.into_iter().map(|value| -value).collect())
}
