//! All nodes and placed pods, changed in place by each event; a plan reads it and books into it.

use std::collections::HashMap;
use std::sync::Arc;

use muster_control::matching::Labels;

use crate::node::{Node, Offer};
use crate::pod::{Pod, Stage};

/// What a change may have made possible; decides which waiting pods are worth another look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing that could let a waiting pod in.
    Nothing,
    /// A node came, or offers something else than before.
    Node,
    /// A pod left, finished or shrank: room, ports, distance.
    PodLeft,
    /// A pod was placed or relabelled: company.
    PodCame,
    /// A namespace's labels changed.
    Namespace,
}

#[derive(Debug, Clone)]
struct Placed {
    pod: Arc<Pod>,
    node: Arc<str>,
    sure: Sure,
}

/// Whether the API has confirmed a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sure {
    Assumed,
    Confirmed,
}

#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    nodes: Vec<Node>,
    index: HashMap<Arc<str>, usize>,
    placed: HashMap<Arc<str>, Placed>,
    /// Placed pods that keep others away.
    repelling: HashMap<Arc<str>, Arc<str>>,
    namespaces: HashMap<Arc<str>, Labels>,
    /// Where the next search starts, so that a sample of the nodes is not always the same one.
    pub(crate) cursor: usize,
}

impl Snapshot {
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn node(&self, name: &str) -> Option<&Node> {
        self.index.get(name).map(|&at| &self.nodes[at])
    }

    pub fn namespace(&self, name: &str) -> Option<&Labels> {
        self.namespaces.get(name)
    }

    /// Placed pods with a required anti-affinity, each with its node.
    pub fn repelling(&self) -> impl Iterator<Item = (&Arc<Pod>, &Node)> {
        self.repelling.iter().filter_map(|(uid, node)| {
            let node = self.node(node)?;
            Some((node.pods.get(uid)?, node))
        })
    }

    pub fn upsert_namespace(&mut self, name: Arc<str>, labels: Labels) -> Change {
        match self.namespaces.insert(name, labels.clone()) {
            Some(before) if before == labels => Change::Nothing,
            Some(_) | None => Change::Namespace,
        }
    }

    pub fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    pub fn upsert_node(&mut self, offer: Offer) -> Change {
        if let Some(&at) = self.index.get(&offer.name) {
            if self.nodes[at].offer == offer {
                return Change::Nothing;
            }
            self.nodes[at].offer = offer;
            return Change::Node;
        }
        let name = Arc::clone(&offer.name);
        let mut node = Node::new(offer);
        for placed in self.placed.values().filter(|placed| placed.node == name) {
            node.add(Arc::clone(&placed.pod));
        }
        self.index.insert(name, self.nodes.len());
        self.nodes.push(node);
        Change::Node
    }

    /// Pods on the node stay known: should it come back, they still count.
    pub fn remove_node(&mut self, name: &str) {
        let Some(at) = self.index.remove(name) else { return };
        self.nodes.swap_remove(at);
        if let Some(moved) = self.nodes.get(at) {
            self.index.insert(Arc::clone(&moved.offer.name), at);
        }
    }

    /// Takes over what the API says of a pod.
    pub fn upsert_pod(&mut self, pod: Arc<Pod>) -> Change {
        if !pod.occupies() {
            return self.remove_pod(&pod.uid);
        }
        let Some(node) = pod.node.clone() else { return Change::Nothing };
        let before = self.placed.get(&pod.uid).cloned();
        self.put(pod.clone(), node, Sure::Confirmed);
        match before {
            None => Change::PodCame,
            Some(before) if before.pod.requests != pod.requests => Change::PodLeft,
            Some(before) if before.pod.labels != pod.labels || before.sure == Sure::Assumed => {
                Change::PodCame
            }
            Some(before) if before.pod.stage != pod.stage && pod.stage == Stage::Leaving => Change::PodLeft,
            Some(_) => Change::Nothing,
        }
    }

    pub fn remove_pod(&mut self, uid: &str) -> Change {
        let Some(placed) = self.placed.remove(uid) else { return Change::Nothing };
        self.repelling.remove(uid);
        if let Some(&at) = self.index.get(&placed.node) {
            self.nodes[at].remove(uid);
        }
        Change::PodLeft
    }

    /// Books a pod before the API has confirmed it.
    pub fn assume(&mut self, pod: Arc<Pod>, node: Arc<str>) {
        self.put(pod, node, Sure::Assumed);
    }

    /// Takes back a booking that the API did not accept.
    pub fn forget(&mut self, uid: &str) -> Change {
        match self.placed.get(uid).map(|placed| placed.sure) {
            Some(Sure::Assumed) => self.remove_pod(uid),
            Some(Sure::Confirmed) | None => Change::Nothing,
        }
    }

    pub fn is_placed(&self, uid: &str) -> bool {
        self.placed.contains_key(uid)
    }

    fn put(&mut self, pod: Arc<Pod>, node: Arc<str>, sure: Sure) {
        self.remove_pod(&pod.uid);
        if let Some(&at) = self.index.get(&node) {
            self.nodes[at].add(Arc::clone(&pod));
        }
        if repels(&pod) {
            self.repelling.insert(Arc::clone(&pod.uid), Arc::clone(&node));
        }
        self.placed.insert(Arc::clone(&pod.uid), Placed { pod, node, sure });
    }
}

fn repels(pod: &Pod) -> bool {
    let rules = pod.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    rules
        .and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_ref())
        .is_some_and(|terms| !terms.is_empty())
}
