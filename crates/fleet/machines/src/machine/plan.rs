//! What a machine's status should say, given what is known.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::inventory::InventoryStatus;
use muster_api::machine::{HandsOff, MachineStatus, Phase, Transition};
use muster_api::{Condition, Machine};
use muster_base::clock::elapsed;

/// What is known beyond the machine itself.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Whether its site is there.
    pub(crate) site: bool,
    /// Whether its role is there.
    pub(crate) role: bool,
    /// Its facts.
    pub(crate) inventory: Option<InventoryStatus>,
    /// The time.
    pub(crate) now: Timestamp,
    /// How long an inspection may take.
    pub(crate) inspection_deadline: Duration,
}

/// The status to write, if it differs, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) status: Option<MachineStatus>,
    pub(crate) look_again: Option<Duration>,
}

/// Decides the next status of `machine`.
pub(crate) fn plan(machine: &Machine, world: &World) -> Plan {
    let old = machine.status.clone().unwrap_or_default();
    let mut status = old.clone();
    let verdict = accepted(machine, world);
    let good = verdict.status == Status::True;
    condition::set(&mut status.conditions, verdict);
    if let Some(inventory) = &world.inventory {
        status.boot_id.clone_from(&inventory.boot_id);
    }
    advance(machine, world, &mut status, good);
    let left_alone = machine.spec.hands_off.as_ref().filter(|hands_off| world.now < hands_off.until);
    say_why_it_waits(left_alone, &mut status);
    let ends = left_alone.map(|hands_off| hands_off.until);
    let look_again = (status.phase == Phase::Inspecting)
        .then(|| [status.deadline, ends].into_iter().flatten().map(|at| elapsed(world.now, at)))
        .and_then(|waits| waits.filter(|left| !left.is_zero()).min());
    Plan { status: (status != old || machine.status.is_none()).then_some(status), look_again }
}

/// While it is to be left alone an inspected machine is not installed, and says so; afterwards it says again why it is in
/// its phase.
fn say_why_it_waits(left_alone: Option<&HandsOff>, status: &mut MachineStatus) {
    if status.phase != Phase::Inspecting {
        return;
    }
    if let Some(HandsOff { until, by, reason }) = left_alone {
        status.message = format!("hands off until {until} by {by}: {reason}");
    } else if let Some(last) = status.transitions.last() {
        status.message.clone_from(&last.reason);
    }
}

fn accepted(machine: &Machine, world: &World) -> Condition {
    let (status, reason, message) = if !world.site {
        let site = &machine.spec.site;
        (
            Status::False,
            "UnknownSite",
            format!("spec.site: there is no Site {site:?}; create it or correct the name"),
        )
    } else if !machine.spec.role.is_empty() && !world.role {
        let role = &machine.spec.role;
        (
            Status::False,
            "UnknownRole",
            format!("spec.role: there is no MachineRole {role:?}; create it or correct the name"),
        )
    } else {
        (Status::True, "Valid", "site and role are known".to_owned())
    };
    Condition {
        r#type: ACCEPTED.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: world.now,
        observed_generation: machine.metadata.generation,
    }
}

fn advance(machine: &Machine, world: &World, status: &mut MachineStatus, accepted: bool) {
    if status.transitions.is_empty() {
        let origin = if machine.spec.rack.is_empty() {
            format!("taken in at site {}", machine.spec.site)
        } else {
            format!("taken in at site {}, rack {}", machine.spec.site, machine.spec.rack)
        };
        enter(status, Phase::Registered, &origin, world.now, None);
    }
    if !accepted {
        return;
    }
    if status.phase == Phase::Registered && !machine.spec.role.is_empty() {
        let deadline = world.now.checked_add(world.inspection_deadline).ok();
        let reason = format!("its facts are read before it becomes {}", machine.spec.role);
        enter(status, Phase::Inspecting, &reason, world.now, deadline);
    }
    if status.phase == Phase::Inspecting && world.inventory.is_none() {
        inspection_overdue(status, world.now);
    }
}

fn inspection_overdue(status: &mut MachineStatus, now: Timestamp) {
    if status.deadline.is_some_and(|deadline| deadline <= now) {
        let reason = "no inventory arrived before the deadline; is the agent running on the machine?";
        enter(status, Phase::Failed, reason, now, None);
    }
}

fn enter(status: &mut MachineStatus, to: Phase, reason: &str, at: Timestamp, deadline: Option<Timestamp>) {
    let transition = Transition { at, from: None, to, reason: reason.to_owned(), run: String::new() };
    status.enter(transition, deadline).expect("the intake only takes steps of the phase graph");
}

#[cfg(test)]
mod tests;
