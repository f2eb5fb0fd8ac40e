//! Carries out the plan of one DaemonSet.

use std::sync::Arc;

use muster_base::clock::elapsed;
use muster_control::events::{Note, Severity};
use muster_control::rest::{PatchKind, Removal};
use muster_control::{Cause, Informer, ObjectKey, Outcome, Pass, Queue};
use serde_json::{Value, json};

use crate::apps::claim;
use crate::apps::daemonset::owner;
use crate::apps::daemonset::placement::{self, Wishes};
use crate::apps::daemonset::plan::{self, HASH};
use crate::apps::deployment::revision;
use crate::apps::replicaset::pass::{by_controller, controller_named, observe, orphan_in};
use crate::expectations::Expectations;
use crate::index::Index;
use crate::kit::{self, DAEMON_SETS, Kit, PODS, WriteError};
use crate::view::{DaemonSet, Node, Pod};

pub(crate) struct DaemonSets {
    kit: Kit,
    sets: Informer<DaemonSet>,
    nodes: Informer<Node>,
    pods_of: Index<Pod>,
    orphans_in: Index<Pod>,
    expectations: Arc<Expectations>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    #[error("the template of the daemon set {name:?} cannot be read")]
    Template { name: String, source: serde_json::Error },
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl DaemonSets {
    pub(crate) fn new(
        kit: Kit,
        sets: &Informer<DaemonSet>,
        pods: &Informer<Pod>,
        nodes: &Informer<Node>,
        queue: &Queue<ObjectKey>,
    ) -> DaemonSets {
        let expectations: Arc<Expectations> = Arc::default();
        let this = DaemonSets {
            kit,
            sets: sets.clone(),
            nodes: nodes.clone(),
            pods_of: Index::over(pods, by_controller),
            orphans_in: Index::over(pods, orphan_in),
            expectations: Arc::clone(&expectations),
        };
        let added = queue.clone();
        sets.on_change(move |change| added.add(change.key.clone(), Cause::Watch));
        let added = queue.clone();
        pods.on_change(move |change| {
            observe(change, &expectations);
            for pod in change.old.iter().chain(&change.new) {
                if let Some(name) = controller_named(pod, "DaemonSet") {
                    added.add(ObjectKey::namespaced(pod.namespace(), name), Cause::Watch);
                }
            }
        });
        let (added, known) = (queue.clone(), sets.clone());
        nodes.on_change(move |change| {
            let (old, new) = (change.old.as_deref(), change.new.as_deref());
            let same = old.zip(new).is_some_and(|(old, new)| {
                old.metadata.labels == new.metadata.labels && old.spec.taints == new.spec.taints
            });
            if !same {
                for set in known.list() {
                    added.add(ObjectKey::of(&*set), Cause::Watch);
                }
            }
        });
        this
    }

    async fn create(&self, set: &DaemonSet, node: &str, hash: &str) -> Result<(), WriteError> {
        self.expectations.creation(set.uid(), self.kit.clock.now());
        match self.kit.create(PODS, set.namespace(), &pod_of(set, node, hash)).await {
            Ok(pod) => {
                let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                self.tell(set, Severity::Normal, "SuccessfulCreate", &format!("Created pod: {name}")).await;
                Ok(())
            }
            Err(error) => {
                self.expectations.created(set.uid());
                if error.is_namespace_ending() {
                    return Ok(());
                }
                let message = format!("Error creating: {}", error.words());
                self.tell(set, Severity::Warning, "FailedCreate", &message).await;
                Err(error)
            }
        }
    }

    async fn delete(&self, set: &DaemonSet, name: &str, uid: &str) -> Result<(), WriteError> {
        self.expectations.deletion(set.uid(), uid, self.kit.clock.now());
        let removal = Removal { uid: Some(uid), ..Removal::default() };
        let result = self.kit.delete(PODS, set.namespace(), name, &removal).await;
        match &result {
            Ok(()) => {
                self.tell(set, Severity::Normal, "SuccessfulDelete", &format!("Deleted pod: {name}")).await;
            }
            Err(_) => self.expectations.deleted(set.uid(), uid),
        }
        result
    }

    async fn tell(&self, set: &DaemonSet, severity: Severity, reason: &str, message: &str) {
        let about = kit::reference("apps/v1", "DaemonSet", set);
        self.kit.tell(&about, Note { severity, reason, message }).await;
    }

    async fn adopt(&self, set: &DaemonSet, pods: &[Arc<Pod>]) -> Result<Vec<Arc<Pod>>, WriteError> {
        let claims = claim::claim(owner(set), pods.iter().map(|pod| &**pod));
        let bodies = claims.adopt.iter().map(|pod| (pod, claim::adoption(owner(set), pod.uid())));
        let bodies =
            bodies.chain(claims.release.iter().map(|pod| (pod, claim::release(owner(set), pod.uid()))));
        for (pod, body) in bodies {
            self.kit.patch(PODS, set.namespace(), pod.name(), PatchKind::Strategic, &body).await?;
        }
        let own: Vec<&str> = claims.own.iter().chain(&claims.adopt).map(|pod| pod.uid()).collect();
        Ok(pods.iter().filter(|pod| own.contains(&pod.uid())).cloned().collect())
    }
}

fn pod_of(set: &DaemonSet, node: &str, hash: &str) -> Value {
    let template = &set.spec.template;
    let part =
        |name: &str| template.pointer(&format!("/metadata/{name}")).cloned().unwrap_or_else(|| json!({}));
    let mut labels = part("labels");
    labels[HASH] = json!(hash);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": format!("{}-", set.name()),
            "namespace": set.namespace(),
            "labels": labels, "annotations": part("annotations"),
            "ownerReferences": [claim::reference(owner(set))],
        },
        "spec": placement::tied(template, node),
    })
}

