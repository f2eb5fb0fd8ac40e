//! Carries out the plan of one Deployment.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_base::clock::elapsed;
use muster_control::events::{Note, Severity};
use muster_control::matching;
use muster_control::rest::{PatchKind, Propagation, Removal};
use muster_control::{Cause, Informer, ObjectKey, Outcome, Pass, Queue};
use serde_json::{Value, json};

use crate::apps::claim;
use crate::apps::deployment::plan::{self, Act, OldPods};
use crate::apps::deployment::revision;
use crate::apps::replicaset::pass::{by_controller, controller_named};
use crate::index::Index;
use crate::kit::{self, DEPLOYMENTS, Kit, REPLICA_SETS, WriteError};
use crate::view::{Deployment, Pod, ReplicaSet};

pub(crate) struct Deployments {
    kit: Kit,
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    sets_of: Index<ReplicaSet>,
    orphans_in: Index<ReplicaSet>,
    pods_of: Index<Pod>,
}

fn set_controller(set: &ReplicaSet) -> Option<String> {
    set.controller().map(str::to_owned)
}

fn orphan_set_in(set: &ReplicaSet) -> Option<String> {
    set.controller().is_none().then(|| set.namespace().to_owned())
}

impl Deployments {
    pub(crate) fn new(
        kit: Kit,
        deployments: &Informer<Deployment>,
        sets: &Informer<ReplicaSet>,
        pods: &Informer<Pod>,
        queue: &Queue<ObjectKey>,
    ) -> Deployments {
        let this = Deployments {
            kit,
            deployments: deployments.clone(),
            sets: sets.clone(),
            sets_of: Index::over(sets, set_controller),
            orphans_in: Index::over(sets, orphan_set_in),
            pods_of: Index::over(pods, by_controller),
        };
        let added = queue.clone();
        deployments.on_change(move |change| added.add(change.key.clone(), Cause::Watch));
        let (added, known) = (queue.clone(), deployments.clone());
        sets.on_change(move |change| {
            for set in change.old.iter().chain(&change.new) {
                set_seen(set, &known, &added);
            }
        });
        // Only Recreate waits for pods to end; it is told when one does.
        let (added, known) = (queue.clone(), sets.clone());
        pods.on_change(move |change| {
            let ended = change.new.as_ref().is_none_or(|pod| pod.is_finished());
            let set = change.old.iter().find_map(|pod| {
                let name = controller_named(pod, "ReplicaSet")?;
                known.get(&ObjectKey::namespaced(pod.namespace(), name))
            });
            if let Some(set) = set.filter(|_| ended)
                && let Some(name) = deployment_of(&set)
            {
                added.add(ObjectKey::namespaced(set.namespace(), name), Cause::Watch);
            }
        });
        this
    }

    /// The sets that are the deployment's, after taking over and letting go what the selector says.
    async fn own(&self, deployment: &Deployment) -> Result<(Vec<Arc<ReplicaSet>>, bool), WriteError> {
        let mut sets = self.sets_of.get(deployment.uid());
        sets.extend(self.orphans_in.get(deployment.namespace()));
        let owner = revision::owner(deployment);
        let claims = claim::claim(owner, sets.iter().map(|set| &**set));
        let bodies = claims.adopt.iter().map(|set| (set, claim::adoption(owner, set.uid())));
        let bodies = bodies.chain(claims.release.iter().map(|set| (set, claim::release(owner, set.uid()))));
        for (set, body) in bodies {
            self.kit
                .patch(REPLICA_SETS, deployment.namespace(), set.name(), PatchKind::Strategic, &body)
                .await?;
        }
        let own: Vec<&str> = claims.own.iter().chain(&claims.adopt).map(|set| set.uid()).collect();
        let acted = !claims.adopt.is_empty() || !claims.release.is_empty();
        Ok((sets.iter().filter(|set| own.contains(&set.uid())).cloned().collect(), acted))
    }

    fn old_pods(&self, deployment: &Deployment, sets: &[&ReplicaSet]) -> OldPods {
        let current = revision::current(deployment, sets).map(|set| set.uid());
        let old = sets.iter().filter(|set| Some(set.uid()) != current);
        let present = old.flat_map(|set| self.pods_of.get(set.uid())).any(|pod| !pod.is_finished());
        if present { OldPods::Present } else { OldPods::Gone }
    }

