//! What is to be done about one object, as far as it and its owners are known.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use muster_control::rest::Propagation;

use crate::garbage::graph::{Ending, FOREGROUND, Graph, Node, ORPHAN, Uid};

/// What is known of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It exists and stays, or ends without waiting for dependents.
    Present,
    /// It is being deleted and waits until its dependents are gone.
    Waiting,
    /// The server was asked: it is not there, or another object has its name.
    Absent,
    /// The server has not been asked yet, or could not say.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Ask the server for these owners first.
    Ask(Vec<Uid>),
    /// Every owner is gone: delete it.
    Delete(Propagation),
    /// Some owners are gone and some are not: take these references away.
    Disown(Vec<Uid>),
    /// It blocks an owner that waits, and that owner blocks it in turn: let its references block no more.
    Unblock,
    /// Dependents that block this foreground deletion: look at them.
    Dependents(Vec<Uid>),
    /// Let these dependents go, then take the finalizer off.
    Orphan(Vec<Uid>),
    /// Nothing holds the deletion up any more.
    Finish(&'static str),
}

/// `owner` says what is known of each owner.
pub fn plan(graph: &Graph, uid: &str, owner: impl Fn(&Node, &OwnerReference) -> Owner) -> Option<Act> {
    let node = graph.get(uid)?;
    match node.ending {
        Ending::Yes => None,
        Ending::Orphaning => {
            let dependents: Vec<Uid> = graph.dependents(uid).map(|(uid, _)| uid.clone()).collect();
            Some(if dependents.is_empty() { Act::Finish(ORPHAN) } else { Act::Orphan(dependents) })
        }
        Ending::Foreground => {
            let blocking = graph.dependents(uid).filter(|(_, dependent)| blocks(dependent, uid));
            let blocking: Vec<Uid> = blocking.map(|(uid, _)| uid.clone()).collect();
            Some(if blocking.is_empty() { Act::Finish(FOREGROUND) } else { Act::Dependents(blocking) })
        }
        Ending::No => collect(graph, uid, node, owner),
    }
}

fn blocks(dependent: &Node, owner: &str) -> bool {
    dependent.owners.iter().any(|o| o.uid == owner && o.block_owner_deletion == Some(true))
}

fn collect(
    graph: &Graph,
    uid: &str,
    node: &Node,
    owner: impl Fn(&Node, &OwnerReference) -> Owner,
) -> Option<Act> {
    let states: Vec<(Uid, Owner)> =
        node.owners.iter().map(|reference| (reference.uid.as_str().into(), owner(node, reference))).collect();
    let with = |state: Owner| -> Vec<Uid> {
        states.iter().filter(|(_, s)| *s == state).map(|(uid, _)| uid.clone()).collect()
    };
    let (unknown, waiting, absent) = (with(Owner::Unknown), with(Owner::Waiting), with(Owner::Absent));
    if states.is_empty() {
        return None;
    }
    if !unknown.is_empty() {
        return Some(Act::Ask(unknown));
    }
    if !with(Owner::Present).is_empty() {
        let going: Vec<Uid> = absent.into_iter().chain(waiting).collect();
        return (!going.is_empty()).then_some(Act::Disown(going));
    }
    if !waiting.is_empty() && graph.dependents(uid).next().is_some() {
        // As upstream, a dependent that itself waits is taken for the sign of a circle; one that is none loses nothing
        // but its place in the order.
        let circle = graph.dependents(uid).any(|(_, dependent)| dependent.ending == Ending::Foreground);
        let blocking = node.owners.iter().any(|owner| owner.block_owner_deletion == Some(true));
        return Some(if circle && blocking { Act::Unblock } else { Act::Delete(Propagation::Foreground) });
    }
    let holds = |name: &str| node.finalizers.iter().any(|finalizer| finalizer == name);
    let propagation = match (holds(ORPHAN), holds(FOREGROUND)) {
        (true, _) => Propagation::Orphan,
        (false, true) => Propagation::Foreground,
        (false, false) => Propagation::Background,
    };
    Some(Act::Delete(propagation))
}

#[cfg(test)]
mod tests;
