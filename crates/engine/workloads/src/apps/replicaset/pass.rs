//! Carries out the plan of one ReplicaSet.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;
use muster_base::clock::elapsed;
use muster_control::events::{Note, Severity};
use muster_control::matching;
use muster_control::rest::{PatchKind, Removal};
use muster_control::{Cause, Change as Seen, Informer, ObjectKey, Outcome, Pass, Queue};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;

use crate::apps::claim::{self, Claims, Leaving, Owner};
use crate::apps::replicaset::plan::{self, Attempt, Change};
use crate::expectations::Expectations;
use crate::index::Index;
use crate::kit::{self, Kit, PODS, REPLICA_SETS, WriteError};
use crate::view::pod::{PodSpec, PodStatus};
use crate::view::{Pod, ReplicaSet};

/// Deletions under way at once.
const DELETIONS_MAX: usize = 16;

#[derive(Debug, Clone)]
enum Failure {
    Create(String),
    Delete(String),
}

pub(crate) struct ReplicaSets {
    kit: Kit,
    sets: Informer<ReplicaSet>,
    pods_of: Arc<Index<Pod>>,
    orphans_in: Arc<Index<Pod>>,
    expectations: Arc<Expectations>,
    failures: Mutex<HashMap<ObjectKey, Failure>>,
}

/// Pods by the uid of their controller.
pub(crate) fn by_controller(pod: &Pod) -> Option<String> {
    pod.controller().map(str::to_owned)
}

/// Pods without a controller, by namespace.
pub(crate) fn orphan_in(pod: &Pod) -> Option<String> {
    pod.controller().is_none().then(|| pod.namespace().to_owned())
}

pub(crate) fn owner(set: &ReplicaSet) -> Owner<'_> {
    Owner {
        api_version: "apps/v1",
        kind: "ReplicaSet",
        name: set.name(),
        uid: set.uid(),
        selector: &set.spec.selector,
        leaving: if set.is_leaving() { Leaving::Yes } else { Leaving::No },
    }
}

impl ReplicaSets {
    pub(crate) fn new(
        kit: Kit,
        sets: &Informer<ReplicaSet>,
        pods: &Informer<Pod>,
        queue: &Queue<ObjectKey>,
    ) -> ReplicaSets {
        let expectations: Arc<Expectations> = Arc::default();
        let pods_of = Arc::new(Index::over(pods, by_controller));
        let orphans_in = Arc::new(Index::over(pods, orphan_in));
        let added = queue.clone();
        sets.on_change(move |change| added.add(change.key.clone(), Cause::Watch));
        let (queue, sets_seen, seen) = (queue.clone(), sets.clone(), Arc::clone(&expectations));
        pods.on_change(move |change| pod_seen(change, &sets_seen, &queue, &seen));
        ReplicaSets { kit, sets: sets.clone(), pods_of, orphans_in, expectations, failures: Mutex::default() }
    }

    async fn claims(
        &self,
        set: &ReplicaSet,
        claims: &Claims<'_, PodSpec, PodStatus>,
    ) -> Result<bool, WriteError> {
        let owner = owner(set);
        for pod in &claims.adopt {
            let body = claim::adoption(owner, pod.uid());
            self.kit.patch(PODS, set.namespace(), pod.name(), PatchKind::Strategic, &body).await?;
        }
        for pod in &claims.release {
            let body = claim::release(owner, pod.uid());
            let result = self.kit.patch(PODS, set.namespace(), pod.name(), PatchKind::Strategic, &body).await;
            if let Err(error) = result
                && !error.is_not_found()
            {
                return Err(error);
            }
        }
        Ok(!claims.adopt.is_empty() || !claims.release.is_empty())
    }

    /// One, then two, four, …: a refusal such as a used-up quota costs few requests.
    async fn create(&self, set: &ReplicaSet, count: usize) -> Result<(), WriteError> {
        let body = pod_of(set);
        let (mut left, mut batch) = (count, 1);
        while left > 0 {
            let size = batch.min(left);
            let requests: Vec<_> = (0..size).map(|_| self.create_one(set, &body)).collect();
            let results: Vec<Result<Value, WriteError>> =
                stream::iter(requests).buffer_unordered(size).collect().await;
            for result in results {
                result?;
            }
            left -= size;
            batch = (batch * 2).min(64);
        }
        Ok(())
    }

    async fn create_one(&self, set: &ReplicaSet, body: &Value) -> Result<Value, WriteError> {
        self.expectations.creation(set.uid(), self.kit.clock.now());
        let result = self.kit.create(PODS, set.namespace(), body).await;
        match &result {
            Ok(pod) => {
                let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                self.tell(set, Severity::Normal, "SuccessfulCreate", &format!("Created pod: {name}")).await;
            }
            Err(error) => {
                self.expectations.created(set.uid());
                if !error.is_namespace_ending() {
                    let message = format!("Error creating: {}", error.words());
                    self.tell(set, Severity::Warning, "FailedCreate", &message).await;
                }
            }
        }
        result
    }

    async fn delete(&self, set: &ReplicaSet, pods: &[(String, String)]) -> Result<(), WriteError> {
        let requests: Vec<_> = pods.iter().map(|(name, uid)| self.delete_one(set, name, uid)).collect();
        let results: Vec<Result<(), WriteError>> =
            stream::iter(requests).buffer_unordered(DELETIONS_MAX).collect().await;
        results.into_iter().collect()
    }

