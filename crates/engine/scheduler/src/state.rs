//! What the scheduler knows, changed by news from the watches and by the fate of its own bindings. No I/O.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::inbox::News;
use crate::node::Offer;
use crate::plan::{self, Decision};
use crate::pod::{Pod, Stage};
use crate::queue::Queue;
use crate::snapshot::{Change, Snapshot};
use crate::view;

#[derive(Debug)]
pub(crate) struct State {
    name: String,
    snapshot: Snapshot,
    queue: Queue,
    /// Pods that are ours to place, by uid.
    unplaced: HashMap<Arc<str>, Arc<Pod>>,
}

impl State {
    pub(crate) fn new(name: String) -> State {
        State { name, snapshot: Snapshot::default(), queue: Queue::default(), unplaced: HashMap::new() }
    }

    pub(crate) fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn namespaces(&mut self, news: News<view::Namespace>, now: Timestamp) {
        for (name, namespace) in news {
            let change = match namespace {
                Some(namespace) => {
                    let labels = namespace.metadata.labels.clone().unwrap_or_default();
                    self.snapshot.upsert_namespace(name.into(), labels)
                }
                None => {
                    self.snapshot.remove_namespace(&name);
                    Change::Namespace
                }
            };
            self.queue.wake(change, now);
        }
    }

    pub(crate) fn nodes(&mut self, news: News<view::Node>, now: Timestamp) {
        for (name, node) in news {
            let Some(node) = node else {
                self.snapshot.remove_node(&name);
                self.queue.wake(Change::PodLeft, now);
                continue;
            };
            match Offer::parse(&node.metadata, &node.spec, &node.status) {
                Ok(offer) => {
                    let change = self.snapshot.upsert_node(offer);
                    self.queue.wake(change, now);
                }
                Err(error) => {
                    tracing::warn!(node = name, %error, "a node's amounts cannot be read; nothing is placed there");
                    self.snapshot.remove_node(&name);
                }
            }
        }
    }

    pub(crate) fn pods(&mut self, news: News<view::Pod>, now: Timestamp) {
        for (uid, pod) in news {
            let change = match pod {
                Some(pod) => self.pod(&pod),
                None => {
                    self.unplaced.remove(&*uid);
                    self.queue.remove(&uid);
                    self.snapshot.remove_pod(&uid)
                }
            };
            self.queue.wake(change, now);
        }
    }

    fn pod(&mut self, object: &view::Pod) -> Change {
        let pod = match Pod::parse(&object.metadata, &object.spec, &object.status) {
            Ok(pod) => Arc::new(pod),
            Err(error) => {
                let name = object.metadata.name.as_deref().unwrap_or_default();
                tracing::warn!(pod = name, %error, "a pod's requests cannot be read; it is not placed");
                return Change::Nothing;
            }
        };
        let ours = object.spec.scheduler_name.as_deref().is_none_or(|name| name == self.name);
        if pod.node.is_some() || pod.stage != Stage::Open || !ours {
            self.unplaced.remove(&pod.uid);
            self.queue.remove(&pod.uid);
            return self.snapshot.upsert_pod(pod);
        }
        self.unplaced.insert(Arc::clone(&pod.uid), Arc::clone(&pod));
        if self.snapshot.is_placed(&pod.uid) {
            return Change::Nothing;
        }
        let before = self.queue.get(&pod.uid).cloned();
        match before {
            Some(before) if same_wishes(&before, &pod) => {
                self.queue.refresh(&pod);
            }
            Some(_) | None => self.queue.add(pod),
        }
        Change::Nothing
    }

    /// Decides about the next few ready pods. A refused one waits in the queue already when this returns.
    pub(crate) fn decide(&mut self, most: usize, now: Timestamp) -> Vec<Decision> {
        let pods = self.queue.take(most);
        let decisions = plan::plan(&mut self.snapshot, pods);
        for decision in &decisions {
            if let Decision::Hold { pod, refusal } = decision {
                self.queue.refused(Arc::clone(pod), refusal.clone(), now);
            }
        }
        decisions
    }

    /// The API did not take a placement.
    pub(crate) fn not_bound(&mut self, uid: &str, now: Timestamp) {
        let change = self.snapshot.forget(uid);
        self.queue.wake(change, now);
        if let Some(pod) = self.unplaced.get(uid) {
            self.queue.failed(Arc::clone(pod), now);
        }
    }
}

/// Whether nothing changed that could lead to another decision.
fn same_wishes(a: &Pod, b: &Pod) -> bool {
    a.labels == b.labels
        && a.requests == b.requests
        && a.node_selector == b.node_selector
        && a.tolerations == b.tolerations
        && a.affinity == b.affinity
        && a.spread == b.spread
        && a.priority == b.priority
}

#[cfg(test)]
mod tests;
