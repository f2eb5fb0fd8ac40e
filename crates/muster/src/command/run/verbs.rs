//! `muster run pause|resume|retry|cancel|undo|approve`: what a person asks of a run.

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use muster_api::Run;
use muster_api::workflow::{Action, RunPhase, StepStatus};
use muster_control::is_conflict;
use muster_control::rest::{Rest, path};
use serde_json::{Value, json};

use crate::cli::{RunApproveArgs, RunArgs};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

/// How often a wish is read anew and asked again when somebody else wrote in between.
const TRIES: u32 = 5;

/// What is to be written, and what is said of it; no writing where it stands already.
struct Wish {
    spec: Option<Value>,
    told: String,
}

fn wish(spec: Value, told: String) -> Wish {
    Wish { spec: Some(spec), told }
}

fn phase(run: &Run) -> RunPhase {
    run.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// Asks it of the run as it is; a run that changed meanwhile is read anew.
async fn ask(
    client: &Client,
    name: &str,
    decide: impl Fn(&Run) -> Result<Wish, Failure>,
) -> Result<(), Failure> {
    let api = Api::<Run>::all(client.clone());
    for _ in 0..TRIES {
        let run = api.get(name).await.map_err(|error| Failure::api(format!("run {name}"), &error))?;
        let Wish { spec, told } = decide(&run)?;
        let Some(spec) = spec else { return output::text(&told) };
        let patch = json!({"metadata": {"resourceVersion": run.metadata.resource_version}, "spec": spec});
        match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => return output::text(&told),
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(Failure::api(format!("run {name}"), &error)),
        }
    }
    Err(Failure::Failed(format!("run {name}: somebody else changes it all the time; try again")))
}

fn refused(name: &str, run: &Run, what: &str) -> Failure {
    Failure::Refused(format!("run {name} is {}: {what}", phase(run).as_str()))
}

fn is_part(name: &str, run: &Run) -> Result<(), Failure> {
    match &run.spec.parent {
        Some(parent) => {
            Err(Failure::Refused(format!("run {name} is a part of run {}; ask it of that one", parent.run)))
        }
        None => Ok(()),
    }
}

pub(crate) async fn pause(args: RunArgs) -> Result<(), Failure> {
    let name = &args.name;
    ask(&connect(&args.client).await?, name, |run| {
        if phase(run).is_final() {
            return Err(refused(name, run, "there is nothing to pause"));
        }
        Ok(wish(json!({"pause": true}), format!("run {name} begins no further step\n")))
    })
    .await
}

pub(crate) async fn resume(args: RunArgs) -> Result<(), Failure> {
    let name = &args.name;
    ask(&connect(&args.client).await?, name, |run| {
        if !run.spec.pause {
            return Err(refused(name, run, "it is not paused"));
        }
        Ok(wish(json!({"pause": false}), format!("run {name} goes on\n")))
    })
    .await
}

pub(crate) async fn cancel(args: RunArgs) -> Result<(), Failure> {
    let name = &args.name;
    ask(&connect(&args.client).await?, name, |run| {
        if phase(run).is_final() {
            return Err(refused(name, run, "there is nothing to cancel"));
        }
        Ok(wish(json!({"cancel": true}), format!("run {name} ends after the step at hand\n")))
    })
    .await
}

pub(crate) async fn retry(args: RunArgs) -> Result<(), Failure> {
    let name = &args.name;
    ask(&connect(&args.client).await?, name, |run| {
        is_part(name, run)?;
        if !matches!(phase(run), RunPhase::Failed | RunPhase::Ambiguous | RunPhase::Cancelled) {
            return Err(refused(name, run, "only what has failed is tried again"));
        }
        // A run that was cancelled would be cancelled again at once.
        let spec = json!({"retry": run.spec.retry + 1, "cancel": false});
        Ok(wish(spec, format!("run {name} is tried again\n")))
    })
    .await
}

pub(crate) async fn undo(args: RunArgs) -> Result<(), Failure> {
    let name = &args.name;
    ask(&connect(&args.client).await?, name, |run| {
        is_part(name, run)?;
        let status = run.status.clone().unwrap_or_default();
        if run.spec.undo || status.undoing {
            let told = if status.phase == RunPhase::Undone { "is undone already" } else { "is being undone" };
            return Ok(Wish { spec: None, told: format!("run {name} {told}\n") });
        }
        if status.template.is_some() {
            return Err(refused(name, run, "a run of more than 500 steps cannot be undone as a whole"));
        }
        let undone = status.steps.iter().filter(|step| is_undone(step)).count();
        Ok(wish(json!({"undo": true}), format!("run {name} is undone: {undone} steps are taken back\n")))
    })
    .await
}

fn is_undone(step: &StepStatus) -> bool {
    step.phase == RunPhase::Succeeded && step.step.undo.is_some()
}

pub(crate) async fn approve(args: RunApproveArgs) -> Result<(), Failure> {
    let client = connect(&args.client).await?;
    let by = match &args.by {
        Some(by) => by.clone(),
        None => myself(&client).await?,
    };
    let (name, step) = (&args.name, &args.step);
    ask(&client, name, |run| {
        if phase(run).is_final() {
            return Err(refused(name, run, "there is nothing to approve"));
        }
        let steps = run.status.clone().unwrap_or_default().steps;
        let asked: Vec<&StepStatus> =
            steps.iter().filter(|step| step.step.action == Action::Approve).collect();
        let Some(found) = asked.iter().find(|asked| asked.step.name == *step) else {
            let names: Vec<&str> = asked.iter().map(|step| step.step.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let what = format!("no step {step:?} of it waits for a person; those that do: {names}");
            return Err(refused(name, run, &what));
        };
        let may = &found.step.approvers;
        if !may.is_empty() && !may.contains(&by) {
            let what = format!("step {step} waits for the word of {}, not of {by}", may.join(" or "));
            return Err(refused(name, run, &what));
        }
        let mut approvals = run.spec.approvals.clone();
        if approvals.iter().any(|word| word.step == *step && word.by == by) {
            return Ok(Wish {
                spec: None,
                told: format!("step {step} of run {name} was approved by {by}\n"),
            });
        }
        approvals.push(muster_api::workflow::Approval { step: step.clone(), by: by.clone() });
        let told = format!("step {step} of run {name} is approved by {by}\n");
        Ok(wish(json!({"approvals": approvals}), told))
    })
    .await
}

/// The name the cluster knows the caller by.
async fn myself(client: &Client) -> Result<String, Failure> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = Rest::new(client.clone())
        .create(&path("authentication.k8s.io/v1", "", "selfsubjectreviews", ""), &review)
        .await
        .map_err(|error| Failure::api("cannot ask who you are; say it with --by", &error))?;
    let name = answer.pointer("/status/userInfo/username").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(Failure::Refused("the cluster does not know your name; say it with --by".to_owned()));
    }
    Ok(name.to_owned())
}
