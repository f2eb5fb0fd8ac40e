//! `muster fleet report`: what became of the problems, counted anew from the history.

mod page;
pub(crate) mod sim;

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{Api, Client};
use muster_api::condition;
use muster_api::problem::EpisodeKey;
use muster_api::{Inventory, Machine, Run};
use muster_history::Operation;
use muster_workflow::planner::{REPAIR, Tried};
use muster_workflow::report::{Episode, Line, Report, report};
use serde::Serialize;
use serde_json::Value;

use super::clock;
use super::history::{Change, all_changes, states};
use crate::cli::fleet::{FleetReportArgs, ReportFormat};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

/// The report, with what it was counted from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    since: Timestamp,
    until: Timestamp,
    #[serde(flatten)]
    report: Report,
    /// Problems that are open now, by why nothing is done about them at the moment.
    held_now: BTreeMap<String, u64>,
}

pub(crate) async fn run(args: FleetReportArgs) -> Result<(), Failure> {
    let client = connect(&args.client).await?;
    let until = clock().now();
    let since = until
        .checked_sub(args.since.0)
        .map_err(|_| Failure::Refused(format!("--since {}: that is before the begin of time", args.since)))?;
    let told = count(&client, since, until).await?;
    match args.output {
        ReportFormat::Table => output::text(&table(&told)),
        ReportFormat::Json => {
            let text = serde_json::to_string_pretty(&told)
                .map_err(|error| Failure::failed("cannot print the report", &error))?;
            output::text(&format!("{text}\n"))
        }
        ReportFormat::Html => output::text(&page::page(&told)),
    }
}

/// Where a person says why there was nothing; it holds for the opening of that moment.
const FALSE_ALARM: &str = "metadata.annotations[\"muster.dev/false-alarm\"]";

/// What the report needs to know of a Problem.
const FIELDS: [&str; 9] = [
    FALSE_ALARM,
    "metadata.creationTimestamp",
    "spec.class",
    "spec.machine",
    "status.state",
    "status.episode",
    "status.firstSeen",
    "status.openedAt",
    "status.clearedAt",
];

/// What was tried for each problem, of the runs that are and of those that were removed.
async fn tried(client: &Client) -> Result<BTreeMap<String, Vec<Tried>>, Failure> {
    let mut tried: BTreeMap<String, Vec<Tried>> = BTreeMap::new();
    for state in states(client, "Run").await? {
        let mut run: Run = serde_json::from_value(state.object)
            .map_err(|error| Failure::failed(format!("the history of run {}", state.name), &error))?;
        run.metadata.name = Some(state.name);
        if let Some(one) = Tried::of(&run) {
            tried.entry(run.spec.problem.clone()).or_default().push(one);
        }
    }
    for done in tried.values_mut() {
        done.sort_by_key(|one| (one.began, one.run.clone()));
    }
    Ok(tried)
}

async fn count(client: &Client, since: Timestamp, until: Timestamp) -> Result<Told, Failure> {
    let tried = tried(client).await?;
    let (mut episodes, mut held_now) = (Vec::new(), BTreeMap::new());
    let mut places: BTreeMap<String, (String, String, String)> = BTreeMap::new();
    let changes = all_changes(client, "Problem", &FIELDS, until).await?;
    for changes in changes.chunk_by(|one, next| one.name == next.name) {
        let Course { class, machine, openings, stands } = course(changes);
        let of_now: Vec<&Opening> = openings.iter().filter(|one| since <= one.opened).collect();
        if of_now.is_empty() || machine.is_empty() {
            continue;
        }
        if !places.contains_key(&machine) {
            places.insert(machine.clone(), place(client, &machine).await?);
        }
        let (site, model, held) = places[&machine].clone();
        if stands && of_now.last().is_some_and(|last| last.cleared.is_none()) {
            *held_now.entry(held).or_insert(0) += 1;
        }
        episodes.extend(of_now.into_iter().map(|one| Episode {
            problem: changes[0].name.clone(),
            episode: one.episode,
            class: class.clone(),
            machine: machine.clone(),
            site: site.clone(),
            model: model.clone(),
            seen: one.seen,
            opened: one.opened,
            cleared: one.cleared,
            false_alarm: one.false_alarm,
        }));
    }
    Ok(Told { since, until, report: report(&episodes, &tried), held_now })
}

/// Where a machine stands and what model it is, and what is said about its repair.
async fn place(client: &Client, name: &str) -> Result<(String, String, String), Failure> {
    let failed = |error: kube::Error| Failure::api(format!("cannot read machine {name}"), &error);
    let machine = Api::<Machine>::all(client.clone()).get_opt(name).await.map_err(failed)?;
    let inventory = Api::<Inventory>::all(client.clone()).get_opt(name).await.map_err(failed)?;
    let model = inventory.and_then(|inventory| inventory.status).map(|facts| facts.model);
    let conditions = machine.as_ref().and_then(|machine| machine.status.as_ref()).map(|s| &s.conditions[..]);
    let held = condition::find(conditions.unwrap_or_default(), REPAIR).map(|told| told.reason.clone());
    let site = machine.map(|machine| machine.spec.site);
    Ok((site.unwrap_or_default(), model.unwrap_or_default(), held.unwrap_or_else(|| "-".to_owned())))
}

/// One opening of a problem, as the history has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Opening {
    episode: EpisodeKey,
    seen: Timestamp,
    opened: Timestamp,
    cleared: Option<Timestamp>,
    false_alarm: bool,
}

