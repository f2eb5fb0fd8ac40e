//! What `muster run show` tells.

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::Run;

use super::objects::{Shown, row};
use crate::output;

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
    let header =
        ["STEP", "ACTION", "PHASE", "ATTEMPT", "STARTED", "ENDED", "MESSAGE"].map(str::to_owned).to_vec();
    let steps = run.status.iter().flat_map(|status| &status.steps).map(|step| {
        vec![
            step.step.name.clone(),
            step.step.action.as_str().to_owned(),
            step.phase.as_str().to_owned(),
            step.attempt.to_string(),
            time(step.started_at),
            time(step.ended_at),
            step.message.clone(),
        ]
    });
    std::iter::once(header).chain(steps).collect()
}
