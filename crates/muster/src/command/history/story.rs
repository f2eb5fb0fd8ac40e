//! `muster machine history`: what the machine's own objects tell, and who changed what it is meant to be.

use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client};
use muster_api::{Machine, Problem, Run};
use muster_history::Operation;
use muster_machines::history::{self as told, Event};
use serde_json::Value;

use super::{Change, value};
use crate::cli::Format;
use crate::cli::history::{RangeArgs, StoryArgs};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

pub(crate) async fn history(args: StoryArgs) -> Result<(), Failure> {
    let client = connect(&args.output.client).await?;
    if args.range.field.is_some() || args.all {
        return one_by_one(&client, &args).await;
    }
    let mut events = story(&client, &args.name).await?;
    match super::changes(&client, "Machine", &args.name, &args.range).await {
        Ok(items) => merge(&mut events, super::parse(&items)?),
        // The story is there without the history, but not for a machine that is gone.
        Err(error) if events.is_none() => return Err(error),
        Err(error) => output::note(&format!("who changed what is not shown: {error}"))?,
    }
    let (since, until) =
        (args.range.since.unwrap_or(Timestamp::MIN), args.range.until.unwrap_or(Timestamp::MAX));
    let mut events = events.unwrap_or_default();
    events.retain(|event| since <= event.at && event.at <= until);
    events.sort();
    print(events, args.output.output)
}

async fn one_by_one(client: &Client, args: &StoryArgs) -> Result<(), Failure> {
    // A field of the inventory is named as a condition names it.
    let of_inventory = args.range.field.as_deref().and_then(|field| field.strip_prefix("inventory."));
    if let Some(field) = of_inventory {
        let range = RangeArgs { field: Some(format!("status.{field}")), ..args.range.clone() };
        return super::print(
            super::changes(client, "Inventory", &args.name, &range).await?,
            args.output.output,
        );
    }
    let own =
        args.range.field.as_deref().map(|field| field.strip_prefix("machine.").unwrap_or(field).to_owned());
    let range = RangeArgs { field: own, ..args.range.clone() };
    let mut items = super::changes(client, "Machine", &args.name, &range).await?;
    if args.all && args.range.field.is_none() {
        match super::changes(client, "Inventory", &args.name, &range).await {
            Ok(more) => items.extend(more),
            Err(Failure::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        items.sort_by_key(|item| item["revision"].as_u64());
    }
    super::print(items, args.output.output)
}

/// What the objects tell; `None` when there is no such machine now.
async fn story(client: &Client, name: &str) -> Result<Option<Vec<Event>>, Failure> {
    let failure = |error: kube::Error| Failure::api(format!("history of machine {name}"), &error);
    let Some(machine) = Api::<Machine>::all(client.clone()).get_opt(name).await.map_err(failure)? else {
        return Ok(None);
    };
    let problems = Api::<Problem>::all(client.clone()).list(&ListParams::default()).await.map_err(failure)?;
    let runs = Api::<Run>::all(client.clone()).list(&ListParams::default()).await.map_err(failure)?;
    Ok(Some(told::assemble(&machine, &problems.items, &runs.items)))
}

/// Adds what was intended and by whom. What was observed is told by the phases already; bookkeeping tells nothing.
fn merge(events: &mut Option<Vec<Event>>, changes: Vec<Change>) {
    let events = events.get_or_insert_default();
    let intended = |change: &Change| {
        let field = change.field.as_str();
        (field.starts_with("spec") || field.starts_with("metadata.labels"))
            && change.operation == Operation::Update
    };
    let mut begun_or_ended: Vec<(u64, Operation)> = Vec::new();
    for change in changes {
        let whole = (change.revision, change.operation);
        let what = match change.operation {
            Operation::Update if intended(&change) => {
                format!("{}: {} → {}", change.field, value(&change.old), value(&change.new))
            }
            Operation::Create if !begun_or_ended.contains(&whole) => "created".to_owned(),
            Operation::Delete if !begun_or_ended.contains(&whole) => "deleted".to_owned(),
            Operation::Create | Operation::Update | Operation::Delete => continue,
        };
        begun_or_ended.push(whole);
        let reason = change.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let detail = format!("by {}{reason}", change.who());
        events.push(Event { at: change.time, source: "Change", name: "Change".to_owned(), what, detail });
    }
}

fn print(events: Vec<Event>, format: Format) -> Result<(), Failure> {
    match format {
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