/// What happened to one Problem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Course {
    class: String,
    machine: String,
    openings: Vec<Opening>,
    /// It was not removed.
    stands: bool,
}

/// Follows the fields of a Problem through its changes, oldest first.
fn course(changes: &[Change]) -> Course {
    let mut fields: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut course = Course::default();
    // The last opening since it was filed.
    let (mut known, mut said) = (None, None);
    let mut changes = changes.iter().peekable();
    while let Some(change) = changes.next() {
        fields.insert(&change.field, &change.new);
        if changes.peek().is_some_and(|next| next.revision == change.revision) {
            continue;
        }
        course.stands = change.operation != Operation::Delete;
        if !course.stands {
            // What is filed again is another.
            (known, said, fields) = (None, None, BTreeMap::new());
            continue;
        }
        let text = |field: &str| fields.get(field)?.as_str();
        let time = |field: &str| text(field)?.parse::<Timestamp>().ok();
        for (name, told) in [("spec.class", &mut course.class), ("spec.machine", &mut course.machine)] {
            text(name).unwrap_or_default().clone_into(told);
        }
        let number = fields.get("status.episode").and_then(|value| value.as_i64()).unwrap_or(0);
        let episode = EpisodeKey { filed: time("metadata.creationTimestamp"), number };
        if let Some(opened) = time("status.openedAt").filter(|_| 0 < number && known < Some(episode)) {
            let seen = time("status.firstSeen").unwrap_or(opened);
            course.openings.push(Opening { episode, seen, opened, cleared: None, false_alarm: false });
            known = Some(episode);
        }
        if text("status.state") == Some("Clear")
            && known.is_some()
            && let Some(last) = course.openings.last_mut().filter(|last| last.cleared.is_none())
        {
            last.cleared = time("status.clearedAt");
        }
        let says = text(FALSE_ALARM).map(str::to_owned);
        if says != said
            && known.is_some()
            && let Some(last) = course.openings.last_mut()
        {
            last.false_alarm = says.is_some();
        }
        said = says;
    }
    course
}

fn seconds(seconds: f64) -> String {
    muster_api::GoDuration(std::time::Duration::from_secs_f64(seconds.round())).to_string()
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

/// Rows of a table, the first of them its header.
type Rows = Vec<Vec<String>>;

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn summary(told: &Told) -> Rows {
    let report = &told.report;
    let figure = |name: &str, value: String| vec![name.to_owned(), value];
    vec![
        figure("problems opened", report.opened.to_string()),
        figure("closed without a person", report.closed_without_person.to_string()),
        figure("  of these by themselves", report.cleared_by_themselves.to_string()),
        figure("given to a person", report.with_person.to_string()),
        figure("share without a person", percent(report.closed_without_person, report.decided)),
        figure("false alarms, as persons say", report.false_alarms.to_string()),
        figure("  of these interrupted a machine", report.false_repairs.to_string()),
        figure("time to detect, p50 / p99", {
            format!("{} / {}", seconds(report.time_to_detect.p50), seconds(report.time_to_detect.p99))
        }),
        figure("time to repair, p50 / p99", {
            format!("{} / {}", seconds(report.time_to_repair.p50), seconds(report.time_to_repair.p99))
        }),
    ]
}

fn lines(name: &str, lines: &BTreeMap<String, Line>) -> Rows {
    let mut rows = vec![row([
        name,
        "OPENED",
        "DECIDED",
        "WITHOUT A PERSON",
        "DETECT P50",
        "DETECT P99",
        "REPAIR P50",
        "REPAIR P99",
    ])];
    rows.extend(lines.iter().map(|(key, line)| {
        vec![
            if key.is_empty() { "-".to_owned() } else { key.clone() },
            line.opened.to_string(),
            line.decided.to_string(),
            percent(line.closed_without_person, line.decided),
            seconds(line.time_to_detect.p50),
            seconds(line.time_to_detect.p99),
            seconds(line.time_to_repair.p50),
            seconds(line.time_to_repair.p99),
        ]
    }));
    rows
}

fn rungs(told: &Told) -> Rows {
    let mut rows = vec![row(["RUNG", "DONE", "FIXED", "SHARE", "TOOK P50", "TOOK P99"])];
    rows.extend(told.report.per_rung.iter().map(|(action, line)| {
        vec![
            action.as_str().to_owned(),
            line.tried.to_string(),
            line.fixed.to_string(),
            percent(line.fixed, line.tried),
            seconds(line.took.p50),
            seconds(line.took.p99),
        ]
    }));
    rows
}

fn held(told: &Told) -> Rows {
    let mut rows = vec![row(["OPEN NOW BECAUSE", "PROBLEMS"])];
    rows.extend(told.held_now.iter().map(|(reason, count)| vec![reason.clone(), count.to_string()]));
    rows
}

/// Every table of the report; those without rows are left out.
fn tables(told: &Told) -> Vec<Rows> {
    let report = &told.report;
    let tables = [
        lines("CLASS", &report.per_class),
        rungs(told),
        lines("SITE", &report.per_site),
        lines("MODEL", &report.per_model),
        held(told),
    ];
    tables.into_iter().filter(|rows| 1 < rows.len()).collect()
}

fn table(told: &Told) -> String {
    let mut text = format!("from {:.0} to {:.0}\n", told.since, told.until);
    text += &output::columns(summary(told).into_iter());
    for rows in tables(told) {
        text.push('\n');
        text += &output::columns(rows.into_iter());
    }
    text
}

#[cfg(test)]
mod tests;
