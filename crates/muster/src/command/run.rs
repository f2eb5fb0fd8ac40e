//! `muster run …`.

mod start;
mod verbs;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::Run;

pub(crate) use start::accepted;

use super::objects::{self, Shown, row};
use crate::cli::RunCommand;
use crate::failure::Failure;
use crate::output;

/// Does what the command line says.
pub(crate) async fn run(command: RunCommand) -> Result<(), Failure> {
    match command {
        RunCommand::List(args) => objects::list::<Run>(args).await,
        RunCommand::Show(args) => objects::show::<Run>(args).await,
        RunCommand::Start(args) => start::start(args).await,
        RunCommand::Plan(args) => start::plan(args).await,
        RunCommand::Pause(args) => verbs::pause(args).await,
        RunCommand::Resume(args) => verbs::resume(args).await,
        RunCommand::Retry(args) => verbs::retry(args).await,
        RunCommand::Cancel(args) => verbs::cancel(args).await,
        RunCommand::Undo(args) => verbs::undo(args).await,
        RunCommand::Approve(args) => verbs::approve(args).await,
    }
}

impl Shown for Run {
    fn described(&self) -> String {
        output::columns(described(self).into_iter()) + "\n" + &output::columns(steps(self).into_iter())
    }
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

fn described(run: &Run) -> Vec<Vec<String>> {
    let status = run.status.clone().unwrap_or_default();
    let mut rows = vec![
        row("Name", run.name_any()),
        row("Workflow", run.spec.workflow.clone()),
        row("Machine", run.spec.machine.clone()),
    ];
    for (name, value) in &status.parameters {
        rows.push(row("Parameter", format!("{name}={value}")));
    }
    if let Some(parent) = &run.spec.parent {
        rows.push(row("Part of", format!("{} step {}", parent.run, parent.step)));
    }
    if let Some(plan) = status.plan.as_ref().filter(|plan| plan.revision > 1) {
        rows.push(row("Plan", format!("{}, revision {}, after {}", plan.id, plan.revision, plan.parent)));
    }
    if let Some(counts) = &status.counts {
        rows.push(row("Steps", format!("{} of {} succeeded", counts.succeeded, counts.total)));
    }
    if !run.spec.problem.is_empty() {
        rows.push(row("Problem", run.spec.problem.clone()));
    }
    rows.extend([
        row("Phase", status.phase.as_str().to_owned()),
        row("Started", time(status.started_at)),
        row("Ended", time(status.ended_at)),
        row("Message", status.message),
    ]);
    rows
}

fn steps(run: &Run) -> Vec<Vec<String>> {
    let header = ["STEP", "ACTION", "PHASE", "ATTEMPT", "STARTED", "DUE", "ENDED", "MESSAGE"]
        .map(str::to_owned)
        .to_vec();
    let steps = run.status.iter().flat_map(|status| &status.steps).map(|step| {
        vec![
            step.step.name.clone(),
            step.step.action.as_str().to_owned(),
            step.phase.as_str().to_owned(),
            step.attempt.to_string(),
            time(step.started_at),
            time(step.due_at),
            time(step.ended_at),
            step.message.clone(),
        ]
    });
    std::iter::once(header).chain(steps).collect()
}
