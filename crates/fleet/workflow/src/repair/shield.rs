//! What keeps a problem from being repaired now, whatever its policy says.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::problem::{ProblemStatus, State, Suspect, SuspectKind};
use muster_api::{Machine, Problem};
use muster_base::clock::elapsed;

/// What happens so shortly after planned maintenance is still its own.
pub(super) const MAINTENANCE_GRACE: Duration = Duration::from_secs(300);

/// Why nothing is done, and when to look again where nothing but time has to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) reason: &'static str,
    pub(crate) text: String,
    pub(crate) until: Option<Timestamp>,
}

fn held(reason: &'static str, text: impl Into<String>) -> Option<Held> {
    Some(Held { reason, text: text.into(), until: None })
}

/// What the machine is, as far as a suspect may be about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kind<'a> {
    pub(crate) model: &'a str,
    pub(crate) image: &'a str,
    pub(crate) firmware: &'a str,
}

/// Whether evidence is too old, the problem is explained by another, or what happens was planned. The Problem of many of
/// which this one may be tried, `tried_of`, does not shield it.
pub(crate) fn shields(
    machine: &Machine,
    problem: &Problem,
    (parents, tried_of): (&[Arc<Problem>], Option<&str>),
    kind: Kind<'_>,
    now: Timestamp,
) -> Option<Held> {
    let status = problem.status.clone().unwrap_or_default();
    stale(machine, &status, now)
        .or_else(|| explained(machine, problem, &status, (parents, tried_of), kind))
        .or_else(|| planned(machine, &status, now))
}

fn stale(machine: &Machine, status: &ProblemStatus, now: Timestamp) -> Option<Held> {
    let boot_id = machine.status.as_ref().map(|status| status.boot_id.as_str()).unwrap_or_default();
    if !status.boot_id.is_empty() && !boot_id.is_empty() && status.boot_id != boot_id {
        return held("OldEvidence", "it was seen before the machine booted anew");
    }
    let accepted = condition::find(&status.conditions, ACCEPTED);
    if accepted.is_none_or(|verdict| verdict.status != Status::True) {
        return held("NotAccepted", "the machine database has not accepted it");
    }
    if status.lease_until.is_some_and(|until| until <= now) {
        return held("OldEvidence", "its doctor does not vouch for it any more");
    }
    None
}

/// Held while what explains it stands, and after that until it was seen again: what was filed meanwhile starts nothing.
fn explained(
    machine: &Machine,
    problem: &Problem,
    status: &ProblemStatus,
    (parents, tried_of): (&[Arc<Problem>], Option<&str>),
    kind: Kind<'_>,
) -> Option<Held> {
    for parent in parents {
        let said = parent.status.clone().unwrap_or_default();
        let named = parent.name_any() == status.parent;
        if !named && !said.suspect.as_ref().is_some_and(|suspect| covers(suspect, machine, problem, kind)) {
            continue;
        }
        let name = parent.name_any();
        match (said.state, said.cleared_at) {
            (State::Open, _) if named && tried_of == Some(name.as_str()) => {}
            (State::Open | State::Unknown, _) => {
                return held("Correlated", format!("{name} explains it: many machines fail together"));
            }
            (State::Clear, Some(cleared)) if status.last_seen.is_none_or(|seen| seen <= cleared) => {
                return held("Correlated", format!("{name} has cleared; it has to be seen again first"));
            }
            (State::Clear | State::Suspect, _) => {}
        }
    }
    let gone = !status.parent.is_empty() && parents.iter().all(|parent| parent.name_any() != status.parent);
    if gone { held("Correlated", format!("{} explains it", status.parent)) } else { None }
}

fn covers(suspect: &Suspect, machine: &Machine, problem: &Problem, kind: Kind<'_>) -> bool {
    let spec = &machine.spec;
    let rule = problem.status.as_ref().map(|status| status.rule.as_str()).unwrap_or_default();
    let here = suspect.site.is_empty() || suspect.site == spec.site;
    let name = suspect.name.as_str();
    !name.is_empty()
        && match suspect.kind {
            SuspectKind::Rack => here && spec.rack == name,
            SuspectKind::Site => spec.site == name,
            SuspectKind::Image => kind.image == name,
            SuspectKind::Firmware => kind.firmware == name,
            SuspectKind::Rule => rule == name || problem.spec.class == name,
            // Which feed a rack hangs on the one who files it knows; it names the parent in the problem.
            SuspectKind::Power => false,
        }
}

/// Planned maintenance explains what is seen within it and shortly after.
fn planned(machine: &Machine, status: &ProblemStatus, now: Timestamp) -> Option<Held> {
    machine.spec.maintenance.iter().find_map(|window| {
        let end = window.to.checked_add(MAINTENANCE_GRACE).unwrap_or(window.to);
        if window.from <= now && now < end {
            let text = format!("planned maintenance until {}: {}", window.to, window.reason);
            return Some(Held { reason: "Maintenance", text, until: Some(end) });
        }
        let within = |at: Timestamp| window.from <= at && at < end;
        let old = status.last_seen.is_some_and(within) && !elapsed(end, now).is_zero();
        old.then(|| Held {
            reason: "Maintenance",
            text: format!("seen during planned maintenance alone: {}", window.reason),
            until: None,
        })
    })
}
