//! Keeps the status of one budget.

use std::collections::HashMap;
use std::sync::Arc;

use muster_base::clock::elapsed;
use muster_control::matching::{self, Labels};
use muster_control::rest::PatchKind;
use muster_control::{Cause, Informer, ObjectKey, Outcome, Pass, Queue};
use serde_json::{Value, json};

use crate::apps::replicaset::pass::controller_named;
use crate::budget::plan;
use crate::index::Index;
use crate::kit::{BUDGETS, Kit, WriteError};
use crate::view::{Budget, Deployment, Pod, ReplicaSet};

pub(crate) struct Budgets {
    kit: Kit,
    budgets: Informer<Budget>,
    pods_in: Index<Pod>,
    sets: Informer<ReplicaSet>,
    deployments: Informer<Deployment>,
}

impl Budgets {
    pub(crate) fn new(
        kit: Kit,
        budgets: &Informer<Budget>,
        pods: &Informer<Pod>,
        sets: &Informer<ReplicaSet>,
        deployments: &Informer<Deployment>,
        queue: &Queue<ObjectKey>,
    ) -> Budgets {
        let this = Budgets {
            kit,
            budgets: budgets.clone(),
            pods_in: Index::over(pods, |pod: &Pod| Some(pod.namespace().to_owned())),
            sets: sets.clone(),
            deployments: deployments.clone(),
        };
        let added = queue.clone();
        budgets.on_change(move |change| added.add(change.key.clone(), Cause::Watch));
        let (added, known) = (queue.clone(), budgets.clone());
        let budgets_in = Arc::new(Index::over(&known, |b: &Budget| Some(b.namespace().to_owned())));
        let of_pods = Arc::clone(&budgets_in);
        pods.on_change(move |change| {
            for budget in of_pods.get(&change.key.namespace) {
                if change.old.iter().chain(&change.new).any(|pod| covers(&budget, pod)) {
                    added.add(ObjectKey::of(&*budget), Cause::Watch);
                }
            }
        });
        let added = queue.clone();
        deployments.on_change(move |change| {
            for budget in budgets_in.get(&change.key.namespace) {
                added.add(ObjectKey::of(&*budget), Cause::Watch);
            }
        });
        this
    }

    /// What the pods' controllers want altogether; a pod without a known one counts for itself.
    fn scale(&self, pods: &[&Pod]) -> i32 {
        let mut wanted: HashMap<String, i32> = HashMap::new();
        for pod in pods {
            let set = controller_named(pod, "ReplicaSet")
                .and_then(|name| self.sets.get(&ObjectKey::namespaced(pod.namespace(), name)));
            let deployment = set.as_ref().and_then(|set| {
                let owners = set.metadata.owner_references.as_deref().unwrap_or_default();
                let owner = owners.iter().find(|owner| owner.kind == "Deployment")?;
                self.deployments.get(&ObjectKey::namespaced(pod.namespace(), &owner.name))
            });
            let (uid, replicas) = match (&deployment, &set) {
                (Some(deployment), _) => (deployment.uid(), deployment.replicas()),
                (None, Some(set)) => (set.uid(), set.replicas()),
                (None, None) => (pod.uid(), 1),
            };
            wanted.insert(uid.to_owned(), replicas);
        }
        wanted.values().sum()
    }
}

/// An empty selector covers every pod of the namespace, an absent one none (policy/v1).
fn covers(budget: &Budget, pod: &Pod) -> bool {
    let none = Labels::new();
    let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
    budget.spec.selector.as_ref().is_some_and(|selector| matching::selects(selector, labels))
}

impl Pass for Budgets {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, WriteError> {
        let Some(budget) = self.budgets.get(key).filter(|budget| !budget.is_leaving()) else {
            return Ok(Outcome::IDLE);
        };
        let pods = self.pods_in.get(budget.namespace());
        let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).filter(|pod| covers(&budget, pod)).collect();
        let now = self.kit.clock.now();
        let Some(status) = plan::plan(&budget, &pods, self.scale(&pods), now) else {
            let next = plan::again_at(&budget.status);
            return Ok(next.map_or(Outcome::IDLE, |at| Outcome::IDLE.again_after(elapsed(now, at))));
        };
        // The eviction writes the same status: only on the version that was read. A merge patch drops an entry by null.
        let mut body =
            json!({"metadata": {"resourceVersion": budget.metadata.resource_version}, "status": status});
        for name in budget.status.disrupted_pods.keys() {
            if !status.disrupted_pods.contains_key(name) {
                body["status"]["disruptedPods"][name] = Value::Null;
            }
        }
        let name = format!("{}/status", budget.name());
        self.kit.patch(BUDGETS, budget.namespace(), &name, PatchKind::Merge, &body).await?;
        let next = plan::again_at(&status);
        Ok(next.map_or(Outcome::ACTED, |at| Outcome::ACTED.again_after(elapsed(now, at))))
    }
}
