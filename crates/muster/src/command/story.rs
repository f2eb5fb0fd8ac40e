//! `muster machine history`.

use kube::Api;
use kube::api::ListParams;
use muster_api::{Machine, Problem, Run};
use muster_machines::history;
use serde_json::Value;

use crate::cli::{Format, ShowArgs};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

pub(crate) async fn history(args: ShowArgs) -> Result<(), Failure> {
    let client = connect(&args.output.client).await?;
    let failure = |error: kube::Error| Failure::api(format!("history of machine {}", args.name), &error);
    let machine = Api::<Machine>::all(client.clone()).get(&args.name).await.map_err(failure)?;
    let problems = Api::<Problem>::all(client.clone()).list(&ListParams::default()).await.map_err(failure)?;
    let runs = Api::<Run>::all(client).list(&ListParams::default()).await.map_err(failure)?;
    let events = history::assemble(&machine, &problems.items, &runs.items);
    match args.output.output {
        Format::Table | Format::Wide => {
            let header = ["TIME", "SOURCE", "WHAT", "DETAIL"].map(str::to_owned).to_vec();
            let rows = events.into_iter().map(|event| {
                let source = if event.source == "Machine" { event.source.to_owned() } else { event.name };
                vec![format!("{:.3}", event.at), source, event.what, event.detail]
            });
            output::text(&output::columns(std::iter::once(header).chain(rows)))
        }
        format @ (Format::Json | Format::Yaml) => {
            let events: Result<Vec<Value>, _> = events.iter().map(serde_json::to_value).collect();
            output::items(
                events.map_err(|error| Failure::failed("cannot print the history", &error))?,
                format,
            )
        }
    }
}
