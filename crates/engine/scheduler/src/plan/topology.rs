//! Rules about where a pod stands in relation to other pods: affinity, anti-affinity, spread.
//!
//! Everything is counted once per pod, by topology value; the question per node is then a look-up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PodAffinityTerm, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use muster_control::matching::{self, Effect, Labels};

use crate::node::Node;
use crate::plan::filter;
use crate::pod::{Pod, Stage};
use crate::refusal::Blocker;
use crate::snapshot::Snapshot;

type Place = (String, String);

/// What must hold between one pod and those already placed.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    affinity_keys: Vec<String>,
    /// Places that hold a pod matching every affinity term.
    together: HashSet<Place>,
    first_of_its_kind: FirstOfItsKind,
    apart: HashSet<Place>,
    repelled: HashSet<Place>,
    spread: Vec<Spread>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum FirstOfItsKind {
    Yes,
    #[default]
    No,
}

/// One spread constraint with the matching pods counted by domain.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(crate) key: String,
    pub(crate) counts: HashMap<String, i64>,
    skew_max: i64,
    least: i64,
    own: i64,
}

impl Rules {
    pub(crate) fn gather(snapshot: &Snapshot, pod: &Pod) -> Rules {
        let mut rules = Rules { repelled: repelled(snapshot, pod), ..Rules::default() };
        let together = required(pod, Direction::Together);
        let apart = required(pod, Direction::Apart);
        if !together.is_empty() || !apart.is_empty() {
            rules.count_company(snapshot, pod, together, apart);
        }
        rules.spread = pod
            .spread
            .iter()
            .filter(|constraint| constraint.when_unsatisfiable == "DoNotSchedule")
            .map(|constraint| Spread::count(snapshot, pod, constraint))
            .collect();
        rules
    }

    fn count_company(
        &mut self,
        snapshot: &Snapshot,
        pod: &Pod,
        together: &[PodAffinityTerm],
        apart: &[PodAffinityTerm],
    ) {
        for node in snapshot.nodes() {
            for other in node.pods.values() {
                let all = !together.is_empty() && together.iter().all(|t| concerns(snapshot, t, pod, other));
                let met = if all { together } else { &[] };
                self.together.extend(met.iter().filter_map(|term| place(term, node)));
                let avoided = apart.iter().filter(|term| concerns(snapshot, term, pod, other));
                self.apart.extend(avoided.filter_map(|term| place(term, node)));
            }
        }
        self.affinity_keys = together.iter().map(|term| term.topology_key.clone()).collect();
        if self.together.is_empty() && together.iter().all(|term| concerns(snapshot, term, pod, pod)) {
            self.first_of_its_kind = FirstOfItsKind::Yes;
        }
    }

    pub(crate) fn blocker(&self, node: &Node) -> Option<Blocker> {
        if let Some(blocker) = self.spread.iter().find_map(|spread| spread.blocker(node)) {
            return Some(blocker);
        }
        let stands_in = |places: &HashSet<Place>| {
            !places.is_empty() && places.iter().any(|(key, value)| node.offer.labels.get(key) == Some(value))
        };
        if !self.affinity_keys.iter().all(|key| self.company_at(node, key)) {
            return Some(Blocker::PodAffinity);
        }
        if stands_in(&self.apart) {
            return Some(Blocker::PodAntiAffinity);
        }
        stands_in(&self.repelled).then_some(Blocker::ExistingAntiAffinity)
    }

    fn company_at(&self, node: &Node, key: &str) -> bool {
        let Some(value) = node.offer.labels.get(key) else { return false };
        self.first_of_its_kind == FirstOfItsKind::Yes
            || self.together.contains(&(key.to_owned(), value.clone()))
    }
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Together,
    Apart,
}

fn required(pod: &Pod, direction: Direction) -> &[PodAffinityTerm] {
    let Some(affinity) = &pod.affinity else { return &[] };
    let terms = match direction {
        Direction::Together => affinity
            .pod_affinity
            .as_ref()
            .and_then(|rule| rule.required_during_scheduling_ignored_during_execution.as_deref()),
        Direction::Apart => affinity
            .pod_anti_affinity
            .as_ref()
            .and_then(|rule| rule.required_during_scheduling_ignored_during_execution.as_deref()),
    };
    terms.unwrap_or_default()
}

fn repelled(snapshot: &Snapshot, pod: &Pod) -> HashSet<Place> {
    let mut places = HashSet::new();
    for (other, node) in snapshot.repelling() {
        let terms = required(other, Direction::Apart).iter();
        places.extend(
            terms.filter(|term| concerns(snapshot, term, other, pod)).filter_map(|term| place(term, node)),
        );
    }
    places
}

