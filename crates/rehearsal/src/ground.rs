//! What is true of each machine, whatever anybody believes: the fault it has, and what an act does to it.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::repair::RungAction;

use crate::dice::Dice;
use crate::mix::{Fault, Truth};

/// How long a machine takes to boot.
const BOOT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(180));
/// How long it takes to be installed anew and to boot from that.
const INSTALL: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(900));

/// A fault that happened.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) machine: usize,
    /// Row of the mix.
    pub(crate) kind: usize,
    pub(crate) began: Timestamp,
    /// When it goes away by itself.
    pub(crate) fades: Option<Timestamp>,
    /// When it was gone, and by what.
    pub(crate) over: Option<(Timestamp, End)>,
    /// Acts that interrupted the machine for it.
    pub(crate) disruptive: u32,
    pub(crate) acts: Vec<RungAction>,
}

/// What ended a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It went away by itself.
    Faded,
    /// An act cured it.
    Cured(RungAction),
    /// A person mended it.
    Mended,
}

/// One machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ground {
    /// Its fault, by number.
    pub(crate) fault: Option<usize>,
    /// It boots until then.
    pub(crate) boots_until: Option<Timestamp>,
    pub(crate) boots: u32,
    /// Nobody hears it, and it hears nobody, until then: the way to it is cut.
    pub(crate) cut_until: Option<Timestamp>,
    /// Whether a person is on the way.
    pub(crate) person: bool,
}

impl Ground {
    pub(crate) fn boot_id(&self) -> String {
        format!("boot-{}", self.boots)
    }

    pub(crate) fn is_booting(&self, now: Timestamp) -> bool {
        self.boots_until.is_some_and(|until| now < until)
    }

    pub(crate) fn is_cut(&self, now: Timestamp) -> bool {
        self.cut_until.is_some_and(|until| now < until)
    }

    /// What an act does to the operating system: whether it boots.
    pub(crate) fn boots_by(&mut self, action: RungAction, dice: &mut Dice, now: Timestamp) -> bool {
        let takes = match action {
            RungAction::Reboot | RungAction::PowerCycle => BOOT,
            RungAction::Reimage => INSTALL,
            RungAction::Observe
            | RungAction::RestartService
            | RungAction::CleanUp
            | RungAction::ResetDevice
            | RungAction::Quarantine => return false,
        };
        self.boots += 1;
        self.boots_until = now.checked_add(dice.between(takes.0, takes.1)).ok();
        true
    }
}

/// How probable it is that an act cures a fault. What takes the machine down and up again does all that a milder act of
/// that sort does.
pub(crate) fn chance(fault: &Fault, action: RungAction) -> f64 {
    if fault.truth != Truth::Curable {
        return 0.0;
    }
    let of = |action: RungAction| fault.cure.get(&action).copied().unwrap_or(0.0);
    match action {
        RungAction::PowerCycle => of(RungAction::PowerCycle).max(of(RungAction::Reboot)),
        RungAction::Reimage => {
            of(RungAction::Reimage).max(of(RungAction::PowerCycle)).max(of(RungAction::Reboot))
        }
        RungAction::Observe
        | RungAction::RestartService
        | RungAction::CleanUp
        | RungAction::ResetDevice
        | RungAction::Reboot
        | RungAction::Quarantine => of(action),
    }
}

/// Whether a machine with that fault speaks with nobody.
pub(crate) fn silences(class: &str) -> bool {
    class == "machine.silent"
}

/// Whether the agent of a machine with that fault takes no orders.
pub(crate) fn deafens(class: &str) -> bool {
    silences(class) || class == "agent.dead"
}

/// Whether no container starts on a machine with that fault.
pub(crate) fn stops_containers(class: &str) -> bool {
    class.starts_with("runtime.") || class == "fs.readonly" || class == "fs.full" || class == "fs.inodes"
}
