//! `muster status`: what is well, what is not, and what to do about it. Exit code 0 only when all is well.

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use muster_api::machine::Phase;
use muster_api::problem::State;
use muster_api::{Machine, Problem, Run};

use super::up::NODE_OFF;
use crate::cli::ClientArgs;
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(args: ClientArgs) -> Result<(), Failure> {
    let off = std::fs::read_to_string(args.data.data_dir.join(NODE_OFF)).ok();
    let client = connect(&args).await?;
    let mut rows = vec![["PART", "STATE", "DETAIL"].map(str::to_owned).to_vec()];
    let mut trouble = Vec::new();
    let mut row = |part: &str, well: bool, detail: String| {
        rows.push(vec![part.to_owned(), if well { "ok" } else { "NOT WELL" }.to_owned(), detail.clone()]);
        if !well {
            trouble.push(format!("{part}: {detail}"));
        }
    };
    let version = client
        .apiserver_version()
        .await
        .map_err(|error| Failure::failed("the API does not answer", &error))?;
    row("API", true, version.git_version);
    match off {
        Some(reason) => row("node part", false, reason),
        None => {
            let (well, detail) = nodes(&client).await?;
            row("nodes", well, detail);
        }
    }
    let (well, detail) = machines(&client).await?;
    row("machines", well, detail);
    let (well, detail) = problems(&client).await?;
    row("problems", well, detail);
    let (well, detail) = runs(&client).await?;
    row("runs", well, detail);
    output::text(&output::columns(rows.into_iter()))?;
    if trouble.is_empty() { Ok(()) } else { Err(Failure::Failed(trouble.join("\n"))) }
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

async fn runs(client: &Client) -> Verdict {
    let runs: Vec<Run> = list(client).await?;
    let active =
        runs.iter().filter(|run| !run.status.as_ref().is_some_and(|status| status.phase.is_final())).count();
    Ok((true, format!("{active} under way, {} in all", runs.len())))
}
