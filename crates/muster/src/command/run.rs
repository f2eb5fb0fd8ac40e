//! `muster run list|show`.

use jiff::Timestamp;
use kube::{Api, ResourceExt as _};
use muster_api::Run;

use crate::cli::{Format, OutputArgs, ShowArgs};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

const PATH: &str = "/apis/muster.dev/v1alpha1/runs";

pub(crate) async fn list(args: OutputArgs) -> Result<(), Failure> {
    output::list(&connect(&args.client).await?, PATH, args.output).await
}

pub(crate) async fn show(args: ShowArgs) -> Result<(), Failure> {
    let client = connect(&args.output.client).await?;
    if args.output.output != Format::Table {
        return output::list(&client, &format!("{PATH}/{}", args.name), args.output.output).await;
    }
    let run = Api::<Run>::all(client)
        .get(&args.name)
        .await
        .map_err(|error| Failure::api(format!("run {}", args.name), &error))?;
    output::text(&output::columns(described(&run).into_iter()))?;
    output::text("\n")?;
    output::text(&output::columns(steps(&run).into_iter()))
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

fn described(run: &Run) -> Vec<Vec<String>> {
    let status = run.status.clone().unwrap_or_default();
    let row = |name: &str, text: String| vec![format!("{name}:"), text];
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