fn place(term: &PodAffinityTerm, node: &Node) -> Option<Place> {
    let value = node.offer.labels.get(&term.topology_key)?;
    Some((term.topology_key.clone(), value.clone()))
}

/// Whether `term`, written in `holder`, is about `other`.
pub(crate) fn concerns(snapshot: &Snapshot, term: &PodAffinityTerm, holder: &Pod, other: &Pod) -> bool {
    let Some(selector) = &term.label_selector else { return false };
    matching::selects(selector, &other.labels) && in_namespaces(snapshot, term, holder, &other.namespace)
}

fn in_namespaces(snapshot: &Snapshot, term: &PodAffinityTerm, holder: &Pod, namespace: &str) -> bool {
    let named = term.namespaces.as_deref().unwrap_or_default();
    match &term.namespace_selector {
        None if named.is_empty() => *holder.namespace == *namespace,
        None => named.iter().any(|name| name == namespace),
        Some(selector) => {
            let none = Labels::new();
            named.iter().any(|name| name == namespace)
                || matching::selects(selector, snapshot.namespace(namespace).unwrap_or(&none))
        }
    }
}

impl Spread {
    pub(crate) fn count(snapshot: &Snapshot, pod: &Pod, constraint: &TopologySpreadConstraint) -> Spread {
        let selector = narrowed(constraint, pod);
        let matches = |other: &Pod| {
            selector.as_ref().is_some_and(|selector| {
                other.namespace == pod.namespace && matching::selects(selector, &other.labels)
            })
        };
        let mut counts: HashMap<String, i64> = HashMap::new();
        for node in snapshot.nodes().iter().filter(|node| counts_for(constraint, pod, node)) {
            let Some(value) = node.offer.labels.get(&constraint.topology_key) else { continue };
            let here = node.pods.values().filter(|other| other.stage != Stage::Leaving && matches(other));
            *counts.entry(value.clone()).or_default() += i64::try_from(here.count()).unwrap_or(i64::MAX);
        }
        let domains_min = constraint.min_domains.and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
        let least = if counts.len() < domains_min { 0 } else { counts.values().copied().min().unwrap_or(0) };
        Spread {
            key: constraint.topology_key.clone(),
            counts,
            skew_max: i64::from(constraint.max_skew),
            least,
            own: i64::from(matches(pod)),
        }
    }

    fn blocker(&self, node: &Node) -> Option<Blocker> {
        let Some(value) = node.offer.labels.get(&self.key) else {
            return Some(Blocker::SpreadLabelMissing);
        };
        let here = self.counts.get(value).copied().unwrap_or(0);
        (here + self.own - self.least > self.skew_max).then_some(Blocker::Spread)
    }
}

/// The selector with `matchLabelKeys` filled in from the pod itself.
fn narrowed(constraint: &TopologySpreadConstraint, pod: &Pod) -> Option<LabelSelector> {
    let mut selector = constraint.label_selector.clone()?;
    let keys = constraint.match_label_keys.iter().flatten();
    let extra = keys.filter_map(|key| {
        Some(LabelSelectorRequirement {
            key: key.clone(),
            operator: "In".into(),
            values: Some(vec![pod.labels.get(key)?.clone()]),
        })
    });
    selector.match_expressions.get_or_insert_default().extend(extra);
    Some(selector)
}

/// Whether a node's pods enter the count (`nodeAffinityPolicy` honours by default, `nodeTaintsPolicy` ignores).
fn counts_for(constraint: &TopologySpreadConstraint, pod: &Pod, node: &Node) -> bool {
    let affinity = constraint.node_affinity_policy.as_deref() == Some("Ignore")
        || filter::node_affinity(pod, &node.offer);
    let taints = constraint.node_taints_policy.as_deref() != Some("Honor")
        || matching::untolerated(
            &node.offer.taints,
            &pod.tolerations,
            &[Effect::NoSchedule, Effect::NoExecute],
        )
        .is_none();
    affinity && taints
}

/// Pods of the same owner per value of a label, for the spread nobody asked for.
pub(crate) fn siblings_by(snapshot: &Snapshot, owner: &Arc<str>, key: &str) -> HashMap<String, i64> {
    let mut counts: HashMap<String, i64> = HashMap::new();
    for node in snapshot.nodes() {
        let here = node.owners.get(owner).copied().unwrap_or(0);
        if here > 0
            && let Some(value) = node.offer.labels.get(key)
        {
            *counts.entry(value.clone()).or_default() += i64::try_from(here).unwrap_or(i64::MAX);
        }
    }
    counts
}
