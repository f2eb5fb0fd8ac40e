//! `muster doctor replay`: what a rule of the kernel log would have filed from what was recorded.

use std::path::Path;

use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use muster_api::Problem;
use muster_doctor::replay::{Dump, RecordedLine, Rehearsal, read_dump, replay};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::clock;
use super::super::history::{changes, parse};
use crate::cli::doctor::{ReplayArgs, ReplayFormat};
use crate::cli::history::RangeArgs;
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

/// Bytes of a log at most; it is held in memory as a whole.
const LOG_BYTES_MAX: u64 = 1 << 30;
/// Openings shown of one rule; `-o json` has them all.
const FILED_SHOWN: usize = 20;

pub(crate) async fn run(args: ReplayArgs) -> Result<(), Failure> {
    let file = args.rules.display().to_string();
    let rules = std::fs::read_to_string(&args.rules)
        .map_err(|error| Failure::failed(format!("{file}: cannot read the rules"), &error))?;
    let now = clock().now();
    let since = now
        .checked_sub(args.since.0)
        .map_err(|_| Failure::Refused(format!("--since {}: that is before the begin of time", args.since)))?;
    // A bad rule is told before anything is asked for.
    rehearse(&file, &rules, Vec::new(), now)?;
    let Dump { mut lines, left_out } = match args.logs.is_empty() {
        true => Dump { lines: recorded(&args, since, now).await?, left_out: 0 },
        false => logs(&args, now)?,
    };
    lines.retain(|line| since <= line.at);
    let read = lines.len();
    let told = rehearse(&file, &rules, lines, now)?;
    match args.output {
        ReplayFormat::Table => {
            let others = if left_out == 0 { String::new() } else { format!("; {left_out} others left out") };
            let mut text = format!("{read} lines of the last {}{others}\n", args.since);
            told.iter().for_each(|one| text.push_str(&page(one)));
            output::text(&text)
        }
        ReplayFormat::Json => {
            let told =
                json!({"since": since, "until": now, "lines": read, "leftOut": left_out, "rules": told});
            let text = serde_json::to_string_pretty(&told)
                .map_err(|error| Failure::failed("cannot print the replay", &error))?;
            output::text(&format!("{text}\n"))
        }
    }
}

fn rehearse(
    file: &str,
    rules: &str,
    lines: Vec<RecordedLine>,
    now: Timestamp,
) -> Result<Vec<Rehearsal>, Failure> {
    replay(file, rules, lines, now).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::Refused(format!("the rule cannot be replayed:\n  {}", faults.join("\n  ")))
    })
}

fn logs(args: &ReplayArgs, now: Timestamp) -> Result<Dump, Failure> {
    let mut all = Dump::default();
    for path in &args.logs {
        let failed = |error: std::io::Error| {
            Failure::failed(format!("{}: cannot read the log", path.display()), &error)
        };
        if LOG_BYTES_MAX < std::fs::metadata(path).map_err(failed)?.len() {
            let most = LOG_BYTES_MAX >> 30;
            return Err(Failure::Refused(format!("{}: is longer than {most} GiB; cut it", path.display())));
        }
        let text = std::fs::read(path).map_err(failed)?;
        let dump = read_dump(&String::from_utf8_lossy(&text), &machine(path), now);
        all.lines.extend(dump.lines);
        all.left_out += dump.left_out;
    }
    Ok(all)
}

/// The machine that a log is called after.
fn machine(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What was kept as evidence in Problems of machines, whoever found it.
async fn recorded(args: &ReplayArgs, since: Timestamp, now: Timestamp) -> Result<Vec<RecordedLine>, Failure> {
    let client = connect(&args.client).await?;
    let problems = Api::<Problem>::all(client.clone()).list(&ListParams::default()).await;
    let problems = problems.map_err(|error| Failure::api("cannot list problems", &error))?;
    let mut lines = Vec::new();
    for problem in problems.items.into_iter().filter(|problem| !problem.spec.machine.is_empty()) {
        let name = problem.name_any();
        let range =
            RangeArgs { field: Some("status.evidence".to_owned()), since: Some(since), until: Some(now) };
        for change in parse(&changes(&client, "Problem", &name, &range).await?)? {
            evidence(&change.new, &problem.spec.machine, &mut lines);
        }
    }
    // A list that was written anew has its old lines again.
    lines.sort();
    lines.dedup();
    Ok(lines)
}

fn evidence(value: &Value, machine: &str, lines: &mut Vec<RecordedLine>) {
    if let Value::Array(list) = value {
        return list.iter().for_each(|one| evidence(one, machine, lines));
    }
    if let Ok(muster_api::problem::Evidence { at, text }) = Deserialize::deserialize(value) {
        lines.push(RecordedLine { at, machine: machine.to_owned(), text });
    }
}

fn page(told: &Rehearsal) -> String {
    let Rehearsal { rule, class, lines, machines, filed, examples } = told;
    let mut text = format!(
        "\n{rule} ({class}): would have filed {} times; {lines} lines on {} machines\n",
        filed.len(),
        machines.len()
    );
    let header = ["OPENED", "CLEARED", "MACHINE", "COMPONENT", "LINES"].map(str::to_owned).to_vec();
    let rows = filed.iter().take(FILED_SHOWN).map(|one| {
        let flapping = if one.flapping { " (comes and goes)" } else { "" };
        vec![
            format!("{:.0}", one.opened),
            one.cleared.map_or("-".to_owned(), |at| format!("{at:.0}")),
            one.machine.clone(),
            one.component.clone(),
            format!("{}{flapping}", one.lines),
        ]
    });
    if !filed.is_empty() {
        text.push_str(&output::columns(std::iter::once(header).chain(rows)));
    }
    if FILED_SHOWN < filed.len() {
        text.push_str(&format!("and {} more; -o json has them all\n", filed.len() - FILED_SHOWN));
    }
    for line in examples {
        text.push_str(&format!("for example {:.0} {}: {}\n", line.at, line.machine, line.text));
    }
    text
}
