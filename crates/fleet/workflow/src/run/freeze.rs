//! The plan of a run: the workflow with the values put in, without a choice left.

use std::collections::BTreeMap;

use muster_api::workflow::{
    Action, CHUNK_STEPS, PlanId, RunStatus, STEPS_MAX, Step, StepStatus, Undo, WorkflowSpec,
};
use sha2::{Digest as _, Sha256};

use crate::graph;
use crate::parameters::{self, ParameterError};

/// Steps of one run.
const TOTAL_MAX: u32 = 200_000;

type Values = BTreeMap<String, String>;

/// One step of the template and its repetitions.
#[derive(Clone, Copy, Debug)]
struct Block<'a> {
    step: &'a Step,
    after: &'a [String],
    repeats: Option<u32>,
    finally: bool,
}

impl Block<'_> {
    fn count(&self) -> u32 {
        self.repeats.unwrap_or(1)
    }
}

/// The steps of a workflow for given values, in an order in which each comes after those it waits for.
pub(crate) struct Layout<'a> {
    parts: [Vec<Block<'a>>; 2],
    values: &'a Values,
}

/// What each step comes after, spelled out; kept apart, for blocks only borrow.
pub(crate) struct Afters([Vec<Vec<String>>; 2]);

impl Afters {
    pub(crate) fn of(spec: &WorkflowSpec) -> Self {
        let owned = |steps: &[Step]| {
            let after = graph::after(steps).into_iter();
            after.map(|names| names.into_iter().map(str::to_owned).collect()).collect()
        };
        Self([owned(&spec.steps), owned(&spec.finally)])
    }
}

impl<'a> Layout<'a> {
    /// Counts the steps.
    pub(crate) fn of(
        spec: &'a WorkflowSpec,
        afters: &'a Afters,
        values: &'a Values,
    ) -> Result<Self, ParameterError> {
        let part = |name: &str, steps: &'a [Step], after: &'a [Vec<String>], finally: bool| {
            let blocks = graph::order(steps).into_iter().map(|index| {
                let path = format!("{name}[{index}]");
                let step = &steps[index];
                let repeats = parameters::repetitions(step, values, &path)?;
                // Judged once here, so that the rest cannot fail.
                parameters::filled(step, values, 0, &path)?;
                Ok(Block { step, after: &after[index], repeats, finally })
            });
            blocks.collect::<Result<Vec<_>, ParameterError>>()
        };
        let main = part("spec.steps", &spec.steps, &afters.0[0], false)?;
        let layout = Self { parts: [main, part("spec.finally", &spec.finally, &afters.0[1], true)?], values };
        let total = layout.total();
        if total > TOTAL_MAX {
            return Err(ParameterError::Repeat {
                path: "spec.steps".to_owned(),
                text: total.to_string(),
                most: TOTAL_MAX,
            });
        }
        Ok(layout)
    }

    /// All steps.
    pub(crate) fn total(&self) -> u32 {
        self.parts.iter().flatten().map(Block::count).sum()
    }

    /// Whether the steps stand in chunks.
    pub(crate) fn is_chunked(&self) -> bool {
        self.total() as usize > STEPS_MAX
    }

    fn chunks_of(&self, part: usize) -> u32 {
        let count: u32 = self.parts[part].iter().map(Block::count).sum();
        count.div_ceil(CHUNK_STEPS as u32)
    }

    /// All chunks.
    pub(crate) fn chunks(&self) -> u32 {
        self.chunks_of(0) + self.chunks_of(1)
    }

    /// The first chunk of the part that always runs.
    pub(crate) fn first_finally(&self) -> u32 {
        self.chunks_of(0)
    }

    /// Steps in the main chunks from `index` on.
    pub(crate) fn main_steps_from(&self, index: u32) -> u32 {
        let main: u32 = self.parts[0].iter().map(Block::count).sum();
        main.saturating_sub(index * CHUNK_STEPS as u32)
    }

    /// The steps of one chunk.
    pub(crate) fn chunk(&self, index: u32) -> Vec<StepStatus> {
        let (part, index) = match index.checked_sub(self.chunks_of(0)) {
            Some(index) => (1, index),
            None => (0, index),
        };
        let from = index * CHUNK_STEPS as u32;
        self.steps(part, from, from + CHUNK_STEPS as u32)
    }

    /// Every step.
    pub(crate) fn all(&self) -> Vec<StepStatus> {
        let mut steps = self.steps(0, 0, u32::MAX);
        steps.extend(self.steps(1, 0, u32::MAX));
        steps
    }

