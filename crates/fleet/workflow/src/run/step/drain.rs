//! Keeping pods off a node, and moving them elsewhere.

use kube::ResourceExt as _;
use muster_api::CORDONED_BY;
use muster_api::workflow::Run;

use super::super::plan::{Effect, PodKey, World};
use super::{Progress, done};

/// Pods that are named in a message.
const TOLD_MAX: usize = 3;

fn cordoned_by(world: &World) -> Option<&str> {
    world.node.as_ref()?.metadata.annotations.as_ref()?.get(CORDONED_BY).map(String::as_str)
}

pub(super) fn cordon(run: &Run, world: &World) -> Progress {
    let Some(node) = &world.node else { return done("the machine is no node") };
    match (node.spec.unschedulable, cordoned_by(world)) {
        (true, Some(owner)) if owner == run.name_any() => done("node is cordoned"),
        (true, owner) => done(format!("node was cordoned already by {}", owner.unwrap_or("somebody else"))),
        (false, _) => Progress::Do(Effect::Cordon, "cordons the node".to_owned()),
    }
}

/// Only what this run had cordoned is let go.
pub(super) fn uncordon(run: &Run, world: &World) -> Progress {
    match cordoned_by(world) {
        Some(owner) if owner == run.name_any() => {
            Progress::Do(Effect::Uncordon, "uncordons the node".to_owned())
        }
        Some(owner) => done(format!("node stays cordoned by {owner}")),
        None => match &world.node {
            Some(node) if node.spec.unschedulable => done("node stays cordoned by somebody else"),
            Some(_) => done("node takes pods again"),
            None => done("the machine is no node"),
        },
    }
}

/// Asks for every pod to go, until none is left but those that belong to the node.
pub(super) fn drain(run: &Run, world: &World) -> Progress {
    let Some(node) = &world.node else { return done("the machine is no node") };
    if !node.spec.unschedulable {
        return match cordon(run, world) {
            Progress::Do(effect, message) => Progress::Do(effect, message),
            other @ (Progress::Wait(_)
            | Progress::Under(..)
            | Progress::Late(_)
            | Progress::Held(_)
            | Progress::Told(_)
            | Progress::Refused(_)
            | Progress::Ended(..)) => other,
        };
    }
    let left: Vec<_> = world.pods.iter().filter(|pod| !pod.stays).collect();
    let stay = world.pods.len() - left.len();
    if left.is_empty() {
        return done(format!("no pod is left but {stay} that belong to the node"));
    }
    let asked: Vec<PodKey> = left.iter().filter(|pod| !pod.ending).map(|pod| pod.key.clone()).collect();
    let mut texts: Vec<String> = Vec::new();
    for pod in left.iter().take(TOLD_MAX) {
        let why = match world.evictions.get(&pod.key) {
            _ if pod.ending => "ends",
            Some(reason) => reason,
            None => "is asked to go",
        };
        texts.push(format!("{}/{} {why}", pod.key.namespace, pod.key.name));
    }
    if left.len() > TOLD_MAX {
        texts.push(format!("and {} more", left.len() - TOLD_MAX));
    }
    let message = format!("{} pods are left: {}", left.len(), texts.join("; "));
    if asked.is_empty() { Progress::Wait(message) } else { Progress::Do(Effect::Evict(asked), message) }
}
