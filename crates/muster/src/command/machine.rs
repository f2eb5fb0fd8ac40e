//! `muster machine list|show|import`.

mod import;

use kube::{Api, ResourceExt as _};
use muster_api::Machine;

pub(crate) use import::import;

use crate::cli::{Format, OutputArgs, ShowArgs};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

const PATH: &str = "/apis/muster.dev/v1alpha1/machines";

pub(crate) async fn list(args: OutputArgs) -> Result<(), Failure> {
    output::list(&connect(&args.client).await?, PATH, args.output).await
}

pub(crate) async fn show(args: ShowArgs) -> Result<(), Failure> {
    let client = connect(&args.output.client).await?;
    if args.output.output != Format::Table {
        return output::list(&client, &format!("{PATH}/{}", args.name), args.output.output).await;
    }
    let machine = Api::<Machine>::all(client)
        .get(&args.name)
        .await
        .map_err(|error| Failure::api(format!("machine {}", args.name), &error))?;
    output::text(&output::columns(described(&machine).into_iter()))
}

fn described(machine: &Machine) -> Vec<Vec<String>> {
    let (spec, status) = (&machine.spec, machine.status.clone().unwrap_or_default());
    let row = |name: &str, text: &str| vec![format!("{name}:"), text.to_owned()];
    let mut rows = vec![row("Name", &machine.name_any()), row("Site", &spec.site)];
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
    let times = [("Since", status.since), ("Deadline", status.deadline)];
    rows.extend(times.into_iter().filter_map(|(name, at)| at.map(|at| row(name, &at.to_string()))));
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
