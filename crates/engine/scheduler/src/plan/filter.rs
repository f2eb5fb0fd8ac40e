//! Whether one pod may go to one node, and every reason why not.

use k8s_openapi::api::core::v1::{Taint, Toleration};
use muster_control::matching::{self, Effect};

use crate::node::{Cordon, Node, Offer};
use crate::plan::topology::Rules;
use crate::pod::Pod;
use crate::refusal::Blocker;

/// Empty when the pod may go there. The first kind of obstacle found is told; lacking amounts are told all at once.
pub(crate) fn blockers(pod: &Pod, node: &Node, rules: &Rules) -> Vec<Blocker> {
    if let Some(blocker) = by_offer(pod, &node.offer) {
        return vec![blocker];
    }
    if node.clashes(&pod.ports) {
        return vec![Blocker::Ports];
    }
    let lacking = lacking(pod, node);
    if !lacking.is_empty() {
        return lacking;
    }
    rules.blocker(node).into_iter().collect()
}

fn by_offer(pod: &Pod, offer: &Offer) -> Option<Blocker> {
    if offer.cordon == Cordon::Cordoned && !tolerates_cordon(&pod.tolerations) {
        return Some(Blocker::Cordoned);
    }
    if pod.node.as_ref().is_some_and(|name| *name != offer.name) {
        return Some(Blocker::NodeName);
    }
    let repelling = [Effect::NoSchedule, Effect::NoExecute];
    if matching::untolerated(&offer.taints, &pod.tolerations, &repelling).is_some() {
        return Some(Blocker::Taint);
    }
    (!node_affinity(pod, offer)).then_some(Blocker::NodeAffinity)
}

fn tolerates_cordon(tolerations: &[Toleration]) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        value: None,
        time_added: None,
    };
    tolerations.iter().any(|toleration| matching::covers(toleration, &taint))
}

/// `nodeSelector` and required node affinity.
pub(crate) fn node_affinity(pod: &Pod, offer: &Offer) -> bool {
    let required = pod
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|rule| rule.required_during_scheduling_ignored_during_execution.as_ref());
    matching::has_all(&pod.node_selector, &offer.labels)
        && required.is_none_or(|selector| matching::node_matches(selector, &offer.name, &offer.labels))
}

fn lacking(pod: &Pod, node: &Node) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    if node.pods.len() + 1 > node.offer.pods_max {
        blockers.push(Blocker::TooManyPods);
    }
    let names = node.offer.allocatable.lacking(&node.used, &pod.requests);
    blockers.extend(names.into_iter().map(|name| Blocker::Insufficient(name.to_owned())));
    blockers
}
