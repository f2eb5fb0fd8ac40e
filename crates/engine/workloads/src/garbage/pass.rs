//! Carries out what is decided about one object, by its uid.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use muster_control::rest::{PatchKind, Propagation, Removal, path};
use muster_control::{Cause, Outcome, Pass, is_conflict, is_not_found};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::garbage::graph::{Ending, Node, Place, Uid};
use crate::garbage::plan::{self, Act, Owner};
use crate::garbage::watch::World;
use crate::kit::{Kit, WriteError};
use crate::namespace::discovery::{Scope, Served};

/// An owner of a kind nobody serves may become one that somebody does.
const UNRESOLVED_AGAIN: Duration = Duration::from_secs(300);
/// Known absences kept; a uid never comes back, so forgetting one costs one question.
const ABSENT_MAX: usize = 50_000;

pub(crate) struct Garbage {
    kit: Kit,
    world: Arc<World>,
    absent: Mutex<HashSet<String>>,
}

/// The answer about one owner.
enum Answer {
    Known(Owner),
    /// Its kind is not served, or it cannot be this object's owner; never taken as absent.
    Unresolved,
}

impl Garbage {
    pub(crate) fn new(kit: Kit, world: Arc<World>) -> Garbage {
        Garbage { kit, world, absent: Mutex::default() }
    }

    fn decide(&self, uid: &str, answers: &HashMap<String, Owner>) -> Option<(Node, Act)> {
        let graph = self.world.graph.lock();
        let absent = self.absent.lock();
        let act = plan::plan(&graph, uid, |_, reference| {
            match graph.get(&reference.uid).map(|owner| owner.ending) {
                Some(Ending::Foreground) => Owner::Waiting,
                Some(Ending::No | Ending::Yes | Ending::Orphaning) => Owner::Present,
                None if absent.contains(&reference.uid) => Owner::Absent,
                None => answers.get(&reference.uid).copied().unwrap_or(Owner::Unknown),
            }
        })?;
        Some((graph.get(uid)?.clone(), act))
    }

    /// Asks the server; only its answer makes an owner absent.
    async fn ask(&self, node: &Node, owner: &OwnerReference) -> Result<Answer, WriteError> {
        let Some(served) = self.resolve(owner) else { return Ok(Answer::Unresolved) };
        let namespace = match served.scope {
            Scope::Cluster => "",
            Scope::Namespaced if node.place.namespace.is_empty() => return Ok(Answer::Unresolved),
            Scope::Namespaced => node.place.namespace.as_str(),
        };
        let path = path(&owner.api_version, namespace, &served.plural, &owner.name);
        let found = match self.kit.rest.get(&path).await {
            Ok(found) => found.pointer("/metadata/uid").and_then(Value::as_str) == Some(&owner.uid),
            Err(error) if is_not_found(&error) => false,
            Err(source) => return Err(WriteError::Read { path, source }),
        };
        if !found {
            let mut absent = self.absent.lock();
            if absent.len() >= ABSENT_MAX {
                absent.clear();
            }
            absent.insert(owner.uid.clone());
        }
        Ok(Answer::Known(if found { Owner::Present } else { Owner::Absent }))
    }

    fn resolve(&self, owner: &OwnerReference) -> Option<Served> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let served = self.world.served.lock();
        served.iter().find(|served| served.group() == group && served.kind == owner.kind).cloned()
    }

    async fn act(&self, uid: &str, node: &Node, act: Act) -> Result<(), WriteError> {
        match act {
            Act::Ask(_) => Ok(()),
            Act::Delete(propagation) => self.delete(uid, node, propagation).await,
            Act::Disown(owners) => self.disown(uid, node, &owners).await,
            Act::Unblock => self.unblock(uid, node).await,
            Act::Dependents(uids) => {
                for uid in uids {
                    self.world.queue.add(uid.to_string(), Cause::Watch);
                }
                Ok(())
            }
            Act::Orphan(uids) => {
                for dependent in uids {
                    let known = self.world.graph.lock().get(&dependent).cloned();
                    if let Some(known) = known {
                        self.disown(&dependent, &known, &[uid.into()]).await?;
                    }
                }
                Ok(())
            }
            Act::Finish(finalizer) => {
                let rest: Vec<&String> = node.finalizers.iter().filter(|f| *f != finalizer).collect();
                self.patch(uid, node, json!({"finalizers": rest})).await
            }
        }
    }

    /// Only as it was when it was decided: a new owner in the meantime makes another decision.
    async fn delete(&self, uid: &str, node: &Node, propagation: Propagation) -> Result<(), WriteError> {
        let path = path_of(&node.place);
        let removal = Removal {
            uid: Some(uid),
            resource_version: node.resource_version.as_deref(),
            propagation: Some(propagation),
            grace_seconds: None,
        };
        match self.kit.rest.delete(&path, &removal).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(source) => Err(WriteError::Delete { path, source }),
        }
    }

    async fn disown(&self, uid: &str, node: &Node, owners: &[Uid]) -> Result<(), WriteError> {
        let going = |owner: &&OwnerReference| !owners.iter().any(|uid| **uid == *owner.uid);
        let rest: Vec<&OwnerReference> = node.owners.iter().filter(going).collect();
        self.patch(uid, node, json!({"ownerReferences": rest})).await
    }

    /// The watch shows the change, and the next pass deletes.
    async fn unblock(&self, uid: &str, node: &Node) -> Result<(), WriteError> {
        let free =
            |owner: &OwnerReference| OwnerReference { block_owner_deletion: Some(false), ..owner.clone() };
        let owners: Vec<OwnerReference> = node.owners.iter().map(free).collect();
        self.patch(uid, node, json!({"ownerReferences": owners})).await
    }

    async fn patch(&self, uid: &str, node: &Node, mut meta: Value) -> Result<(), WriteError> {
        meta["uid"] = json!(uid);
        meta["resourceVersion"] = json!(node.resource_version);
        let path = path_of(&node.place);
        match self.kit.rest.patch(&path, PatchKind::Merge, &json!({"metadata": meta})).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(source) => Err(WriteError::Change { path, source }),
        }
    }
}

fn path_of(place: &Place) -> String {
    path(&place.group_version, &place.namespace, &place.plural, &place.name)
}

impl Pass for Garbage {
    type Key = String;
    type Error = WriteError;

    async fn pass(&self, uid: &String) -> Result<Outcome, WriteError> {
        let mut answers: HashMap<String, Owner> = HashMap::new();
        let mut unresolved = false;
        loop {
            let Some((node, act)) = self.decide(uid, &answers) else {
                return Ok(if unresolved {
                    Outcome::IDLE.again_after(UNRESOLVED_AGAIN)
                } else {
                    Outcome::IDLE
                });
            };
            if let Act::Ask(owners) = &act {
                let asked = node.owners.iter().filter(|owner| owners.iter().any(|uid| **uid == *owner.uid));
                for owner in asked {
                    let known = match self.ask(&node, owner).await? {
                        Answer::Known(known) => known,
                        Answer::Unresolved => {
                            unresolved = true;
                            Owner::Present
                        }
                    };
                    answers.insert(owner.uid.clone(), known);
                }
                continue;
            }
            return match self.act(uid, &node, act).await {
                Ok(()) => Ok(Outcome::ACTED),
                // The watch will show what changed, and that calls this again.
                Err(WriteError::Change { source, .. } | WriteError::Delete { source, .. })
                    if is_conflict(&source) =>
                {
                    Ok(Outcome::IDLE.again_after(Duration::from_secs(1)))
                }
                Err(error) => Err(error),
            };
        }
    }
}
