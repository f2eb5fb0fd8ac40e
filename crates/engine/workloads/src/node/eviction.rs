//! Which pods a NoExecute taint sends away, and when.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Taint, Toleration};
use muster_control::matching::{self, Effect};

use crate::view::{Node, Pod};

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Namespace, name and uid.
    pub leave: Vec<(String, String, String)>,
    pub again_at: Option<Timestamp>,
}

pub fn plan(nodes: &[&Node], pods: &[&Pod], now: Timestamp) -> Plan {
    let tainted: HashMap<&str, Vec<&Taint>> = nodes
        .iter()
        .map(|node| (node.name(), expelling(node)))
        .filter(|(_, taints)| !taints.is_empty())
        .collect();
    let mut plan = Plan::default();
    for pod in pods.iter().filter(|pod| !pod.is_leaving() && !pod.is_finished()) {
        let Some(taints) = pod.node().and_then(|node| tainted.get(node)) else { continue };
        match stays_until(taints, &pod.spec.tolerations, now) {
            None => {}
            Some(until) if until <= now => {
                let text = str::to_owned;
                plan.leave.push((text(pod.namespace()), text(pod.name()), text(pod.uid())));
            }
            Some(until) => plan.again_at = Some(plan.again_at.map_or(until, |at| at.min(until))),
        }
    }
    plan
}

fn expelling(node: &Node) -> Vec<&Taint> {
    node.spec.taints.iter().filter(|taint| Effect::of(taint) == Some(Effect::NoExecute)).collect()
}

/// `None` for ever. The shortest patience counts, from the moment its taint came.
fn stays_until(taints: &[&Taint], tolerations: &[Toleration], now: Timestamp) -> Option<Timestamp> {
    taints.iter().filter_map(|taint| patience(taint, tolerations, now)).min()
}

fn patience(taint: &Taint, tolerations: &[Toleration], now: Timestamp) -> Option<Timestamp> {
    let covering: Vec<&Toleration> =
        tolerations.iter().filter(|toleration| matching::covers(toleration, taint)).collect();
    if covering.is_empty() {
        return Some(now);
    }
    let since = taint.time_added.as_ref().map_or(now, |time| time.0);
    let seconds = covering.iter().filter_map(|toleration| toleration.toleration_seconds).min()?;
    let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Some(since.checked_add(wait).unwrap_or(Timestamp::MAX))
}
