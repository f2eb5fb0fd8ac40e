//! `muster run start|plan`.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use muster_api::MACHINE_LABEL;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::workflow::{Run, RunChunk, RunSpec};
use muster_control::is_conflict;
use muster_workflow::dry_run::{Actions, Ask, DryRunError, dry_run, recorded};

use crate::cli::{RunPlanArgs, RunStartArgs};
use crate::client::connect;
use crate::command::clock;
use crate::failure::Failure;
use crate::output;

/// How long the workflow manager may take to answer whether a run stands.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Numbers that are tried for the name of a run.
const NUMBERS: u32 = 1000;

fn parameters(words: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut parameters = BTreeMap::new();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            return Err(Failure::Refused(format!("--param {word:?}: write NAME=VALUE")));
        };
        if parameters.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::Refused(format!("--param {name}: it is given twice")));
        }
    }
    Ok(parameters)
}

pub(crate) async fn start(args: RunStartArgs) -> Result<(), Failure> {
    let parameters = parameters(&args.parameters)?;
    let client = connect(&args.client).await?;
    let spec = RunSpec {
        workflow: args.workflow.clone(),
        machine: args.machine.clone(),
        parameters,
        ..RunSpec::default()
    };
    let name = accepted(&client, args.name.as_deref(), spec).await?;
    output::text(&format!("run {name} is accepted; see it with `muster run show {name}`\n"))
}

/// Creates a run and waits until it is judged; gives its name.
pub(crate) async fn accepted(client: &Client, name: Option<&str>, spec: RunSpec) -> Result<String, Failure> {
    let name = create(client, name, spec).await?;
    answered(client, &name).await?;
    Ok(name)
}

/// Creates the run under its name, or under the first number that is free.
async fn create(client: &Client, name: Option<&str>, spec: RunSpec) -> Result<String, Failure> {
    let api = Api::<Run>::all(client.clone());
    for number in 1..=NUMBERS {
        let numbered = format!("{}-{}-{number}", spec.workflow, spec.machine);
        let wanted = name.unwrap_or(&numbered);
        let mut run = Run::new(wanted, spec.clone());
        run.labels_mut().insert(MACHINE_LABEL.to_owned(), spec.machine.clone());
        match api.create(&PostParams::default(), &run).await {
            Ok(_) => return Ok(wanted.to_owned()),
            Err(error) if name.is_none() && is_conflict(&error) => {}
            Err(error) => return Err(Failure::api(format!("run {wanted}"), &error)),
        }
    }
    Err(Failure::Refused(
        "too many runs of this workflow on this machine; give a name with --name".to_owned(),
    ))
}

/// Waits for the answer of the workflow manager; a refused run has done nothing.
async fn answered(client: &Client, name: &str) -> Result<(), Failure> {
    let api = Api::<Run>::all(client.clone());
    let look = async {
        loop {
            let run = api.get(name).await.map_err(|error| Failure::api(format!("run {name}"), &error))?;
            let status = run.status.unwrap_or_default();
            match condition::find(&status.conditions, ACCEPTED) {
                Some(verdict) if verdict.status == Status::False => {
                    return Err(Failure::Refused(format!("run {name}: {}", verdict.message)));
                }
                Some(_) => return Ok(()),
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(ANSWER_WITHIN, look).await.unwrap_or_else(|_| {
        let seconds = ANSWER_WITHIN.as_secs();
        Err(Failure::Failed(format!(
            "run {name} is written, but the workflow manager did not answer within {seconds} s; is it running? see `muster status`"
        )))
    })
}

pub(crate) async fn plan(args: RunPlanArgs) -> Result<(), Failure> {
    let parameters = parameters(&args.parameters)?;
    let client = connect(&args.client).await?;
    let Some(machine) = args.machine.filter(|_| args.dry_run) else {
        return print(&done(&client, &args.name).await?);
    };
    let ask = Ask { workflow: args.name, machine, parameters };
    let actions = dry_run(&client, &ask, clock().now()).await.map_err(|error| match error {
        DryRunError::Read(error) => Failure::api("cannot read what the plan depends on", &error),
        DryRunError::Refused(text) => Failure::Refused(text),
        other @ (DryRunError::Ends { .. } | DryRunError::Endless(_)) => Failure::Refused(other.to_string()),
    })?;
    print(&actions)
}

/// What a run has done, from its own status or its chunks.
async fn done(client: &Client, name: &str) -> Result<Actions, Failure> {
    let failure = |error: kube::Error| Failure::api(format!("run {name}"), &error);
    let run = Api::<Run>::all(client.clone()).get(name).await.map_err(failure)?;
    let status = run.status.unwrap_or_default();
    let mut lines = recorded(&status.steps);
    if status.template.is_some() {
        let own = ListParams::default().fields(&format!("spec.run={name}"));
        let mut chunks = Api::<RunChunk>::all(client.clone()).list(&own).await.map_err(failure)?.items;
        chunks.sort_by_key(|chunk| chunk.spec.index);
        for chunk in chunks {
            lines.extend(recorded(&chunk.status.unwrap_or_default().steps));
        }
    }
    Ok(Actions { plan: status.plan, lines })
}

fn print(actions: &Actions) -> Result<(), Failure> {
    let id = actions.plan.as_ref().map_or("-", |plan| plan.id.as_str());
    let mut text = format!("plan {id}\n");
    for line in &actions.lines {
        text.push_str(line);
        text.push('\n');
    }
    output::text(&text)
}
