//! `muster history show|verify`, and what the machine commands ask of the history.

pub(super) mod story;

use http::Request;
use kube::Client;
use muster_history::{GROUP, Operation, VERSION, Verdict, Via};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::Format;
use crate::cli::history::{ListArgs, RangeArgs, ShowArgs, VerifyArgs};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

/// One field that changed, as the history tells it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) time: jiff::Timestamp,
    pub(super) revision: u64,
    pub(super) operation: Operation,
    pub(super) field: String,
    pub(super) old: Value,
    pub(super) new: Value,
    pub(super) user: Option<String>,
    pub(super) manager: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) via: Via,
    pub(super) seen_late: bool,
}

impl Change {
    /// Who did it, as far as is known.
    pub(super) fn who(&self) -> String {
        let late = if self.seen_late { ", seen late" } else { "" };
        match (&self.user, &self.manager) {
            (Some(user), _) if self.via == Via::WebhookSeveral => format!("{user}, one of them{late}"),
            (Some(user), _) => format!("{user}{late}"),
            (None, Some(manager)) => format!("({manager}, no webhook{late})"),
            (None, None) => format!("(no webhook{late})"),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            format!("{:.3}", self.time),
            self.revision.to_string(),
            self.field.clone(),
            value(&self.old),
            value(&self.new),
            self.who(),
            self.reason.clone().unwrap_or_default(),
        ]
    }
}

/// A value in a table.
pub(super) fn value(value: &Value) -> String {
    const WIDTH: usize = 60;
    let text = match value {
        Value::Null => return "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    if text.chars().count() <= WIDTH {
        return text;
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}

fn path(resource: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/{resource}")
}

/// The API server has no history behind it, or it does not answer.
fn is_not_served(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status.code == 503 || status.code == 404 && !status.message.starts_with("the history")
}

fn failure(error: &kube::Error) -> Failure {
    if is_not_served(error) {
        return Failure::Failed(format!(
            "this cluster does not serve the history: {}; it needs `muster up` or `muster controllers` running, and an API server that can reach it (`muster controllers --webhook-address`)",
            muster_control::explain(error)
        ));
    }
    Failure::api("history", error)
}

async fn send<T: for<'de> Deserialize<'de>>(
    client: &Client,
    request: Request<Vec<u8>>,
) -> Result<T, Failure> {
    client.request(request).await.map_err(|error| failure(&error))
}

async fn ask(client: &Client, resource: &str, kind: &str, spec: &Value) -> Result<Value, Failure> {
    let body = json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "spec": spec});
    let request = Request::post(path(resource)).header(http::header::CONTENT_TYPE, "application/json");
    let request =
        request.body(body.to_string().into_bytes()).map_err(|error| Failure::failed("history", &error))?;
    send(client, request).await
}

/// A list of many pages, whole; with how many old ones of an object were left out.
async fn pages(
    client: &Client,
    resource: &str,
    parameters: &[(&str, String)],
) -> Result<(Vec<Value>, u64), Failure> {
    let (mut items, mut left_out, mut next) = (Vec::new(), 0, String::new());
    loop {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        if !next.is_empty() {
            query.append_pair("continue", &next);
        }
        let path = format!("{}?{}", path(resource), query.finish());
        let request =
            Request::get(path).body(Vec::new()).map_err(|error| Failure::failed("history", &error))?;
        let mut page: Value = send(client, request).await?;
        if let Value::Array(more) = page["items"].take() {
            items.extend(more);
        }
        left_out += page["metadata"]["leftOut"].as_u64().unwrap_or(0);
        next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if next.is_empty() {
            return Ok((items, left_out));
        }
    }
}

/// The changes of these fields of all objects of a kind that are or were, object by object, until then.
pub(super) async fn all_changes(
    client: &Client,
    kind: &str,
    fields: &[&str],
    until: jiff::Timestamp,
) -> Result<Vec<Change>, Failure> {
    let mut parameters = vec![("kind", kind.to_owned()), ("until", until.to_string())];
    parameters.extend(fields.iter().map(|field| ("field", (*field).to_owned())));
    let (items, left_out) = pages(client, "changes", &parameters).await?;
    if 0 < left_out {
        output::note(&format!("{left_out} old changes of {kind}s are too many to be told and not counted"))?;
    }
    parse(&items)
}

/// What an object of a kind was last.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) object: Value,
}

/// What all objects of a kind that are or were were last.
pub(super) async fn states(client: &Client, kind: &str) -> Result<Vec<State>, Failure> {
    let (items, _) = pages(client, "states", &[("kind", kind.to_owned())]).await?;
    let read = |item| serde_json::from_value(item).map_err(|error| Failure::failed("history", &error));
    items.into_iter().map(read).collect()
}

