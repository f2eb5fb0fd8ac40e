//! What follows from a node's conditions and from its silence. Decides about nodes; [`super::eviction`] about pods.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::view::node::Readiness;
use crate::view::{Condition, Node};

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const CORDONED: &str = "node.kubernetes.io/unschedulable";
/// Conditions that keep new pods away while they are true.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
const SPOKEN_FOR: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Silence after which a node's state is unknown.
    pub silence: Duration,
    /// The same for a node that has never reported.
    pub first_report: Duration,
    /// Between two nodes whose pods are told to leave.
    pub between_evictions: Duration,
    /// A zone with at least this share of its nodes failing (and three of them) looks like a cut network.
    pub disrupted_percent: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            silence: Duration::from_secs(40),
            first_report: Duration::from_secs(60),
            between_evictions: Duration::from_secs(10),
            disrupted_percent: 55,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// The node is silent: its conditions are unknown now.
    Unknown { node: String, conditions: Vec<Condition> },
    /// The complete new list.
    Taints { node: String, resource_version: Option<String>, taints: Vec<Taint> },
    /// Pods of a node that is not ready serve nobody.
    PodsNotReady { node: String },
}

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub acts: Vec<Act>,
    pub again_at: Option<Timestamp>,
    /// When a node was last told to let its pods go.
    pub evicted_at: Option<Timestamp>,
    /// Zones in which nobody is moved, because it looks as if the network were cut.
    pub held: Vec<String>,
}

/// When each node was last heard, by this program's own clock: clocks of nodes may be wrong.
#[derive(Debug, Default)]
pub struct Heartbeats(HashMap<String, (Option<Timestamp>, Timestamp)>);

impl Heartbeats {
    /// Notes a lease; only a renewal that differs from the last counts as a sign of life.
    pub fn note(&mut self, node: &str, renewed: Option<Timestamp>, now: Timestamp) {
        match self.0.get_mut(node) {
            Some((last, heard)) if *last != renewed => (*last, *heard) = (renewed, now),
            Some(_) => {}
            None => {
                self.0.insert(node.to_owned(), (renewed, now));
            }
        }
    }

    /// Notes a node's own report, which is a sign of life as well. What was concluded from silence is none.
    pub fn reported(&mut self, old: &Node, new: &Node, now: Timestamp) {
        let ready = |node: &Node| node.status.conditions.iter().find(|c| c.r#type == "Ready").cloned();
        let said = ready(new).filter(|condition| condition.status != "Unknown");
        if said.is_none() || said == ready(old) {
            return;
        }
        let renewed = self.0.get(new.name()).and_then(|(renewed, _)| *renewed);
        self.0.insert(new.name().to_owned(), (renewed, now));
    }

    pub fn heard(&self, node: &str) -> Option<Timestamp> {
        self.0.get(node).map(|(_, heard)| *heard)
    }

    pub fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.0.retain(|node, _| exists(node));
    }
}

pub fn plan(
    nodes: &[&Node],
    heartbeats: &Heartbeats,
    limits: Limits,
    evicted_at: Option<Timestamp>,
    now: Timestamp,
) -> Plan {
    let states: Vec<(&Node, Readiness)> =
        nodes.iter().map(|node| (*node, judged(node, heartbeats, limits, now))).collect();
    let held = disrupted_zones(&states, limits);
    let mut plan = Plan { evicted_at, held, ..Plan::default() };
    for (node, state) in &states {
        plan.silence(node, *state, now);
        plan.taints(node, *state, limits, now);
        if node.readiness() == Readiness::Ready && *state == Readiness::Ready {
            let deadline = deadline(node, heartbeats, limits);
            plan.look_again(deadline);
        }
    }
    plan
}

