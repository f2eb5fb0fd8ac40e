//! What `muster problem show` tells.

use kube::ResourceExt as _;
use muster_api::Problem;

use super::{Shown, row};
use crate::output;

impl Shown for Problem {
    fn described(&self) -> String {
        output::columns(described(self).into_iter())
    }
}

fn described(problem: &Problem) -> Vec<Vec<String>> {
    let status = problem.status.clone().unwrap_or_default();
    let mut rows = vec![
        row("Name", problem.name_any()),
        row("Machine", problem.spec.machine.clone()),
        row("Class", problem.spec.class.clone()),
        row("Component", problem.spec.component.clone()),
        row("State", status.state.as_str().to_owned()),
        row("Episode", status.episode.to_string()),
        row("Count", status.count.to_string()),
    ];
    let times = [
        ("First seen", status.first_seen),
        ("Opened", status.opened_at),
        ("Last seen", status.last_seen),
        ("Cleared", status.cleared_at),
    ];
    rows.extend(times.into_iter().filter_map(|(name, at)| at.map(|at| row(name, at.to_string()))));
    rows.extend(
        status.evidence.iter().map(|evidence| row("Evidence", format!("{}  {}", evidence.at, evidence.text))),
    );
    rows
}
