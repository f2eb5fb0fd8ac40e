//! Whether a person is to be told of a Problem of many machines, and of what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::condition::{self, Status};
use muster_api::problem::{EpisodeKey, ProblemStatus, State, SuspectKind};
use muster_api::{Condition, Problem, RepairPolicy};
use muster_base::clock::elapsed;
use serde_json::json;

use crate::repair::policy;
use crate::run::call::Answer;
use crate::run::call::notice::{Notice, Outcome, Telling, Way};

/// Machines that are named.
const NAMED: usize = 20;
/// Who could not be told is told again after so long.
const AGAIN_EVERY: Duration = Duration::from_secs(300);

/// Condition of a Problem of many: whether its web service was told.
pub(crate) const WEBHOOK_TOLD: &str = "WebhookTold";
/// The same of e-mail.
pub(crate) const MAIL_TOLD: &str = "MailTold";

pub(crate) struct World<'a> {
    pub(crate) parent: &'a Problem,
    /// What it holds, open or not.
    pub(crate) held: &'a [Arc<Problem>],
    /// The site of a machine.
    pub(crate) site: &'a dyn Fn(&str) -> String,
    pub(crate) policies: &'a [Arc<RepairPolicy>],
    /// Why nothing of it is tried any more, where a try has failed: that is told too.
    pub(crate) failed: Option<&'a str>,
    /// What a telling of that key was answered, and when it was begun.
    pub(crate) answer: &'a dyn Fn(&str) -> Option<(Answer, Timestamp)>,
    pub(crate) now: Timestamp,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Conditions that differ from what stands.
    pub(crate) conditions: Vec<Condition>,
    /// What is to be sent, by its key.
    pub(crate) tellings: Vec<(String, Telling)>,
    pub(crate) look_again: Option<Duration>,
}

impl Plan {
    fn sooner(&mut self, wait: Duration) {
        self.look_again = Some(self.look_again.map_or(wait, |sooner| sooner.min(wait)));
    }
}

fn is_there(status: &ProblemStatus) -> bool {
    matches!(status.state, State::Open | State::Unknown)
}

/// Decides for one Problem of many.
pub(crate) fn plan(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    let status = world.parent.status.clone().unwrap_or_default();
    let open = |problem: &&Arc<Problem>| problem.status.as_ref().is_some_and(is_there);
    let held: Vec<&Arc<Problem>> = world.held.iter().filter(open).collect();
    let Some(opened) = status.opened_at.filter(|_| is_there(&status) && !held.is_empty()) else {
        return plan;
    };
    let sites: Vec<String> = held.iter().map(|problem| (world.site)(&problem.spec.machine)).collect();
    let rows = held.iter().zip(&sites).map(|(problem, site)| (problem.spec.class.as_str(), site.as_str()));
    let ticket = policy::ticket_of_many(rows, world.policies);
    let after = ticket.as_ref().map(muster_api::repair::Ticket::held_after).unwrap_or_default();
    // What has failed is told at once.
    let due = if world.failed.is_some() { opened } else { opened.checked_add(after).unwrap_or(opened) };
    let left = elapsed(world.now, due);
    if !left.is_zero() {
        plan.sooner(left);
        return plan;
    }
    let opening = format!("{}/{}", world.parent.name_any(), EpisodeKey::of(world.parent));
    let failing = format!("{opening}/failed");
    let identity = if world.failed.is_some() { failing.clone() } else { opening };
    for way in Way::of(ticket.as_ref()) {
        let kind = match way {
            Way::Webhook(_) => WEBHOOK_TOLD,
            Way::Mail(_) => MAIL_TOLD,
        };
        let stands = condition::find(&status.conditions, kind)
            .filter(|stands| is_of(stands, &identity) || is_of(stands, &failing));
        if stands.is_some_and(|stands| stands.status == Status::True || stands.reason == "Refused") {
            continue;
        }
        let (told, reason, text) = match told(&way, &identity, world, &mut plan) {
            Some((Outcome::Told, _)) => (Status::True, "Told", format!("told {}", way.name())),
            Some((Outcome::Never(text), _)) => (Status::False, "Refused", text),
            Some((Outcome::Again(text), _)) => (Status::False, "Failed", text),
            Some((Outcome::UnderWay, _)) => continue,
            None => {
                let notice = Notice { cause: identity.clone(), facts: facts(world, &status, &held) };
                plan.tellings.push((way.key(&identity), way.tell(&notice, &identity, world.now)));
                continue;
            }
        };
        let wanted = says(kind, told, reason, format!("{identity}: {text}"), world.now);
        if stands.is_none_or(|stands| (stands.status, &stands.message) != (told, &wanted.message)) {
            plan.conditions.push(wanted);
        }
    }
    plan
}