    /// The steps of a part from one number to before another.
    fn steps(&self, part: usize, from: u32, to: u32) -> Vec<StepStatus> {
        let mut steps = Vec::new();
        let mut begin = 0;
        for block in &self.parts[part] {
            let end = begin + block.count();
            for number in begin.max(from)..end.min(to) {
                steps.push(self.step(block, number - begin));
            }
            begin = end;
        }
        steps
    }

    fn step(&self, block: &Block<'_>, number: u32) -> StepStatus {
        let filled = parameters::filled(block.step, self.values, number, "");
        let mut step = filled.unwrap_or_else(|_| block.step.clone());
        step.after = Some(block.after.to_vec());
        let mut of = String::new();
        if block.repeats.is_some() {
            of.clone_from(&step.name);
            step.name = format!("{of}-{number}");
            step.repeat = String::new();
        }
        StepStatus { finally: block.finally, of, ..StepStatus::pending(step) }
    }
}

/// What takes the succeeded steps back, last first, each after the one before; under a grant where they had one.
pub(crate) fn undo_steps(done: &[StepStatus]) -> Vec<StepStatus> {
    let mut succeeded: Vec<(usize, &StepStatus)> = done
        .iter()
        .enumerate()
        .filter(|(_, step)| step.phase == muster_api::workflow::RunPhase::Succeeded && step.undoes.is_empty())
        .collect();
    succeeded.sort_by_key(|(index, step)| (step.ended_at, *index));
    let mut steps: Vec<StepStatus> = Vec::new();
    for (_, step) in succeeded.into_iter().rev() {
        let Some(undo) = &step.step.undo else { continue };
        let after = steps.last().map(|before: &StepStatus| before.step.name.clone());
        let mut taken_back = undo_step(&step.step, undo);
        taken_back.after = Some(after.into_iter().collect());
        steps.push(StepStatus { undoes: step.step.name.clone(), ..StepStatus::pending(taken_back) });
    }
    // What was done to a machine out of service is taken back on one out of service.
    let granted = done.iter().any(|step| step.step.action == Action::Disrupt && step.undoes.is_empty());
    let disturbs = steps.iter().any(|step| crate::template::disturbs(&step.step));
    if steps.is_empty() || !(granted || disturbs) {
        return steps;
    }
    let hour = muster_api::GoDuration(std::time::Duration::from_secs(3600));
    let ten = muster_api::GoDuration(std::time::Duration::from_secs(600));
    let minute = muster_api::GoDuration(std::time::Duration::from_secs(60));
    let grant = Step { after: Some(Vec::new()), ..Step::new("undo-grant", Action::Disrupt, hour) };
    let release = Step { after: Some(Vec::new()), ..Step::new("undo-release", Action::Release, minute) };
    // The machine was taken out of service to be undone: it proves itself before it serves again.
    let last = steps.last().map(|step| step.step.name.clone());
    let probation = Step {
        attempts: 3,
        after: Some(last.into_iter().collect()),
        ..Step::new("undo-probation", Action::Probation, ten)
    };
    let healthy = Step {
        after: Some(vec![probation.name.clone()]),
        ..Step::new("undo-healthy", Action::Healthy, minute)
    };
    steps[0].step.after = Some(vec![grant.name.clone()]);
    let own = |step: Step| StepStatus { undoes: "-".to_owned(), ..StepStatus::pending(step) };
    steps.insert(0, own(grant));
    steps.extend([own(probation), own(healthy)]);
    steps.push(StepStatus { finally: true, ..own(release) });
    steps
}

fn undo_step(step: &Step, undo: &Undo) -> Step {
    let deadline = undo.deadline.unwrap_or(step.deadline);
    Step {
        order: undo.order.clone(),
        container: undo.container.clone(),
        webhook: undo.webhook.clone(),
        attempts: step.attempts,
        backoff: step.backoff,
        ..Step::new(format!("undo-{}", step.name), undo.action, deadline)
    }
}

/// The plan that follows `parent`, named by its content.
pub(crate) fn identify(status: &RunStatus, parent: Option<&PlanId>) -> PlanId {
    let mut hash = Sha256::new();
    let parent_id = parent.map(|plan| plan.id.clone()).unwrap_or_default();
    hash.update(parent_id.as_bytes());
    for step in &status.steps {
        hash.update(serde_json::to_vec(&step.step).unwrap_or_default());
        hash.update([u8::from(step.finally), u8::from(step.phase.is_final())]);
    }
    if let Some(template) = &status.template {
        hash.update(serde_json::to_vec(template).unwrap_or_default());
        hash.update(serde_json::to_vec(&status.parameters).unwrap_or_default());
    }
    let digest = hash.finalize();
    let id = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    PlanId { id, parent: parent_id, revision: parent.map_or(1, |plan| plan.revision + 1) }
}
