//! A container that runs to its end on the machine.

use muster_api::workflow::{Run, RunPhase, StepStatus};
use sha2::{Digest as _, Sha256};

use super::super::container::PodPlan;
use super::super::plan::{ContainerSeen, Effect, World};
use super::{Progress, done, failed, key};

/// The name of the pod of an attempt: always the same, and short enough for a label.
pub(crate) fn pod_name(run: &Run, step: &StepStatus) -> String {
    let digest = Sha256::digest(key(run, step).as_bytes());
    let hash: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("run-{hash}")
}

pub(super) fn run(run: &Run, step: &StepStatus, world: &World) -> Progress {
    let Some(template) = &step.step.container else { return failed("the step has no container") };
    let name = pod_name(run, step);
    match world.containers.get(&name) {
        None if step.running_since.is_some() => {
            Progress::Ended(RunPhase::Ambiguous, "its pod was removed before its end was seen".to_owned())
        }
        None => {
            let Some(node) = &world.node else { return failed("the machine is no node: nothing runs there") };
            let plan = PodPlan {
                name,
                node: node.metadata.name.clone().unwrap_or_default(),
                key: key(run, step),
                machine: run.spec.machine.clone(),
                container: template.clone(),
                seconds: step.step.deadline.0.as_secs().max(1),
            };
            Progress::Do(Effect::Container(Box::new(plan)), format!("starts {}", template.image))
        }
        Some(ContainerSeen::Waiting(reason)) => Progress::Wait(format!("its container waits: {reason}")),
        Some(ContainerSeen::Running(since)) => Progress::Under(*since, format!("{} runs", template.image)),
        Some(ContainerSeen::Ended { code: Some(0), tail }) => done(told("exit code 0", tail)),
        Some(ContainerSeen::Ended { code: Some(code), tail }) => {
            failed(told(&format!("exit code {code}"), tail))
        }
        Some(ContainerSeen::Ended { code: None, tail }) => failed(told("it was ended", tail)),
    }
}

fn told(how: &str, tail: &str) -> String {
    match tail.trim() {
        "" => how.to_owned(),
        tail => format!("{how}: {tail}"),
    }
}
