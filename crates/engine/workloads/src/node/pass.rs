//! Carries out what is decided about nodes as a whole and about the pods on failing ones. One key: all nodes, because
//! whether anybody may be moved depends on how many fail together.

use std::sync::Arc;

use jiff::Timestamp;
use muster_base::clock::{SharedClock, elapsed};
use muster_control::events::{Note, Severity};
use muster_control::rest::{PatchKind, Removal};
use muster_control::{Cause, Informer, ObjectKey, Outcome, Pass, Queue};
use parking_lot::Mutex;
use serde_json::json;

use crate::apps::condition;
use crate::index::Index;
use crate::kit::{self, Kit, NODES, PODS, WriteError};
use crate::node::lifecycle::{self, Act, Heartbeats, Limits};
use crate::node::{addresses, eviction, orphans};
use crate::view::{Lease, Node, Pod};

/// Leases of nodes stand here (KEP-589).
const LEASES: &str = "kube-node-lease";

fn everything() -> ObjectKey {
    ObjectKey::cluster("nodes")
}

pub(crate) fn on_node(pod: &Pod) -> Option<String> {
    pod.node().map(str::to_owned)
}

pub(crate) struct Lifecycle {
    kit: Kit,
    limits: Limits,
    nodes: Informer<Node>,
    pods_on: Arc<Index<Pod>>,
    heartbeats: Arc<Mutex<Heartbeats>>,
    evicted_at: Mutex<Option<Timestamp>>,
    held: Mutex<Vec<String>>,
}

impl Lifecycle {
    pub(crate) fn new(
        kit: Kit,
        limits: Limits,
        nodes: &Informer<Node>,
        leases: &Informer<Lease>,
        pods_on: Arc<Index<Pod>>,
        queue: &Queue<ObjectKey>,
    ) -> Lifecycle {
        let heartbeats: Arc<Mutex<Heartbeats>> = Arc::default();
        let (seen, clock, known): (_, SharedClock, _) =
            (Arc::clone(&heartbeats), kit.clock.clone(), nodes.clone());
        let added = queue.clone();
        leases.on_change(move |change| {
            let Some(lease) = change.new.as_ref().filter(|_| change.key.namespace == LEASES) else { return };
            seen.lock().note(lease.name(), lease.spec.renew_time, clock.now());
            // A node that was given up and speaks again is looked at at once.
            let unknown = known.get(&ObjectKey::cluster(lease.name()));
            if unknown.is_some_and(|node| node.readiness() != crate::view::node::Readiness::Ready) {
                added.add(everything(), Cause::Watch);
            }
        });
        let added = queue.clone();
        let (reported, clock) = (Arc::clone(&heartbeats), kit.clock.clone());
        nodes.on_change(move |change| {
            if let (Some(old), Some(new)) = (&change.old, &change.new) {
                reported.lock().reported(old, new, clock.now());
            }
            added.add(everything(), Cause::Watch);
        });
        Lifecycle {
            kit,
            limits,
            nodes: nodes.clone(),
            pods_on,
            heartbeats,
            evicted_at: Mutex::default(),
            held: Mutex::default(),
        }
    }

    async fn act(&self, act: &Act) -> Result<usize, WriteError> {
        match act {
            Act::Unknown { node, conditions } => {
                let body = json!({"status": {"conditions": conditions}});
                self.kit.patch(NODES, "", &format!("{node}/status"), PatchKind::Strategic, &body).await?;
                self.tell(node, "NodeNotReady", &format!("Node {node} status is now: NodeNotReady")).await;
                Ok(1)
            }
            Act::Taints { node, resource_version, taints } => {
                let body =
                    json!({"metadata": {"resourceVersion": resource_version}, "spec": {"taints": taints}});
                self.kit.patch(NODES, "", node, PatchKind::Merge, &body).await?;
                Ok(1)
            }
            Act::PodsNotReady { node } => self.pods_not_ready(node).await,
        }
    }

