//! `muster claim list|show`.

use kube::ResourceExt as _;
use muster_api::MachineClaim;

use crate::command::objects::{Shown, row};
use crate::output;

impl Shown for MachineClaim {
    fn described(&self) -> String {
        output::columns(described(self).into_iter())
    }
}

fn described(claim: &MachineClaim) -> Vec<Vec<String>> {
    let (spec, status) = (&claim.spec, claim.status.clone().unwrap_or_default());
    let mut rows = vec![row("Name", claim.name_any()), row("Role", &spec.role)];
    if !spec.where_.is_empty() {
        rows.push(row("Where", &spec.where_));
    }
    if let Some(spread) = spec.spread {
        rows.push(row("Spread", format!("{spread:?}").to_lowercase()));
    }
    rows.push(row("Bound", format!("{} of {}", status.bound, spec.count)));
    if !status.reason.is_empty() {
        rows.push(row("Reason", &status.reason));
    }
    rows.extend(status.machines.iter().map(|machine| row("Machine", machine)));
    rows
}
