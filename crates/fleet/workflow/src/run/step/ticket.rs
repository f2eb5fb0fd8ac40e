//! Tells a person.

use kube::ResourceExt as _;
use muster_api::workflow::{Run, StepStatus, WebhookTemplate};
use serde_json::json;

use super::super::call::{Answer, Call};
use super::super::plan::{Effect, World};
use super::{Progress, done, failed, key};

/// Pieces of evidence that a ticket quotes.
const QUOTED: usize = 5;

/// What is told.
fn text(run: &Run, world: &World) -> serde_json::Value {
    let machine = world.machine.as_ref();
    let problem = world.problems.iter().find(|problem| problem.name_any() == run.spec.problem);
    let status = problem.and_then(|problem| problem.status.clone()).unwrap_or_default();
    let evidence: Vec<_> =
        status.evidence.iter().take(QUOTED).map(|one| json!({ "at": one.at, "text": one.text })).collect();
    let message = machine.and_then(|machine| machine.status.as_ref()).map(|status| status.message.clone());
    json!({
        "summary": format!("machine {} needs a person", run.spec.machine),
        "machine": run.spec.machine,
        "site": machine.map(|machine| machine.spec.site.clone()),
        "rack": machine.map(|machine| machine.spec.rack.clone()),
        "serial": machine.map(|machine| machine.spec.serial.clone()),
        "message": message,
        "problem": run.spec.problem,
        "class": problem.map(|problem| problem.spec.class.clone()),
        "component": problem.map(|problem| problem.spec.component.clone()),
        "since": status.opened_at,
        "evidence": evidence,
        "why": run.spec.repair.as_ref().map(|rung| rung.why.clone()),
        "run": run.name_any(),
    })
}

/// One opening of a problem is told once, however often its quarantine is asked for.
pub(crate) fn identity(run: &Run, step: &StepStatus) -> String {
    match (run.spec.problem.as_str(), run.spec.episode) {
        ("", _) | (_, None) => key(run, step),
        (problem, Some(episode)) => format!("{problem}/{episode}/{}", step.attempt),
    }
}

pub(super) fn ticket(run: &Run, step: &StepStatus, world: &World) -> Progress {
    let Some(ticket) = world.ticket.as_ref().filter(|ticket| !ticket.webhook.is_empty()) else {
        return done("no RepairPolicy says whom to tell; the machine's phase does");
    };
    let (url, key) = (&ticket.webhook, identity(run, step));
    match world.answers.get(&key) {
        None => {
            let webhook = WebhookTemplate {
                url: url.clone(),
                body: text(run, world).to_string(),
                ..WebhookTemplate::default()
            };
            let call = Effect::Call(Box::new(Call { key, webhook }));
            Progress::Do(call, format!("tells {url}"))
        }
        Some(Answer::UnderWay) => Progress::Wait(format!("tells {url}")),
        Some(Answer::Status { code, .. }) if (200..300).contains(code) => done(format!("told {url}")),
        Some(Answer::Status { code, text }) => failed(format!("{url} answered {code}: {text}")),
        Some(Answer::Failed(reason)) => failed(format!("{url} could not be told: {reason}")),
    }
}