    async fn pods_not_ready(&self, node: &str) -> Result<usize, WriteError> {
        let pods = self.pods_on.get(node);
        let ready = pods.iter().filter(|pod| pod.is_ready());
        let mut told = 0;
        for pod in ready {
            let now = self.kit.clock.now();
            let mut failed =
                condition::new("Ready", "False", "NodeNotReady", "The pod's node is not ready.".into(), now);
            failed.last_update_time = None;
            let body = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [failed]}});
            let name = format!("{}/status", pod.name());
            match self.kit.patch(PODS, pod.namespace(), &name, PatchKind::Strategic, &body).await {
                Ok(_) => told += 1,
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(told)
    }

    async fn tell(&self, node: &str, reason: &str, message: &str) {
        let Some(node) = self.nodes.get(&ObjectKey::cluster(node)) else { return };
        let about = kit::reference("v1", "Node", &*node);
        self.kit.tell(&about, Note { severity: Severity::Normal, reason, message }).await;
    }
}

impl Pass for Lifecycle {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, _: &ObjectKey) -> Result<Outcome, WriteError> {
        let nodes = self.nodes.list();
        let nodes: Vec<&Node> = nodes.iter().map(|node| &**node).collect();
        let now = self.kit.clock.now();
        let plan = {
            let mut heartbeats = self.heartbeats.lock();
            heartbeats.retain(|name| nodes.iter().any(|node| node.name() == name));
            lifecycle::plan(&nodes, &heartbeats, self.limits, *self.evicted_at.lock(), now)
        };
        let held_before = std::mem::replace(&mut *self.held.lock(), plan.held.clone());
        if plan.held.is_empty() && !held_before.is_empty() {
            tracing::info!("pods are moved off failing nodes again");
        } else if plan.held != held_before {
            tracing::warn!(zones = ?plan.held, "zones in which so many nodes fail that no pods are moved");
        }
        *self.evicted_at.lock() = plan.evicted_at;
        let mut acted = 0;
        for act in &plan.acts {
            acted += self.act(act).await?;
        }
        let outcome = if acted == 0 { Outcome::IDLE } else { Outcome::ACTED };
        Ok(plan.again_at.map_or(outcome, |at| outcome.again_after(elapsed(now, at))))
    }
}

/// Moves pods off nodes whose taints they do not bear.
pub(crate) struct Eviction {
    kit: Kit,
    nodes: Informer<Node>,
    pods_on: Arc<Index<Pod>>,
}

impl Eviction {
    pub(crate) fn new(
        kit: Kit,
        nodes: &Informer<Node>,
        pods: &Informer<Pod>,
        pods_on: Arc<Index<Pod>>,
        queue: &Queue<ObjectKey>,
    ) -> Eviction {
        let added = queue.clone();
        nodes.on_change(move |change| added.add(change.key.clone(), Cause::Watch));
        let added = queue.clone();
        pods.on_change(move |change| {
            let came = change.old.as_ref().and_then(|pod| pod.node()).is_none();
            if let Some(node) = change.new.as_ref().and_then(|pod| pod.node()).filter(|_| came) {
                added.add(ObjectKey::cluster(node), Cause::Watch);
            }
        });
        Eviction { kit, nodes: nodes.clone(), pods_on }
    }

    async fn evict(&self, namespace: &str, name: &str, uid: &str) -> Result<(), WriteError> {
        let now = self.kit.clock.now();
        let mut target = condition::new(
            "DisruptionTarget",
            "True",
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint".into(),
            now,
        );
        target.last_update_time = None;
        let body = json!({"metadata": {"uid": uid}, "status": {"conditions": [target]}});
        let patched =
            self.kit.patch(PODS, namespace, &format!("{name}/status"), PatchKind::Strategic, &body).await;
        if let Err(error) = patched
            && !error.is_not_found()
            && !error.is_conflict()
        {
            return Err(error);
        }
        let removal = Removal { uid: Some(uid), ..Removal::default() };
        self.kit.delete(PODS, namespace, name, &removal).await
    }
}

