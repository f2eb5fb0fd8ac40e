//! A run that is a part of another.

use kube::ResourceExt as _;
use muster_api::MACHINE_LABEL;
use muster_api::workflow::{Action, ParentStep, Run, RunPhase, RunSpec, StepStatus};

use super::super::plan::{Effect, World};
use super::{Progress, failed};

/// Runs may be nested so deep.
pub(crate) const DEPTH_MAX: u32 = 8;

pub(crate) fn name(run: &Run, step: &StepStatus) -> String {
    format!("{}.{}.{}", run.name_any(), step.step.name, step.attempt)
}

pub(super) fn run(run: &Run, step: &StepStatus, world: &World) -> Progress {
    let Some(template) = &step.step.run else { return failed("the step names no workflow") };
    let name = name(run, step);
    let Some(child) = world.children.get(&name) else {
        let depth = run.spec.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
        if depth > DEPTH_MAX {
            return failed(format!("runs are nested deeper than {DEPTH_MAX}"));
        }
        let parent = ParentStep { run: run.name_any(), step: step.step.name.clone(), depth };
        let spec = RunSpec {
            workflow: template.workflow.clone(),
            machine: run.spec.machine.clone(),
            parameters: template.parameters.clone(),
            parent: Some(parent),
            ..RunSpec::default()
        };
        let mut child = Run::new(&name, spec);
        child.labels_mut().insert(MACHINE_LABEL.to_owned(), run.spec.machine.clone());
        return Progress::Do(Effect::Child(Box::new(child)), format!("begins run {name}"));
    };
    let status = child.status.clone().unwrap_or_default();
    let message = if status.message.is_empty() {
        format!("run {name} is {}", status.phase.as_str())
    } else {
        format!("run {name}: {}", status.message)
    };
    match status.phase {
        RunPhase::Pending | RunPhase::Running | RunPhase::Paused => {
            let overdue = step.due_at.is_some_and(|due| due <= world.now);
            let told = run.spec.cancel || (run.spec.undo && !is_undoing(run)) || overdue;
            if told && !child.spec.cancel {
                return Progress::Do(Effect::CancelChild(name), message);
            }
            Progress::Wait(message)
        }
        RunPhase::Undone => failed(message),
        phase @ (RunPhase::Succeeded | RunPhase::Failed | RunPhase::Ambiguous | RunPhase::Cancelled) => {
            Progress::Ended(if phase == RunPhase::Cancelled { RunPhase::Failed } else { phase }, message)
        }
    }
}

fn is_undoing(run: &Run) -> bool {
    run.status.as_ref().is_some_and(|status| status.undoing)
}

/// Whether the parent asks for this run; everybody could write that it did.
pub(crate) fn judge(run: &Run, world: &World) -> Result<(), (&'static str, String)> {
    let Some(parent) = &run.spec.parent else { return Ok(()) };
    let asks = world.parent.as_ref().is_some_and(|asking| {
        let status = asking.status.clone().unwrap_or_default();
        let steps = status.steps.iter();
        let chunk = world.parent_chunk.iter().flat_map(|chunk| chunk.status.iter().flat_map(|s| &s.steps));
        let mut named = steps.chain(chunk).filter(|step| step.step.name == parent.step);
        let right =
            |step: &StepStatus| step.step.action == Action::Run && name(asking, step) == run.name_any();
        asking.spec.machine == run.spec.machine && named.any(right)
    });
    if asks {
        return Ok(());
    }
    let text = format!(
        "spec.parent: run {:?} does not ask for this one at step {:?}; leave spec.parent out",
        parent.run, parent.step
    );
    Err(("NotAsked", text))
}

/// Whether the run it is a part of has the machine in hand.
pub(crate) fn is_under(run: &Run, world: &World) -> bool {
    let fence = |status: &muster_api::machine::MachineStatus| status.fence;
    let machine = world.machine.as_ref().and_then(|machine| machine.status.as_ref());
    let parent = world.parent.as_ref().and_then(|parent| parent.status.as_ref());
    match (run.spec.parent.is_some(), machine, parent) {
        (true, Some(machine), Some(parent)) => {
            parent.phase == RunPhase::Running && parent.fence == fence(machine) && !machine.run.is_empty()
        }
        (_, _, _) => false,
    }
}
