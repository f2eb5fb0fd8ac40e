//! `muster problem list|show`.

use kube::{Api, ResourceExt as _};
use muster_api::Problem;

use crate::cli::{Format, OutputArgs, ShowArgs};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

const PATH: &str = "/apis/muster.dev/v1alpha1/problems";

pub(crate) async fn list(args: OutputArgs) -> Result<(), Failure> {
    output::list(&connect(&args.client).await?, PATH, args.output).await
}

pub(crate) async fn show(args: ShowArgs) -> Result<(), Failure> {
    let client = connect(&args.output.client).await?;
    if args.output.output != Format::Table {
        return output::list(&client, &format!("{PATH}/{}", args.name), args.output.output).await;
    }
    let problem = Api::<Problem>::all(client)
        .get(&args.name)
        .await
        .map_err(|error| Failure::api(format!("problem {}", args.name), &error))?;
    output::text(&output::columns(described(&problem).into_iter()))
}

fn described(problem: &Problem) -> Vec<Vec<String>> {
    let status = problem.status.clone().unwrap_or_default();
    let row = |name: &str, text: String| vec![format!("{name}:"), text];
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
