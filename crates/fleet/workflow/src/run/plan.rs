//! What a run does next, from what is observed. No choice is left to the executor.
//!
//! Either the status changes or effects happen, never both in one round: an effect is planned only from a status that
//! stands in the store.

mod begin;
mod end;
mod steps;
mod world;

use std::time::Duration;

use jiff::Timestamp;
use muster_api::machine::Phase;
use muster_api::workflow::{Run, RunChunk, RunChunkStatus, RunPhase, RunStatus};
use muster_api::{Disruption, Order};

use super::call::{Call, Letter};
use super::container::PodPlan;

pub(crate) use begin::{cause_gone, whole};
pub use world::{ContainerSeen, PodKey, PodSeen, World, destruction_name, grant_name};

/// Something to be done outside the run's own status.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Changes the status of the machine.
    Machine(MachineChange),
    /// Tells the agent or the management controller's actor something.
    Order(Box<Order>),
    /// Asks for a grant.
    Disruption(Box<Disruption>),
    /// Gives the grant of that name back.
    Release(String),
    /// Keeps new pods off the node.
    Cordon,
    /// Lets new pods on the node.
    Uncordon,
    /// Has these pods go elsewhere.
    Evict(Vec<PodKey>),
    /// Starts a container.
    Container(Box<PodPlan>),
    /// Removes a container that has ended.
    RemovePod(String),
    /// Calls a web service.
    Call(Box<Call>),
    /// Sends an e-mail.
    Mail(Box<Letter>),
    /// Begins a run that is a part of this one.
    Child(Box<Run>),
    /// Ends such a run.
    CancelChild(String),
    /// Makes room for further steps.
    Chunk(Box<RunChunk>),
    /// Removes the run with all it made.
    Remove,
}

/// A change of a machine's status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineChange {
    /// Takes the machine in hand with this fence.
    pub fence: Option<i64>,
    /// Enters a phase.
    pub enter: Option<Enter>,
    /// Lets the machine go.
    pub let_go: bool,
}

/// A phase to enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enter {
    pub phase: Phase,
    pub reason: String,
    pub deadline: Option<Timestamp>,
}

/// One round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub status: Option<RunStatus>,
    /// Status of the chunk under way.
    pub chunk: Option<RunChunkStatus>,
    pub effects: Vec<Effect>,
    pub look_again: Option<Duration>,
    /// A deadline seems to have passed: nothing is decided before the world was read anew.
    pub needs_fresh: bool,
    /// Deadlines that have passed, for the alert.
    pub overdue: Vec<String>,
}

impl Plan {
    fn sooner(&mut self, wait: Duration) {
        self.look_again = Some(self.look_again.map_or(wait, |sooner| sooner.min(wait)));
    }
}

/// Decides the next round of `run`.
pub fn plan(run: &Run, world: &World) -> Plan {
    let status = run.status.clone().unwrap_or_default();
    match status.phase {
        RunPhase::Pending => begin::pending(run, world, status),
        RunPhase::Running | RunPhase::Paused => steps::running(run, world, &status),
        RunPhase::Succeeded
        | RunPhase::Failed
        | RunPhase::Ambiguous
        | RunPhase::Cancelled
        | RunPhase::Undone => end::again(run, world, status),
    }
}

fn write(status: RunStatus) -> Plan {
    Plan { status: Some(status), ..Plan::default() }
}

#[cfg(test)]
mod tests;
