//! Who owns whom, from the metadata of all objects.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub type Uid = Arc<str>;

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

/// Where an object is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub group_version: Arc<str>,
    pub plural: Arc<str>,
    pub kind: Arc<str>,
    pub namespace: String,
    pub name: String,
}

/// How an object that is being deleted treats its dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    No,
    /// Being deleted, dependents are nobody's concern here.
    Yes,
    /// Dependents go first.
    Foreground,
    /// Dependents are let go first.
    Orphaning,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub place: Place,
    pub owners: Vec<OwnerReference>,
    pub finalizers: Vec<String>,
    pub ending: Ending,
    pub resource_version: Option<String>,
}

impl Node {
    pub fn new(place: Place, meta: &ObjectMeta) -> Node {
        let finalizers = meta.finalizers.clone().unwrap_or_default();
        let holds = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
        let ending = match meta.deletion_timestamp {
            None => Ending::No,
            Some(_) if holds(FOREGROUND) => Ending::Foreground,
            Some(_) if holds(ORPHAN) => Ending::Orphaning,
            Some(_) => Ending::Yes,
        };
        Node {
            place,
            owners: meta.owner_references.clone().unwrap_or_default(),
            finalizers,
            ending,
            resource_version: meta.resource_version.clone(),
        }
    }
}

#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<Uid, Node>,
    dependents: HashMap<Uid, HashSet<Uid>>,
}

impl Graph {
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = (&Uid, &Node)> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|uid| Some((uid, self.nodes.get(uid)?)))
    }

    pub fn uids(&self) -> impl Iterator<Item = &Uid> {
        self.nodes.keys()
    }

    /// Takes over an object and returns whom it is worth looking at now.
    pub fn upsert(&mut self, uid: Uid, node: Node) -> Vec<Uid> {
        let before = self.nodes.get(&uid);
        let same_owners = before.is_some_and(|before| before.owners == node.owners);
        let ending = node.ending != Ending::No && before.is_none_or(|b| b.ending != node.ending);
        let old_owners: Vec<Uid> =
            before.into_iter().flat_map(|b| &b.owners).map(|owner| owner.uid.as_str().into()).collect();
        if !same_owners {
            self.unlink(&uid);
            for owner in &node.owners {
                let set = self.dependents.entry(owner.uid.as_str().into()).or_default();
                set.insert(Arc::clone(&uid));
            }
        }
        let mut look = Vec::new();
        if ending || (!node.owners.is_empty() && !same_owners) {
            look.push(Arc::clone(&uid));
        }
        // An owner that waits for its dependents may be done when one of them changes.
        let waiting = node.owners.iter().map(|owner| Uid::from(owner.uid.as_str())).chain(old_owners);
        look.extend(waiting.filter(|owner| self.waits(owner)));
        self.nodes.insert(uid, node);
        look.dedup();
        look
    }

    /// Takes an object out; its dependents have lost an owner, its owners a dependent.
    pub fn remove(&mut self, uid: &str) -> Vec<Uid> {
        self.unlink(uid);
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut look: Vec<Uid> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        let owners = node.owners.iter().map(|owner| Uid::from(owner.uid.as_str()));
        look.extend(owners.filter(|owner| self.waits(owner)));
        look
    }

    fn waits(&self, uid: &str) -> bool {
        self.nodes.get(uid).is_some_and(|node| match node.ending {
            Ending::Foreground | Ending::Orphaning => true,
            Ending::No | Ending::Yes => false,
        })
    }

    fn unlink(&mut self, uid: &str) {
        let Some(node) = self.nodes.get(uid) else { return };
        for owner in &node.owners {
            if let Some(set) = self.dependents.get_mut(owner.uid.as_str()) {
                set.remove(uid);
                if set.is_empty() {
                    self.dependents.remove(owner.uid.as_str());
                }
            }
        }
    }
}