impl Pass for DaemonSets {
    type Key = ObjectKey;
    type Error = DaemonError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, DaemonError> {
        let Some(set) = self.sets.get(key) else { return Ok(Outcome::IDLE) };
        let wishes = Wishes::of(&set.spec.template)
            .map_err(|source| DaemonError::Template { name: set.name().to_owned(), source })?;
        let mut pods = self.pods_of.get(set.uid());
        pods.extend(self.orphans_in.get(set.namespace()));
        let pods = self.adopt(&set, &pods).await?;
        let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
        let nodes = self.nodes.list();
        let nodes: Vec<&Node> = nodes.iter().map(|node| &**node).collect();
        let hash = revision::hash(&set.spec.template, set.status.collision_count.unwrap_or(0));
        let now = self.kit.clock.now();
        let plan = plan::plan(&set, &wishes, &nodes, &pods, &hash, now);
        if let Some(status) = &plan.status {
            let body = json!({"metadata": {"uid": set.uid()}, "status": status});
            let name = format!("{}/status", set.name());
            self.kit.patch(DAEMON_SETS, set.namespace(), &name, PatchKind::Merge, &body).await?;
        }
        if let Some(refused) = plan.refused {
            self.tell(&set, Severity::Warning, "UpdateRefused", refused).await;
        }
        let wait = self.expectations.wait(set.uid(), now);
        if wait.is_none() {
            for (name, uid) in &plan.delete {
                self.delete(&set, name, uid).await?;
            }
            for node in &plan.create {
                self.create(&set, node, &hash).await?;
            }
        }
        let idle = plan.status.is_none() && plan.create.is_empty() && plan.delete.is_empty();
        let outcome = if idle { Outcome::IDLE } else { Outcome::ACTED };
        let next = wait.into_iter().chain(plan.again_at.map(|at| elapsed(now, at))).min();
        Ok(next.map_or(outcome, |wait| outcome.again_after(wait)))
    }
}