fn deadline(node: &Node, heartbeats: &Heartbeats, limits: Limits) -> Option<Timestamp> {
    let reported = node.status.conditions.iter().any(|condition| condition.r#type == "Ready");
    let grace = if reported { limits.silence } else { limits.first_report };
    heartbeats.heard(node.name()).or(node.created())?.checked_add(grace).ok()
}

fn judged(node: &Node, heartbeats: &Heartbeats, limits: Limits, now: Timestamp) -> Readiness {
    match deadline(node, heartbeats, limits) {
        Some(deadline) if deadline <= now => Readiness::Unknown,
        Some(_) | None => node.readiness(),
    }
}

fn zone(node: &Node) -> String {
    node.zone().unwrap_or_default().to_owned()
}

fn disrupted_zones(states: &[(&Node, Readiness)], limits: Limits) -> Vec<String> {
    let mut zones: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (node, state) in states {
        let (failing, all) = zones.entry(zone(node)).or_default();
        *failing += usize::from(*state != Readiness::Ready);
        *all += 1;
    }
    let disrupted = |failing: usize, all: usize| {
        failing == all || (failing > 2 && failing * 100 >= all * limits.disrupted_percent)
    };
    zones.into_iter().filter(|(_, (failing, all))| disrupted(*failing, *all)).map(|(zone, _)| zone).collect()
}

impl Plan {
    fn look_again(&mut self, at: Option<Timestamp>) {
        self.again_at = match (self.again_at, at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn silence(&mut self, node: &Node, state: Readiness, now: Timestamp) {
        let conditions = unknown(node, now);
        if state == Readiness::Unknown && !conditions.is_empty() {
            self.acts.push(Act::Unknown { node: node.name().to_owned(), conditions });
        }
        if state != Readiness::Ready {
            self.acts.push(Act::PodsNotReady { node: node.name().to_owned() });
        }
    }

    fn taints(&mut self, node: &Node, state: Readiness, limits: Limits, now: Timestamp) {
        let mut wanted = no_schedule(node, state);
        let key = state_key(state);
        let held = self.held.contains(&zone(node));
        if let Some(key) = key.filter(|_| !held) {
            if has(node, key, "NoExecute") || has_any_no_execute(node) || self.may_evict(limits, now) {
                if !has_any_no_execute(node) {
                    self.evicted_at = Some(now);
                }
                wanted.push(taint(key, "NoExecute"));
            } else {
                let next = self.evicted_at.and_then(|at| at.checked_add(limits.between_evictions).ok());
                self.look_again(next);
            }
        }
        let taints = merged(node, wanted, now);
        if taints != node.spec.taints {
            self.acts.push(Act::Taints {
                node: node.name().to_owned(),
                resource_version: node.metadata.resource_version.clone(),
                taints,
            });
        }
    }

    fn may_evict(&self, limits: Limits, now: Timestamp) -> bool {
        let next = self.evicted_at.and_then(|at| at.checked_add(limits.between_evictions).ok());
        next.is_none_or(|next| next <= now)
    }
}

fn state_key(state: Readiness) -> Option<&'static str> {
    match state {
        Readiness::Ready => None,
        Readiness::NotReady => Some(NOT_READY),
        Readiness::Unknown => Some(UNREACHABLE),
    }
}

/// The conditions that silence makes unknown, only those that are not yet.
fn unknown(node: &Node, now: Timestamp) -> Vec<Condition> {
    let current = |kind: &str| node.status.conditions.iter().find(|condition| condition.r#type == kind);
    let kinds = SPOKEN_FOR.iter().filter(|kind| current(kind).is_none_or(|c| c.status != "Unknown"));
    kinds
        .map(|kind| {
            let (reason, message) = match current(kind) {
                Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
                None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
            };
            Condition {
                r#type: (*kind).into(),
                status: "Unknown".into(),
                reason: Some(reason.into()),
                message: Some(message.into()),
                last_transition_time: Some(now),
                last_update_time: None,
                last_heartbeat_time: None,
            }
        })
        .collect()
}

fn no_schedule(node: &Node, state: Readiness) -> Vec<Taint> {
    let is_true = |kind: &str| {
        node.status.conditions.iter().any(|condition| condition.r#type == kind && condition.status == "True")
    };
    let pressures = PRESSURES.iter().filter(|(kind, _)| is_true(kind)).map(|(_, key)| *key);
    let cordon = node.spec.unschedulable.then_some(CORDONED);
    let keys = state_key(state).into_iter().chain(pressures).chain(cordon);
    keys.map(|key| taint(key, "NoSchedule")).collect()
}

fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: key.into(), effect: effect.into(), value: None, time_added: None }
}

fn has(node: &Node, key: &str, effect: &str) -> bool {
    node.spec.taints.iter().any(|taint| taint.key == key && taint.effect == effect)
}

fn has_any_no_execute(node: &Node) -> bool {
    has(node, NOT_READY, "NoExecute") || has(node, UNREACHABLE, "NoExecute")
}

fn is_ours(taint: &Taint) -> bool {
    let pressure = PRESSURES.iter().any(|(_, key)| taint.key == *key) || taint.key == CORDONED;
    let state = taint.key == NOT_READY || taint.key == UNREACHABLE;
    (state && (taint.effect == "NoSchedule" || taint.effect == "NoExecute"))
        || (pressure && taint.effect == "NoSchedule")
}

/// The node's list with ours as wanted: what stays keeps its place and its time, other people's are not touched.
fn merged(node: &Node, wanted: Vec<Taint>, now: Timestamp) -> Vec<Taint> {
    let same = |a: &Taint, b: &Taint| a.key == b.key && a.effect == b.effect;
    let stays = |taint: &&Taint| !is_ours(taint) || wanted.iter().any(|w| same(w, taint));
    let mut taints: Vec<Taint> = node.spec.taints.iter().filter(stays).cloned().collect();
    for mut taint in wanted {
        if !taints.iter().any(|have| same(have, &taint)) {
            taint.time_added = Some(Time(now));
            taints.push(taint);
        }
    }
    taints
}

#[cfg(test)]
mod tests;
