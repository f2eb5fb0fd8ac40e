//! Templates, their hashes and revision numbers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::apps::claim::{self, Leaving, Owner};
use crate::view::{Deployment, ReplicaSet};

pub const HASH: &str = "pod-template-hash";
pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const ROLLBACK: &str = "deprecated.deployment.rollback.to";
/// Letters and digits that form no words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub fn owner(deployment: &Deployment) -> Owner<'_> {
    Owner {
        api_version: "apps/v1",
        kind: "Deployment",
        name: deployment.name(),
        uid: deployment.uid(),
        selector: &deployment.spec.selector,
        leaving: if deployment.is_leaving() { Leaving::Yes } else { Leaving::No },
    }
}

/// The set that carries the deployment's present template: the oldest, should there be several.
pub fn current<'a>(deployment: &Deployment, sets: &[&'a ReplicaSet]) -> Option<&'a ReplicaSet> {
    let wanted = bare(&deployment.spec.template);
    let same = sets.iter().filter(|set| bare(&set.spec.template) == wanted);
    same.min_by_key(|set| (set.created(), set.name().to_owned())).copied()
}

/// A template without its hash label and without what is empty.
fn bare(template: &Value) -> Value {
    let mut bare = without_nulls(template);
    if let Some(Value::Object(labels)) = bare.pointer_mut("/metadata/labels") {
        labels.remove(HASH);
    }
    bare
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A short name for a template; `collisions` gives another one when two templates share it.
pub fn hash(template: &Value, collisions: i32) -> String {
    let mut state = Fnv::new();
    feed(&mut state, &bare(template));
    if collisions > 0 {
        state.write(&collisions.to_le_bytes());
    }
    state
        .0
        .to_string()
        .bytes()
        .map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]))
        .collect()
}

/// 32-bit FNV-1a (draft-eastlake-fnv).
struct Fnv(u32);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0x811c_9dc5)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

/// Feeds a document in key order, whatever order the map keeps.
fn feed(state: &mut Fnv, value: &Value) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            state.write(b"{");
            for (key, value) in sorted {
                state.write(key.as_bytes());
                state.write(b"\0");
                feed(state, value);
            }
        }
        Value::Array(items) => {
            state.write(b"[");
            items.iter().for_each(|item| feed(state, item));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            state.write(value.to_string().as_bytes());
        }
    }
    state.write(b"\x01");
}

pub fn number(set: &ReplicaSet) -> i64 {
    set.annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The number the present template should carry: one more than any other set's.
pub fn next(sets: &[&ReplicaSet], current: Option<&ReplicaSet>) -> i64 {
    let others = sets.iter().filter(|set| current.is_none_or(|current| current.uid() != set.uid()));
    others.map(|set| number(set)).max().unwrap_or(0) + 1
}

/// The deployment's own annotations that its sets carry too.
fn inherited(deployment: &Deployment) -> BTreeMap<String, String> {
    let own = [LAST_APPLIED, REVISION, HISTORY, DESIRED, MAX, ROLLBACK];
    let annotations = deployment.metadata.annotations.iter().flatten();
    annotations
        .filter(|(key, _)| !own.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Annotations that say how far the set may be scaled.
pub fn bounds(deployment: &Deployment) -> BTreeMap<String, String> {
    let desired = deployment.replicas();
    let most = desired.saturating_add(deployment.surge());
    BTreeMap::from([(DESIRED.into(), desired.to_string()), (MAX.into(), most.to_string())])
}

/// What the current set's annotations should be and are not. A number that falls behind is raised, the old one kept
/// in the history, so that a rollback shows as the newest revision.
pub fn overdue_annotations(
    deployment: &Deployment,
    set: &ReplicaSet,
    revision: i64,
) -> BTreeMap<String, String> {
    let mut wanted = inherited(deployment);
    wanted.extend(bounds(deployment));
    let before = number(set);
    if before < revision {
        wanted.insert(REVISION.into(), revision.to_string());
        if before > 0 {
            let past = set.annotation(HISTORY).filter(|past| !past.is_empty());
            wanted.insert(HISTORY.into(), past.map_or(before.to_string(), |past| format!("{past},{before}")));
        }
    }
    wanted.retain(|key, value| set.annotation(key) != Some(value));
    wanted
}

/// The object of a new set for the present template.
pub fn replica_set(deployment: &Deployment, replicas: i32, revision: i64) -> Value {
    let hash = hash(&deployment.spec.template, deployment.status.collision_count.unwrap_or(0));
    let mut template = deployment.spec.template.clone();
    let labels = with_hash(template.pointer("/metadata/labels"), &hash);
    template["metadata"]["labels"] = labels.clone();
    let mut annotations = inherited(deployment);
    annotations.extend(bounds(deployment));
    annotations.insert(REVISION.into(), revision.to_string());
    let mut selector = json!(deployment.spec.selector);
    selector["matchLabels"] = with_hash(selector.get("matchLabels"), &hash);
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", deployment.name()),
            "namespace": deployment.namespace(),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [claim::reference(owner(deployment))],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": deployment.spec.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    })
}

fn with_hash(labels: Option<&Value>, hash: &str) -> Value {
    let mut labels = labels.and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    labels.insert(HASH.into(), json!(hash));
    Value::Object(labels)
}
