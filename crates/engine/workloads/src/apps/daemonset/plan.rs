//! Where daemon pods are missing, which are too many or too old, and what to report.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::apps::amount::{self, Rounding};
use crate::apps::daemonset::placement::{self, Fit, Wishes};
use crate::view::pod::Phase;
use crate::view::{DaemonSet, DaemonSetStatus, Node, Pod};

/// Names the template a pod was made from.
pub const HASH: &str = "controller-revision-hash";
const BURST: usize = 250;

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Nodes that need a pod.
    pub create: Vec<String>,
    /// Names and uids of pods to delete.
    pub delete: Vec<(String, String)>,
    /// The new status, if it differs from the old.
    pub status: Option<DaemonSetStatus>,
    pub again_at: Option<Timestamp>,
    /// An update that this program does not do.
    pub refused: Option<&'static str>,
}

/// How pods of an older template are replaced.
enum Update {
    Rolling { unavailable_max: i32 },
    OnDelete,
    Surge,
}

/// `pods` are those the set owns; `hash` names its present template.
pub fn plan(
    set: &DaemonSet,
    wishes: &Wishes,
    nodes: &[&Node],
    pods: &[&Pod],
    hash: &str,
    now: Timestamp,
) -> Plan {
    let mut by_node: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in pods {
        by_node.entry(placement::target(pod).unwrap_or_default()).or_default().push(pod);
    }
    for pods in by_node.values_mut() {
        pods.sort_by_key(|pod| (pod.node().is_none(), pod.created(), pod.name().to_owned()));
    }
    let fits: Vec<(&Node, Fit)> = nodes.iter().map(|node| (*node, wishes.fit(node))).collect();
    let mut plan = Plan::default();
    if !set.is_leaving() {
        for (node, fit) in &fits {
            plan.one(node.name(), *fit, by_node.get(node.name()).map_or(&[], Vec::as_slice));
        }
        if plan.create.is_empty() && plan.delete.is_empty() {
            plan.update(set, &fits, &by_node, hash, now);
        }
        plan.create.truncate(BURST);
        plan.delete.truncate(BURST);
    }
    let status = status(set, &fits, &by_node, hash, now);
    plan.status = (status != set.status).then_some(status);
    let moments = pods.iter().filter_map(|pod| pod.available_from(min_ready(set)));
    plan.again_at = moments.filter(|from| *from > now).min();
    plan
}

fn min_ready(set: &DaemonSet) -> Duration {
    Duration::from_secs(u64::try_from(set.spec.min_ready_seconds).unwrap_or(0))
}

fn deletion(pod: &Pod) -> (String, String) {
    (pod.name().to_owned(), pod.uid().to_owned())
}

impl Plan {
    fn one(&mut self, node: &str, fit: Fit, pods: &[&Pod]) {
        let staying = pods.iter().filter(|pod| !pod.is_leaving());
        match fit {
            Fit::Run if pods.is_empty() => self.create.push(node.to_owned()),
            Fit::Run | Fit::Stay => {
                let (ended, running): (Vec<&Pod>, Vec<&Pod>) =
                    staying.copied().partition(|pod| pod.is_finished());
                self.delete.extend(ended.into_iter().map(deletion));
                self.delete.extend(running.into_iter().skip(1).map(deletion));
            }
            Fit::Never => self.delete.extend(staying.map(|pod| deletion(pod))),
        }
    }

    /// Takes old pods away as far as availability allows; those that serve nobody first.
    fn update(
        &mut self,
        set: &DaemonSet,
        fits: &[(&Node, Fit)],
        by_node: &BTreeMap<&str, Vec<&Pod>>,
        hash: &str,
        now: Timestamp,
    ) {
        let wanted: Vec<&str> =
            fits.iter().filter(|(_, fit)| *fit == Fit::Run).map(|(n, _)| n.name()).collect();
        let unavailable_max = match update_of(set, count(wanted.len())) {
            Update::Rolling { unavailable_max } => unavailable_max,
            Update::OnDelete => return,
            Update::Surge => {
                self.refused = Some("maxSurge of a DaemonSet is not supported: use maxUnavailable");
                return;
            }
        };
        let (mut idle, mut serving, mut unavailable) = (Vec::new(), Vec::new(), 0);
        for node in &wanted {
            let pod = by_node.get(node).into_iter().flatten().find(|pod| !pod.is_leaving());
            let available = pod.is_some_and(|pod| pod.is_available(min_ready(set), now));
            unavailable += i32::from(!available);
            if let Some(pod) = pod.filter(|pod| pod.label(HASH) != Some(hash)) {
                if available { serving.push(*pod) } else { idle.push(*pod) }
            }
        }
        let room = usize::try_from(unavailable_max - unavailable).unwrap_or(0);
        self.delete.extend(idle.into_iter().map(deletion));
        self.delete.extend(serving.into_iter().take(room).map(deletion));
    }
}

fn update_of(set: &DaemonSet, wanted: i32) -> Update {
    if set.spec.update_strategy.r#type.as_deref() == Some("OnDelete") {
        return Update::OnDelete;
    }
    let rolling = set.spec.update_strategy.rolling_update.as_ref();
    let surge = rolling.and_then(|r| r.max_surge.as_ref()).map_or(0, |s| amount::of(s, wanted, Rounding::Up));
    if surge > 0 {
        return Update::Surge;
    }
    let one = IntOrString::Int(1);
    let most = rolling.and_then(|r| r.max_unavailable.as_ref()).unwrap_or(&one);
    Update::Rolling { unavailable_max: amount::of(most, wanted, Rounding::Up).max(1) }
}

fn status(
    set: &DaemonSet,
    fits: &[(&Node, Fit)],
    by_node: &BTreeMap<&str, Vec<&Pod>>,
    hash: &str,
    now: Timestamp,
) -> DaemonSetStatus {
    let mut status = DaemonSetStatus {
        observed_generation: set.generation(),
        collision_count: set.status.collision_count,
        ..DaemonSetStatus::default()
    };
    for (node, fit) in fits {
        let pods = by_node.get(node.name()).map_or(&[][..], Vec::as_slice);
        if *fit != Fit::Run {
            status.number_misscheduled += i32::from(pods.iter().any(|pod| pod.status.phase != Phase::Failed));
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = pods.first() else { continue };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(pod.is_ready());
        status.number_available += i32::from(pod.is_available(min_ready(set), now));
        status.updated_number_scheduled += i32::from(pod.label(HASH) == Some(hash));
    }
    status.number_unavailable = status.desired_number_scheduled - status.number_available;
    status
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
