//! What `muster machine show` tells; `muster machine import`.

mod claim;
pub(crate) mod discover;
mod import;
pub(crate) mod power;
mod retire;
pub(crate) mod token;

use kube::ResourceExt as _;
use muster_api::Machine;

pub(crate) use import::import;
pub(crate) use retire::retire;

use super::history;
use super::objects::{self, Shown, row};
use crate::cli::history::ListArgs;
use crate::failure::Failure;
use crate::output;

pub(crate) async fn list(args: ListArgs) -> Result<(), Failure> {
    if args.condition.is_some() || args.as_of.is_some() || args.group_by.is_some() {
        return history::list(&args).await;
    }
    objects::list::<Machine>(args.output).await
}

impl Shown for Machine {
    fn described(&self) -> String {
        output::columns(described(self).into_iter())
    }
}

fn described(machine: &Machine) -> Vec<Vec<String>> {
    let (spec, status) = (&machine.spec, machine.status.clone().unwrap_or_default());
    let mut rows = vec![row("Name", machine.name_any()), row("Site", &spec.site)];
    for (name, text) in
        [("Rack", &spec.rack), ("Serial", &spec.serial), ("Role", &spec.role), ("Profile", &spec.profile)]
    {
        if !text.is_empty() {
            rows.push(row(name, text));
        }
    }
    if let Some(bmc) = &spec.bmc {
        rows.push(row("BMC", &bmc.address));
    }
    rows.push(row("Phase", status.phase.as_str()));
    if let Some(wish) = &spec.hands_off {
        rows.push(row("Hands off", format!("until {} by {}: {}", wish.until, wish.by, wish.reason)));
    }
    let times = [("Since", status.since), ("Deadline", status.deadline)];
    rows.extend(times.into_iter().filter_map(|(name, at)| at.map(|at| row(name, at))));
    for (name, text) in [
        ("Message", &status.message),
        ("Node", &status.node),
        ("Boot ID", &status.boot_id),
        ("Run", &status.run),
    ] {
        if !text.is_empty() {
            rows.push(row(name, text));
        }
    }
    for condition in &status.conditions {
        let text = format!("{:?} ({}): {}", condition.status, condition.reason, condition.message);
        rows.push(row(&condition.r#type, &text));
    }
    rows
}