/// Whether a condition speaks of this opening.
fn is_of(condition: &Condition, identity: &str) -> bool {
    condition.message.strip_prefix(identity).is_some_and(|rest| rest.starts_with(": "))
}

pub(super) fn says(kind: &str, status: Status, reason: &str, message: String, now: Timestamp) -> Condition {
    Condition {
        r#type: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: now,
        observed_generation: None,
    }
}

/// What became of the last telling; `None` where it is to be told now.
fn told(way: &Way, identity: &str, world: &World<'_>, plan: &mut Plan) -> Option<(Outcome, Timestamp)> {
    let (answer, begun) = (world.answer)(&way.key(identity))?;
    let outcome = way.outcome(&answer);
    if let Outcome::Again(_) = outcome {
        let left = elapsed(world.now, begun.checked_add(AGAIN_EVERY).unwrap_or(begun));
        if left.is_zero() {
            return None;
        }
        plan.sooner(left);
    }
    Some((outcome, begun))
}

/// What is told.
fn facts(world: &World<'_>, status: &ProblemStatus, held: &[&Arc<Problem>]) -> serde_json::Value {
    let (parent, name) = (world.parent, world.parent.name_any());
    let suspect = status.suspect.clone().unwrap_or_default();
    let machines: BTreeSet<&str> = held.iter().map(|problem| problem.spec.machine.as_str()).collect();
    let mut named: Vec<String> = machines.iter().take(NAMED).map(|name| (*name).to_owned()).collect();
    if NAMED < machines.len() {
        named.push(format!("and {} more", machines.len() - NAMED));
    }
    let in_site = match suspect.kind {
        SuspectKind::Site => String::new(),
        SuspectKind::Rack
        | SuspectKind::Power
        | SuspectKind::Image
        | SuspectKind::Firmware
        | SuspectKind::Rule => Some(&suspect.site)
            .filter(|site| !site.is_empty())
            .map(|site| format!(" in {site}"))
            .unwrap_or_default(),
    };
    let whom = format!("{} {}{in_site}", suspect.kind.as_str(), suspect.name);
    let evidence: Vec<_> =
        status.evidence.iter().take(5).map(|one| json!({ "at": one.at, "text": one.text })).collect();
    json!({
        "summary": format!("{} machines are not repaired: {whom} is suspected", machines.len()),
        "suspect": format!("{whom}: {} of {} machines failed together", suspect.machines, suspect.of),
        "problem": name,
        "class": parent.spec.class,
        "component": parent.spec.component,
        "since": status.opened_at,
        "why": world.failed.map(|failed| format!("{failed}; nothing more of it is tried")),
        "held": machines.len(),
        "machines": named,
        "evidence": evidence,
        "next": format!(
            "While it stands these machines are held; whether one of them is tried says its condition HalfOpen: kubectl \
             get problem {name} -o yaml. It clears when few of them are left. To leave them to it, do nothing. If they \
             have nothing in common, delete it: kubectl delete problem {name}; each is then repaired by its own policy, \
             within the disruption budgets."
        ),
    })
}

#[cfg(test)]
mod tests;