    async fn act(&self, deployment: &Deployment, act: &Act) -> Result<(), WriteError> {
        let (namespace, name) = (deployment.namespace(), deployment.name());
        match act {
            Act::Create(body) => self.create(deployment, body).await,
            Act::Scale { set, from, replicas, annotations } => {
                let body = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}});
                self.patch_set(namespace, set, &body).await?;
                if from != replicas {
                    let direction = if replicas > from { "up" } else { "down" };
                    let message = format!("Scaled {direction} replica set {set} from {from} to {replicas}");
                    self.tell(deployment, &message).await;
                }
                Ok(())
            }
            Act::Annotate { set, annotations } => {
                self.patch_set(namespace, set, &json!({"metadata": {"annotations": annotations}})).await
            }
            Act::Forget { set, uid } => {
                let removal = Removal {
                    uid: Some(uid),
                    propagation: Some(Propagation::Background),
                    ..Removal::default()
                };
                self.kit.delete(REPLICA_SETS, namespace, set, &removal).await
            }
            Act::Number(number) => {
                let annotations = BTreeMap::from([(revision::REVISION, number.to_string())]);
                let body = json!({"metadata": {"uid": deployment.uid(), "annotations": annotations}});
                self.kit.patch(DEPLOYMENTS, namespace, name, PatchKind::Merge, &body).await.map(|_| ())
            }
            Act::Status(status) => {
                let body = json!({"metadata": {"uid": deployment.uid()}, "status": status});
                self.patch_status(deployment, &body).await
            }
        }
    }

    async fn patch_status(&self, deployment: &Deployment, body: &Value) -> Result<(), WriteError> {
        let path = format!("{}/status", deployment.name());
        self.kit.patch(DEPLOYMENTS, deployment.namespace(), &path, PatchKind::Merge, body).await.map(|_| ())
    }

    /// A set changes only as it was when the plan was made.
    async fn patch_set(&self, namespace: &str, name: &str, body: &Value) -> Result<(), WriteError> {
        let mut body = body.clone();
        let seen = self.sets.get(&ObjectKey::namespaced(namespace, name));
        if let Some(version) = seen.and_then(|set| set.metadata.resource_version.clone()) {
            body["metadata"]["resourceVersion"] = json!(version);
        }
        self.kit.patch(REPLICA_SETS, namespace, name, PatchKind::Merge, &body).await.map(|_| ())
    }

    async fn create(&self, deployment: &Deployment, body: &Value) -> Result<(), WriteError> {
        let namespace = deployment.namespace();
        let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        match self.kit.create(REPLICA_SETS, namespace, body).await {
            Ok(_) => {
                let replicas = body.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
                self.tell(deployment, &format!("Scaled up replica set {name} from 0 to {replicas}")).await;
                Ok(())
            }
            Err(error) if error.is_conflict() => self.name_taken(deployment, name).await,
            Err(error) if error.is_namespace_ending() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The name exists: either our own set that the cache does not show yet, or another template with the same hash.
    async fn name_taken(&self, deployment: &Deployment, name: &str) -> Result<(), WriteError> {
        let found = self.kit.read(REPLICA_SETS, deployment.namespace(), name).await?;
        let ours = serde_json::from_value::<ReplicaSet>(found).is_ok_and(|set| {
            revision::current(deployment, &[&set]).is_some() && set.controller() == Some(deployment.uid())
        });
        if ours {
            return Ok(());
        }
        let count = deployment.status.collision_count.unwrap_or(0).saturating_add(1);
        self.patch_status(deployment, &json!({"status": {"collisionCount": count}})).await
    }

    async fn tell(&self, deployment: &Deployment, message: &str) {
        let about = kit::reference("apps/v1", "Deployment", deployment);
        let note = Note { severity: Severity::Normal, reason: "ScalingReplicaSet", message };
        self.kit.tell(&about, note).await;
    }
}

impl Pass for Deployments {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, WriteError> {
        let Some(deployment) = self.deployments.get(key) else { return Ok(Outcome::IDLE) };
        let (own, claimed) = self.own(&deployment).await?;
        let sets: Vec<&ReplicaSet> = own.iter().map(|set| &**set).collect();
        let now = self.kit.clock.now();
        let plan = plan::plan(&deployment, &sets, self.old_pods(&deployment, &sets), now);
        for act in &plan.acts {
            self.act(&deployment, act).await?;
        }
        let idle = plan.acts.is_empty() && !claimed;
        let outcome = if idle { Outcome::IDLE } else { Outcome::ACTED };
        Ok(plan.again_at.map_or(outcome, |at| outcome.again_after(elapsed(now, at))))
    }
}

fn deployment_of(set: &ReplicaSet) -> Option<&str> {
    let owners = set.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|o| o.controller == Some(true) && o.kind == "Deployment").map(|o| o.name.as_str())
}

fn set_seen(set: &ReplicaSet, deployments: &Informer<Deployment>, queue: &Queue<ObjectKey>) {
    if let Some(name) = deployment_of(set) {
        queue.add(ObjectKey::namespaced(set.namespace(), name), Cause::Watch);
        return;
    }
    if set.controller().is_some() {
        return;
    }
    let none = matching::Labels::new();
    let labels = set.metadata.labels.as_ref().unwrap_or(&none);
    let could_own = |deployment: &Deployment| {
        deployment.namespace() == set.namespace() && matching::selects(&deployment.spec.selector, labels)
    };
    for deployment in deployments.filtered(could_own) {
        queue.add(ObjectKey::of(&*deployment), Cause::Watch);
    }
}
