//! `muster status`: what is well, what is not, and what to do about it. Exit code 0 only when all is well.

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use muster_api::machine::Phase;
use muster_api::problem::State;
use muster_api::workflow::RunPhase;
use muster_api::{Machine, Pause, Problem, Run};

use super::up::NODE_OFF;
use crate::cli::ClientArgs;
use crate::client::{connect, kubeconfig_path};
use crate::failure::Failure;
use crate::output;

/// What was found, line by line.
struct Report {
    rows: Vec<Vec<String>>,
    trouble: Vec<String>,
}

impl Report {
    fn new() -> Self {
        Self { rows: vec![["PART", "STATE", "DETAIL"].map(str::to_owned).to_vec()], trouble: Vec::new() }
    }

    fn add(&mut self, part: &str, (well, detail): (bool, String)) {
        let state = if well { "ok" } else { "NOT WELL" };
        self.rows.push(vec![part.to_owned(), state.to_owned(), detail.clone()]);
        if !well {
            self.trouble.push(format!("{part}: {detail}"));
        }
    }
}

pub(crate) async fn run(args: ClientArgs) -> Result<(), Failure> {
    let client = connect(&args).await?;
    let mut report = Report::new();
    report.add("API", api(&client).await?);
    match node_off(&args)? {
        Some(reason) => report.add("node part", (false, reason)),
        None => report.add("nodes", nodes(&client).await?),
    }
    report.add("machines", machines(&client).await?);
    for (part, verdict) in held(&client).await? {
        report.add(part, verdict);
    }
    report.add("problems", problems(&client).await?);
    report.add("runs", runs(&client).await?);
    output::text(&output::columns(report.rows.into_iter()))?;
    if report.trouble.is_empty() { Ok(()) } else { Err(Failure::Failed(report.trouble.join("\n"))) }
}

/// Why the node part of the `muster up` behind this kubeconfig is off: the reason stands beside the kubeconfig.
fn node_off(args: &ClientArgs) -> Result<Option<String>, Failure> {
    let note = kubeconfig_path(args)?.with_file_name(NODE_OFF);
    Ok(std::fs::read_to_string(note).ok())
}

/// The version, if the API is ready; else what of it is not.
async fn api(client: &Client) -> Verdict {
    let failed = |error: kube::Error| Failure::api("cannot ask the API", &error);
    let version = client.apiserver_version().await.map_err(failed)?;
    let ask = http::Request::get("/readyz?verbose").body(Vec::new());
    let ask = ask.map_err(|error| Failure::failed("cannot ask the API", &error))?;
    match client.request_text(ask).await {
        Ok(_) => Ok((true, version.git_version)),
        Err(kube::Error::Api(status)) => {
            let failed: Vec<&str> = status.message.lines().filter(|line| line.starts_with("[-]")).collect();
            Ok((false, format!("not ready: {}", failed.join(", "))))
        }
        Err(error) => Err(failed(error)),
    }
}

type Verdict = Result<(bool, String), Failure>;

async fn list<K>(client: &Client) -> Result<Vec<K>, Failure>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let found = Api::<K>::all(client.clone()).list(&ListParams::default()).await;
    found
        .map(|list| list.items)
        .map_err(|error| Failure::api(format!("cannot list {}", K::plural(&())), &error))
}

async fn nodes(client: &Client) -> Verdict {
    let nodes: Vec<Node> = list(client).await?;
    let ready = |node: &&Node| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let count = nodes.iter().filter(ready).count();
    Ok((count == nodes.len(), format!("{count} of {} ready", nodes.len())))
}

/// A machine is well when it serves, or is on its way and in time.
async fn machines(client: &Client) -> Verdict {
    let machines: Vec<Machine> = list(client).await?;
    let now = super::clock().now();
    let mut bad = Vec::new();
    for machine in &machines {
        let status = machine.status.clone().unwrap_or_default();
        let late = status.deadline.is_some_and(|deadline| deadline < now);
        let sick = matches!(status.phase, Phase::Failed | Phase::Quarantined | Phase::Disrupted);
        if late || sick {
            let why = if late { "is past its deadline: " } else { "" };
            bad.push(format!("{} {why}{} ({})", machine.name_any(), status.phase.as_str(), status.message));
        }
    }
    let healthy =
        machines.iter().filter(|m| m.status.as_ref().is_some_and(|s| s.phase == Phase::Healthy)).count();
    let detail =
        if bad.is_empty() { format!("{healthy} of {} healthy", machines.len()) } else { bad.join("; ") };
    Ok((bad.is_empty(), detail))
}

/// What keeps actors away: a pause until somebody ends it, `handsOff` until its end.
async fn held(client: &Client) -> Result<Vec<(&'static str, (bool, String))>, Failure> {
    let mut found = Vec::new();
    for pause in list::<Pause>(client).await? {
        let status = pause.status.clone().unwrap_or_default();
        let site = pause.spec.site.as_deref();
        let place = site.map_or_else(|| "everywhere".to_owned(), |site| format!("in site {site}"));
        let since = pause.creation_timestamp().map(|at| format!(" since {}", at.0)).unwrap_or_default();
        let why = if pause.spec.reason.is_empty() { "" } else { ": " };
        let detail = format!(
            "{place}{since} by {}{why}{}; {} grants held, {} requests wait; `muster resume` ends it",
            pause.spec.by, pause.spec.reason, status.held, status.waiting
        );
        found.push(("pause", (false, detail)));
    }
    let now = super::clock().now();
    for machine in list::<Machine>(client).await? {
        if let Some(wish) = machine.spec.hands_off.as_ref().filter(|wish| now < wish.until) {
            let name = machine.name_any();
            let detail = format!("{name} until {} by {}: {}", wish.until, wish.by, wish.reason);
            found.push(("hands off", (true, detail)));
        }
    }
    Ok(found)
}

async fn problems(client: &Client) -> Verdict {
    let problems: Vec<Problem> = list(client).await?;
    let open = |problem: &&Problem| {
        problem.status.as_ref().is_some_and(|status| matches!(status.state, State::Open | State::Unknown))
    };
    let names: Vec<String> = problems.iter().filter(open).map(|problem| problem.name_any()).collect();
    let detail =
        if names.is_empty() { "none open".to_owned() } else { format!("open: {}", names.join(", ")) };
    Ok((names.is_empty(), detail))
}

/// A run is well while nobody has to look at it: one whose effect is unknown waits for a person.
async fn runs(client: &Client) -> Verdict {
    let runs: Vec<Run> = list(client).await?;
    let phase = |run: &Run| run.status.as_ref().map(|status| status.phase);
    let active = runs.iter().filter(|run| !phase(run).is_some_and(RunPhase::is_final)).count();
    let stuck: Vec<String> =
        runs.iter().filter(|run| phase(run) == Some(RunPhase::Ambiguous)).map(|run| run.name_any()).collect();
    if stuck.is_empty() {
        return Ok((true, format!("{active} under way, {} in all", runs.len())));
    }
    Ok((
        false,
        format!("what these did is unknown; look at the machine, then delete the run: {}", stuck.join(", ")),
    ))
}
