//! Pods that nobody will ever end: their node is gone, or they are leaving without having had one.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::view::{Node, Pod};

/// How long a node must be missing before its pods are given up; a node may come back under its name.
const QUARANTINE: Duration = Duration::from_secs(40);

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Namespace, name and uid of pods to remove without grace.
    pub remove: Vec<(String, String, String)>,
    pub again_at: Option<Timestamp>,
}

/// Since when each node is missing although pods name it.
#[derive(Debug, Default)]
pub struct Missing(HashMap<String, Timestamp>);

pub fn plan(nodes: &[&Node], pods: &[&Pod], missing: &mut Missing, now: Timestamp) -> Plan {
    let known: HashSet<&str> = nodes.iter().map(|node| node.name()).collect();
    let named: HashSet<&str> = pods.iter().filter_map(|pod| pod.node()).collect();
    missing.0.retain(|node, _| named.contains(node.as_str()) && !known.contains(node.as_str()));
    let mut plan = Plan::default();
    for pod in pods {
        let gone = match pod.node() {
            None => pod.is_leaving(),
            Some(node) if known.contains(node) => false,
            Some(node) => {
                let since = *missing.0.entry(node.to_owned()).or_insert(now);
                let until = since.checked_add(QUARANTINE).unwrap_or(Timestamp::MAX);
                if until > now {
                    plan.again_at = Some(plan.again_at.map_or(until, |at| at.min(until)));
                }
                until <= now
            }
        };
        if gone {
            let text = str::to_owned;
            plan.remove.push((text(pod.namespace()), text(pod.name()), text(pod.uid())));
        }
    }
    plan
}
