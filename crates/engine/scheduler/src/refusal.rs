//! Why no node was good enough, in the words that people and tools know from Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::snapshot::Change;

/// What kept a pod off one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blocker {
    Cordoned,
    NodeName,
    Taint,
    NodeAffinity,
    Ports,
    Insufficient(String),
    TooManyPods,
    Spread,
    SpreadLabelMissing,
    PodAffinity,
    PodAntiAffinity,
    ExistingAntiAffinity,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Blocker::Cordoned => "node(s) were unschedulable",
            Blocker::NodeName => "node(s) didn't match the requested node name",
            Blocker::Taint => "node(s) had untolerated taint(s)",
            Blocker::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Blocker::Ports => "node(s) didn't have free ports for the requested pod ports",
            Blocker::Insufficient(name) => return write!(f, "Insufficient {name}"),
            Blocker::TooManyPods => "Too many pods",
            Blocker::Spread => "node(s) didn't match pod topology spread constraints",
            Blocker::SpreadLabelMissing => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
            }
            Blocker::PodAffinity => "node(s) didn't match pod affinity rules",
            Blocker::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Blocker::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
        })
    }
}

impl Blocker {
    /// Whether `change` can have removed this obstacle.
    fn cured_by(&self, change: Change) -> bool {
        match change {
            Change::Nothing => false,
            Change::Node => true,
            Change::Namespace => {
                matches!(
                    self,
                    Blocker::PodAffinity | Blocker::PodAntiAffinity | Blocker::ExistingAntiAffinity
                )
            }
            Change::PodCame => {
                matches!(self, Blocker::PodAffinity | Blocker::Spread | Blocker::SpreadLabelMissing)
            }
            Change::PodLeft => match self {
                Blocker::Ports
                | Blocker::Insufficient(_)
                | Blocker::TooManyPods
                | Blocker::Spread
                | Blocker::PodAntiAffinity
                | Blocker::ExistingAntiAffinity => true,
                Blocker::Cordoned
                | Blocker::NodeName
                | Blocker::Taint
                | Blocker::NodeAffinity
                | Blocker::SpreadLabelMissing
                | Blocker::PodAffinity => false,
            },
        }
    }
}

/// Why a pod has to wait: how many nodes there are, and how many each obstacle ruled out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    pub nodes: usize,
    pub counts: BTreeMap<Blocker, usize>,
}

impl Refusal {
    pub(crate) fn count(&mut self, blockers: Vec<Blocker>) {
        for blocker in blockers {
            *self.counts.entry(blocker).or_default() += 1;
        }
    }

    /// Whether another look is worth it after `change`.
    pub fn cured_by(&self, change: Change) -> bool {
        match change {
            Change::Nothing => false,
            Change::Node => true,
            Change::PodLeft | Change::PodCame | Change::Namespace => {
                self.counts.keys().any(|blocker| blocker.cured_by(change))
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        // Kubernetes sorts the finished texts, so "10 …" stands before "2 …".
        let rows: BTreeSet<String> = self.counts.iter().map(|(why, n)| format!("{n} {why}")).collect();
        let rows: Vec<String> = rows.into_iter().collect();
        write!(f, "0/{} nodes are available: {}.", self.nodes, rows.join(", "))
    }
}