    async fn delete_one(&self, set: &ReplicaSet, name: &str, uid: &str) -> Result<(), WriteError> {
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

    async fn tell(&self, set: &ReplicaSet, severity: Severity, reason: &str, message: &str) {
        let about = kit::reference("apps/v1", "ReplicaSet", set);
        self.kit.tell(&about, Note { severity, reason, message }).await;
    }

    async fn change(&self, key: &ObjectKey, set: &ReplicaSet, change: &Change) -> Result<bool, WriteError> {
        let (result, failure): (_, fn(String) -> Failure) = match change {
            Change::None => return Ok(false),
            Change::Create(count) => (self.create(set, *count).await, Failure::Create),
            Change::Delete(pods) => (self.delete(set, pods).await, Failure::Delete),
        };
        match &result {
            Ok(()) => {
                self.failures.lock().remove(key);
            }
            Err(error) => {
                self.failures.lock().insert(key.clone(), failure(error.words()));
            }
        }
        result.map(|()| true)
    }
}

impl Pass for ReplicaSets {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, WriteError> {
        let Some(set) = self.sets.get(key) else {
            self.failures.lock().remove(key);
            return Ok(Outcome::IDLE);
        };
        let mut pods = self.pods_of.get(set.uid());
        pods.extend(self.orphans_in.get(set.namespace()));
        let claims = claim::claim(owner(&set), pods.iter().map(|pod| &**pod));
        let mut acted = self.claims(&set, &claims).await?;
        let own: Vec<&Pod> = claims.own.iter().chain(&claims.adopt).copied().collect();
        let now = self.kit.clock.now();
        let failure = self.failures.lock().get(key).cloned();
        let last = match &failure {
            None => Attempt::Fine,
            Some(Failure::Create(message)) => Attempt::CreateFailed(message),
            Some(Failure::Delete(message)) => Attempt::DeleteFailed(message),
        };
        let plan = plan::plan(&set, &own, last, now);
        if let Some(status) = &plan.status {
            let body = json!({"metadata": {"uid": set.uid()}, "status": status});
            let name = format!("{}/status", set.name());
            self.kit.patch(REPLICA_SETS, set.namespace(), &name, PatchKind::Merge, &body).await?;
            acted = true;
        }
        let wait = self.expectations.wait(set.uid(), now);
        if wait.is_none() {
            match self.change(key, &set, &plan.change).await {
                Ok(changed) => acted |= changed,
                Err(error) if error.is_namespace_ending() => {}
                Err(error) => return Err(error),
            }
        }
        let outcome = if acted { Outcome::ACTED } else { Outcome::IDLE };
        let next = wait.into_iter().chain(plan.again_at.map(|at| elapsed(now, at))).min();
        Ok(next.map_or(outcome, |wait| outcome.again_after(wait)))
    }
}

/// A pod as the set's template wants it.
fn pod_of(set: &ReplicaSet) -> Value {
    let template = &set.spec.template;
    let part =
        |name: &str| template.pointer(&format!("/metadata/{name}")).cloned().unwrap_or_else(|| json!({}));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": format!("{}-", set.name()),
            "namespace": set.namespace(),
            "labels": part("labels"), "annotations": part("annotations"),
            "finalizers": template.pointer("/metadata/finalizers").cloned().unwrap_or_else(|| json!([])),
            "ownerReferences": [claim::reference(owner(set))],
        },
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({})),
    })
}

fn pod_seen(
    change: &Seen<Pod>,
    sets: &Informer<ReplicaSet>,
    queue: &Queue<ObjectKey>,
    expectations: &Expectations,
) {
    observe(change, expectations);
    for pod in change.old.iter().chain(&change.new) {
        match controller_named(pod, "ReplicaSet") {
            Some(name) => queue.add(ObjectKey::namespaced(pod.namespace(), name), Cause::Watch),
            None if pod.controller().is_none() => {
                let none = matching::Labels::new();
                let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
                let could_own = |set: &ReplicaSet| {
                    set.namespace() == pod.namespace() && matching::selects(&set.spec.selector, labels)
                };
                for set in sets.filtered(could_own) {
                    queue.add(ObjectKey::of(&*set), Cause::Watch);
                }
            }
            None => {}
        }
    }
}

/// Ticks off what was expected of a pod's controller.
pub(crate) fn observe(change: &Seen<Pod>, expectations: &Expectations) {
    let is_new = change.old.as_ref().map(|pod| pod.uid()) != change.new.as_ref().map(|pod| pod.uid());
    if let Some(new) = &change.new
        && let Some(owner) = new.controller()
    {
        if is_new {
            expectations.created(owner);
        }
        if new.is_leaving() {
            expectations.deleted(owner, new.uid());
        }
    }
    if is_new
        && let Some(old) = &change.old
        && let Some(owner) = old.controller()
    {
        expectations.deleted(owner, old.uid());
    }
}

/// The name of the controller, if it is of that kind.
pub(crate) fn controller_named<'a>(pod: &'a Pod, kind: &str) -> Option<&'a str> {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|o| o.controller == Some(true) && o.kind == kind).map(|o| o.name.as_str())
}