/// The changes of one object.
pub(super) async fn changes(
    client: &Client,
    kind: &str,
    name: &str,
    range: &RangeArgs,
) -> Result<Vec<Value>, Failure> {
    let mut parameters = vec![("kind", kind.to_owned()), ("name", name.to_owned())];
    parameters.extend(range.field.iter().map(|field| ("field", field.clone())));
    for (key, time) in [("since", range.since), ("until", range.until)] {
        parameters.extend(time.map(|time| (key, time.to_string())));
    }
    Ok(pages(client, "changes", &parameters).await?.0)
}

/// As the history tells them, or with an error that says what this program does not understand.
pub(super) fn parse(items: &[Value]) -> Result<Vec<Change>, Failure> {
    let read = |item: &Value| Change::deserialize(item);
    items.iter().map(read).collect::<Result<_, _>>().map_err(|error| Failure::failed("history", &error))
}

/// Prints changes one by one.
pub(super) fn print(items: Vec<Value>, format: Format) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide => {
            let header =
                ["TIME", "REVISION", "FIELD", "OLD", "NEW", "WHO", "REASON"].map(str::to_owned).to_vec();
            let rows = parse(&items)?;
            output::text(&output::columns(std::iter::once(header).chain(rows.iter().map(Change::row))))
        }
        Format::Json | Format::Yaml => output::items(items, format),
    }
}

pub(crate) async fn show(args: ShowArgs) -> Result<(), Failure> {
    let client = connect(&args.output.client).await?;
    print(changes(&client, &args.kind, &args.name, &args.range).await?, args.output.output)
}

pub(crate) async fn verify(args: VerifyArgs) -> Result<(), Failure> {
    let verdict: Verdict = match &args.files {
        Some(files) => {
            muster_history::verify(files, args.anchor.as_deref()).map_err(|error| match error {
                muster_history::VerifyError::Anchor(words) => Failure::Refused(words),
                error @ muster_history::VerifyError::Read(_) => Failure::failed("history", &error),
            })?
        }
        None => {
            let client = connect(&args.client).await?;
            let mut answer =
                ask(&client, "verifications", "Verification", &json!({"anchor": args.anchor})).await?;
            serde_json::from_value(answer["status"].take())
                .map_err(|error| Failure::failed("history", &error))?
        }
    };
    if let Some(broken) = &verdict.broken {
        return Err(Failure::Failed(format!(
            "the history is broken at record {}: {} at offset {}: {}; the {} records before hold",
            broken.record, broken.file, broken.offset, broken.reason, verdict.records
        )));
    }
    output::text(&format!(
        "{} records in {} segments hold\nanchor: {}:{}\n",
        verdict.records, verdict.segments, verdict.records, verdict.chain
    ))
}

/// `muster machine list` with a condition, a time or groups.
pub(super) async fn list(args: &ListArgs) -> Result<(), Failure> {
    let client = connect(&args.output.client).await?;
    let spec = json!({"where": args.condition.as_deref().unwrap_or(""), "asOf": args.as_of, "groupBy": args.group_by});
    let answer = ask(&client, "queries", "Query", &spec).await?;
    if matches!(args.output.output, Format::Json | Format::Yaml) {
        return output::object(&answer, args.output.output);
    }
    let status = &answer["status"];
    let rows = |key: &str, columns: &[&str]| {
        let list = status[key].as_array().cloned().unwrap_or_default();
        let cells = |item: &Value| columns.iter().map(|column| cell(&item[*column])).collect();
        list.iter().map(cells).collect::<Vec<Vec<String>>>()
    };
    let (header, rows) = match &args.group_by {
        Some(field) => {
            (vec![field.to_uppercase(), "MACHINES".to_owned()], rows("groups", &["value", "machines"]))
        }
        None => {
            let columns = ["name", "site", "rack", "role", "phase"];
            (columns.map(str::to_uppercase).to_vec(), rows("items", &columns))
        }
    };
    output::text(&output::columns(std::iter::once(header).chain(rows)))?;
    output::note(&format!(
        "{} of {} machines as of {}{}",
        status["matched"],
        status["machines"],
        status["asOf"].as_str().unwrap_or(""),
        match status["undecided"].as_u64() {
            Some(undecided @ 1..) => format!("; {undecided} lack a field that the condition needs"),
            Some(0) | None => String::new(),
        }
    ))
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}
