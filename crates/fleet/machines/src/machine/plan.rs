//! What a machine's status should say, given what is known.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::inventory::InventoryStatus;
use muster_api::machine::{HandsOff, MachineStatus, Phase, Transition};
use muster_api::profile::{HardwareProfileSpec, MATCHES_PROFILE};
use muster_api::{Condition, Machine};
use muster_base::clock::elapsed;
use muster_control::hardware::{self, Difference};

/// What is known beyond the machine itself.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Whether its site is there.
    pub(crate) site: bool,
    /// The site its rack stands in, where the rack is there.
    pub(crate) rack: Option<String>,
    /// Whether its role is there.
    pub(crate) role: bool,
    /// What its profile demands, where the profile is there.
    pub(crate) profile: Option<HardwareProfileSpec>,
    /// Another machine that bears its serial number and keeps it.
    pub(crate) serial_of: Option<String>,
    /// Another machine that has its controller and keeps it.
    pub(crate) bmc_of: Option<String>,
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
    /// The phase that was not over by its deadline, and is given up now.
    pub(crate) overdue: Option<Phase>,
}

impl Plan {
    /// Whether there is nothing to do and nothing to wait for.
    pub(crate) fn is_idle(&self) -> bool {
        self.status.is_none() && self.look_again.is_none()
    }

    /// Whether it is about to be said that the machine does not stand as written.
    pub(crate) fn refuses(&self) -> bool {
        let conditions = self.status.as_ref().map_or(&[][..], |status| &status.conditions);
        condition::find(conditions, ACCEPTED).is_some_and(|verdict| verdict.status == Status::False)
    }
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
    matches_profile(machine, world, &mut status);
    advance(machine, world, &mut status, good);
    let left_alone = machine.spec.hands_off.as_ref().filter(|hands_off| world.now < hands_off.until);
    say_why_it_waits(left_alone, &mut status);
    let ends = left_alone.map(|hands_off| hands_off.until);
    let look_again = (status.phase == Phase::Inspecting)
        .then(|| [status.deadline, ends].into_iter().flatten().map(|at| elapsed(world.now, at)))
        .and_then(|waits| waits.filter(|left| !left.is_zero()).min());
    let late = old.deadline.is_some_and(|deadline| deadline <= world.now) && status.phase != old.phase;
    let overdue = late.then_some(old.phase);
    Plan { overdue, status: (status != old || machine.status.is_none()).then_some(status), look_again }
}

/// Expected against observed. Nothing is said where either is not known.
fn matches_profile(machine: &Machine, world: &World, status: &mut MachineStatus) {
    let expected = world.profile.as_ref().filter(|_| !machine.spec.profile.is_empty());
    let Some((expected, found)) = expected.zip(world.inventory.as_ref()) else {
        status.conditions.retain(|condition| condition.r#type != MATCHES_PROFILE);
        return;
    };
    let Difference { missing, surplus } = hardware::difference(expected, found);
    let parts = [("missing: ", missing), ("surplus: ", surplus)];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(_, parts)| !parts.is_empty())
        .map(|(what, parts)| format!("{what}{}", parts.join(", ")))
        .collect();
    let (verdict, reason, message) = if told.is_empty() {
        (Status::True, "AsExpected", format!("every part of {} is there", machine.spec.profile))
    } else {
        (Status::False, "PartsDiffer", told.join("; "))
    };
    let verdict = Condition {
        r#type: MATCHES_PROFILE.to_owned(),
        status: verdict,
        reason: reason.to_owned(),
        message,
        last_transition_time: world.now,
        observed_generation: machine.metadata.generation,
    };
    condition::set(&mut status.conditions, verdict);
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
    let (status, reason, message) = match refusal(machine, world) {
        Some((reason, message)) => (Status::False, reason, message),
        None => (Status::True, "Valid", "what it names is there, what it bears is its own".to_owned()),
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

/// What does not stand: reason, and the field's path with what to do.
fn refusal(machine: &Machine, world: &World) -> Option<(&'static str, String)> {
    let spec = &machine.spec;
    let unknown = |path: &str, kind: &str, name: &str| {
        format!("{path}: there is no {kind} {name:?}; create it or correct the name")
    };
    if !world.site {
        return Some(("UnknownSite", unknown("spec.site", "Site", &spec.site)));
    }
    if !spec.rack.is_empty() {
        match &world.rack {
            None => return Some(("UnknownRack", unknown("spec.rack", "Rack", &spec.rack))),
            Some(site) if *site != spec.site => {
                let (rack, own) = (&spec.rack, &spec.site);
                let message = format!(
                    "spec.rack: the Rack {rack:?} stands in site {site:?}, the machine in {own:?}; correct one of them"
                );
                return Some(("RackInAnotherSite", message));
            }
            Some(_) => {}
        }
    }
    if !spec.role.is_empty() && !world.role {
        return Some(("UnknownRole", unknown("spec.role", "MachineRole", &spec.role)));
    }
    if !spec.profile.is_empty() && world.profile.is_none() {
        return Some(("UnknownProfile", unknown("spec.profile", "HardwareProfile", &spec.profile)));
    }
    if let Some(other) = &world.serial_of {
        let message = format!(
            "spec.serial: the serial {:?} belongs to Machine {other:?} already; correct it, or delete or retire that machine",
            spec.serial
        );
        return Some(("DuplicateSerial", message));
    }
    world.bmc_of.as_ref().map(|other| {
        let address = spec.bmc.as_ref().map(|bmc| bmc.address.as_str()).unwrap_or_default();
        let message = format!(
            "spec.bmc.address: {address:?} belongs to Machine {other:?} already; correct it, or delete or retire that machine"
        );
        ("DuplicateBmcAddress", message)
    })
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
    if status.phase == Phase::Inspecting && machine.spec.role.is_empty() && status.run.is_empty() {
        enter(status, Phase::Registered, "its role was taken back", world.now, None);
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

/// Whether an inspection seems to have taken too long.
pub(crate) fn is_overdue(machine: &Machine, now: Timestamp) -> bool {
    machine.status.as_ref().is_some_and(|status| {
        status.phase == Phase::Inspecting && status.deadline.is_some_and(|deadline| deadline <= now)
    })
}

fn enter(status: &mut MachineStatus, to: Phase, reason: &str, at: Timestamp, deadline: Option<Timestamp>) {
    let transition = Transition { at, from: None, to, reason: reason.to_owned(), run: String::new() };
    status.enter(transition, deadline).expect("the intake only takes steps of the phase graph");
}

#[cfg(test)]
mod tests;