impl Pass for Eviction {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, WriteError> {
        let Some(node) = self.nodes.get(key) else { return Ok(Outcome::IDLE) };
        let pods = self.pods_on.get(node.name());
        let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
        let now = self.kit.clock.now();
        let plan = eviction::plan(&[&node], &pods, now);
        for (namespace, name, uid) in &plan.leave {
            self.evict(namespace, name, uid).await?;
        }
        let outcome = if plan.leave.is_empty() { Outcome::IDLE } else { Outcome::ACTED };
        Ok(plan.again_at.map_or(outcome, |at| outcome.again_after(elapsed(now, at))))
    }
}

/// Gives each node its range of pod addresses.
pub(crate) struct Addresses {
    kit: Kit,
    range: addresses::Range,
    nodes: Informer<Node>,
}

impl Addresses {
    pub(crate) fn new(
        kit: Kit,
        range: addresses::Range,
        nodes: &Informer<Node>,
        queue: &Queue<ObjectKey>,
    ) -> Addresses {
        let added = queue.clone();
        nodes.on_change(move |change| {
            let waits = change.new.as_ref().is_some_and(|node| node.spec.pod_cidr.is_none());
            if waits || change.new.is_none() {
                added.add(everything(), Cause::Watch);
            }
        });
        Addresses { kit, range, nodes: nodes.clone() }
    }
}

impl Pass for Addresses {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, _: &ObjectKey) -> Result<Outcome, WriteError> {
        let nodes = self.nodes.list();
        let plan = addresses::plan(&nodes.iter().map(|node| &**node).collect::<Vec<_>>(), self.range);
        for (node, range) in &plan.assign {
            // A range cannot be changed once set: a stale view is refused by the API server.
            let body = json!({"spec": {"podCIDR": range, "podCIDRs": [range]}});
            match self.kit.patch(NODES, "", node, PatchKind::Merge, &body).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        if !plan.exhausted.is_empty() {
            tracing::error!(nodes = ?plan.exhausted, "no range of pod addresses is left for these nodes");
        }
        Ok(if plan.assign.is_empty() { Outcome::IDLE } else { Outcome::ACTED })
    }
}

/// Removes pods that nobody will end.
pub(crate) struct Orphans {
    kit: Kit,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    missing: Mutex<orphans::Missing>,
}

impl Orphans {
    pub(crate) fn new(
        kit: Kit,
        nodes: &Informer<Node>,
        pods: &Informer<Pod>,
        queue: &Queue<ObjectKey>,
    ) -> Orphans {
        let added = queue.clone();
        nodes.on_change(move |change| {
            if change.old.is_none() || change.new.is_none() {
                added.add(everything(), Cause::Watch);
            }
        });
        let (added, known) = (queue.clone(), nodes.clone());
        pods.on_change(move |change| {
            let Some(pod) = &change.new else { return };
            let lost = match pod.node() {
                Some(node) => known.get(&ObjectKey::cluster(node)).is_none(),
                None => pod.is_leaving(),
            };
            if lost {
                added.add(everything(), Cause::Watch);
            }
        });
        Orphans { kit, nodes: nodes.clone(), pods: pods.clone(), missing: Mutex::default() }
    }
}

impl Pass for Orphans {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, _: &ObjectKey) -> Result<Outcome, WriteError> {
        let (nodes, pods) = (self.nodes.list(), self.pods.list());
        let nodes: Vec<&Node> = nodes.iter().map(|node| &**node).collect();
        let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
        let now = self.kit.clock.now();
        let plan = orphans::plan(&nodes, &pods, &mut self.missing.lock(), now);
        for (namespace, name, uid) in &plan.remove {
            let removal = Removal { uid: Some(uid), grace_seconds: Some(0), ..Removal::default() };
            self.kit.delete(PODS, namespace, name, &removal).await?;
        }
        let outcome = if plan.remove.is_empty() { Outcome::IDLE } else { Outcome::ACTED };
        Ok(plan.again_at.map_or(outcome, |at| outcome.again_after(elapsed(now, at))))
    }
}
