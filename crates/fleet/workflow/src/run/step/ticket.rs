//! Tells a person.

use kube::ResourceExt as _;
use muster_api::problem::EpisodeKey;
use muster_api::workflow::{Action, Run, StepStatus};
use serde_json::json;

use super::super::call::notice::{Notice, Outcome, Way, mail_key};
use super::super::hold;
use super::super::plan::World;
use super::{Progress, done, failed, key};

/// Pieces of evidence that a ticket quotes.
const QUOTED: usize = 5;

/// What is told.
fn facts(run: &Run, world: &World) -> serde_json::Value {
    let machine = world.machine.as_ref();
    let problem = world.problems.iter().find(|problem| problem.name_any() == run.spec.problem);
    let status = problem.and_then(|problem| problem.status.clone()).unwrap_or_default();
    let evidence: Vec<_> =
        status.evidence.iter().take(QUOTED).map(|one| json!({ "at": one.at, "text": one.text })).collect();
    let message = machine.and_then(|machine| machine.status.as_ref()).map(|status| status.message.clone());
    let of = problem.map(|problem| format!(": {}", problem.spec.class)).unwrap_or_default();
    json!({
        "summary": format!("machine {} needs a person{of}", run.spec.machine),
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

/// What a ticket is about: one opening of a problem, however often its quarantine is asked for.
fn cause(run: &Run, step: &StepStatus) -> String {
    match (run.spec.problem.as_str(), run.spec.episode) {
        ("", _) | (_, None) => format!("{}/{}", run.name_any(), step.step.name),
        (problem, Some(_)) => format!("{problem}/{}", EpisodeKey::of_run(run)),
    }
}

/// One opening of a problem is told once, however often its quarantine is asked for.
pub(crate) fn identity(run: &Run, step: &StepStatus) -> String {
    match (run.spec.problem.as_str(), run.spec.episode) {
        ("", _) | (_, None) => key(run, step),
        (_, Some(_)) => format!("{}/{}", cause(run, step), step.attempt),
    }
}

/// The keys under which the attempt at hand is told.
pub(crate) fn keys(run: &Run, step: &StepStatus) -> [String; 2] {
    let identity = identity(run, step);
    [mail_key(&identity), identity]
}

/// Whom a run has told.
pub(crate) fn told(run: &Run) -> Vec<String> {
    let steps = run.status.iter().flat_map(|status| &status.steps);
    steps.filter(|step| step.step.action == Action::Ticket).flat_map(|step| step.told.clone()).collect()
}

/// What became of those who are not told yet.
#[derive(Default)]
struct Failures {
    /// What went wrong, in words.
    texts: Vec<String>,
    /// Trying again may help.
    may_pass: bool,
}

/// All are told, one after the other, each once. What could not be told is told in the next attempt; the machine does not
/// wait for it any longer when there is none, if anybody was told at all.
pub(super) fn ticket(run: &Run, step: &StepStatus, world: &World) -> Progress {
    let ways = Way::of(world.ticket.as_ref());
    if ways.is_empty() {
        return done("no RepairPolicy says whom to tell; the machine's phase does");
    }
    let (identity, mut told, mut failures) = (identity(run, step), Vec::new(), Failures::default());
    for way in ways {
        let name = way.name();
        if step.told.contains(&name) || world.told.contains(&name) {
            told.push(name);
            continue;
        }
        let Some(answer) = world.answers.get(&way.key(&identity)) else {
            let notice = Notice { cause: cause(run, step), facts: facts(run, world) };
            let telling = way.tell(&notice, &identity, world.now);
            return Progress::Do(telling.into(), format!("tells {name}"));
        };
        match way.outcome(answer) {
            Outcome::UnderWay => return Progress::Wait(format!("tells {name}")),
            Outcome::Told => return Progress::Told(name),
            Outcome::Again(text) => {
                failures.texts.push(text);
                failures.may_pass = true;
            }
            Outcome::Never(text) => failures.texts.push(text),
        }
    }
    concluded(step, &told, &failures)
}

fn concluded(step: &StepStatus, told: &[String], failures: &Failures) -> Progress {
    let wrong = failures.texts.join("; ");
    let is_last = !failures.may_pass || step.step.attempts <= hold::tried(step);
    match (told, wrong.as_str()) {
        (told, "") => done(format!("told {}", told.join(" and "))),
        ([], _) if !failures.may_pass => Progress::Refused(wrong),
        ([_, ..], _) if is_last => done(format!("told {}, but {wrong}", told.join(" and "))),
        _ => failed(wrong),
    }
}
