//! Which requests are granted, which wait, and why.
//!
//! Requests are decided oldest first; one that cannot be granted now blocks no other whose failure domains have room. One
//! that has waited long keeps the places that are free for it, so that it is granted when the last domain that holds it
//! back gives a place: after `kept_after` and the longest grant in its domains at the latest.

mod board;
mod desk;
mod limit;
mod obstacle;
mod report;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::budget::DisruptionBudgetStatus;
use muster_api::disruption::{DisruptionPhase, DisruptionStatus};
use muster_api::pause::{Pause, PauseStatus};
use muster_api::{Disruption, DisruptionBudget, Machine};

#[cfg(test)]
pub(crate) use standing::Standing;
pub(crate) use standing::standing;

/// So many Machines are read anew in one round, and so many grants given.
pub(crate) const BATCH_MAX: usize = 64;
/// A grant to destroy counts so long, given back or not.
const DESTROYED_COUNTS: Duration = Duration::from_secs(24 * 3600);
/// What is over is kept so long for people to look at.
const KEPT_WHEN_OVER: Duration = Duration::from_secs(3600);

/// How patient the ledger is.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a waiting request rests at first; later half the time it has waited.
    pub look_again_every: Duration,
    /// The same at most.
    pub look_again_max: Duration,
    /// After so long free places are kept for it.
    pub kept_after: Duration,
}

/// Machines as they were read in this round; `None` is not there.
pub type Fresh = BTreeMap<String, Option<Machine>>;

/// What is decided upon.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Every request there is.
    pub requests: &'a [Disruption],
    /// The machines as the watch shows them; it may be behind.
    pub machines: &'a [Arc<Machine>],
    pub fresh: &'a Fresh,
    pub budgets: &'a [DisruptionBudget],
    pub pauses: &'a [Pause],
    pub sites: &'a BTreeSet<String>,
    /// Requests whose run is not there any more or over, with what became of it.
    pub lost: &'a BTreeMap<String, String>,
    pub now: Timestamp,
    pub timing: Timing,
}

/// A status that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub request: String,
    pub status: DisruptionStatus,
}

/// Everything that differs from what stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Grants: to be written in the ledger's book first.
    pub grants: Vec<Decision>,
    /// What takes nothing from any budget.
    pub decisions: Vec<Decision>,
    pub budgets: Vec<(String, DisruptionBudgetStatus)>,
    pub pauses: Vec<(String, PauseStatus)>,
    /// Requests that are over for long.
    pub forget: Vec<String>,
    /// Machines that have to be read anew before more can be said.
    pub look_at: BTreeSet<String>,
    pub look_again_at: Option<Timestamp>,
    /// There is more to decide at once.
    pub more: bool,
}

/// Decides every request.
pub fn plan(world: &World<'_>) -> Plan {
    let mut desk = desk::Desk::new(world);
    let mut requests: Vec<&Disruption> = world.requests.iter().collect();
    requests.sort_by_cached_key(|request| {
        (phase(request) != DisruptionPhase::Granted, request.creation_timestamp(), request.name_any())
    });
    for request in requests {
        desk.take(request);
    }
    desk.close()
}

/// The phase that stands in the status.
pub(crate) fn phase(request: &Disruption) -> DisruptionPhase {
    request.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// Whether nothing more will be decided about it.
pub(crate) fn is_over(phase: DisruptionPhase) -> bool {
    match phase {
        DisruptionPhase::Denied | DisruptionPhase::Released => true,
        DisruptionPhase::Waiting | DisruptionPhase::Granted => false,
    }
}

/// When a grant or a request ends by itself; the time it is held does not count.
pub(crate) fn end(request: &Disruption, now: Timestamp) -> Timestamp {
    let Some(status) = &request.status else { return request.spec.until };
    let end = status.ends_at.map_or(request.spec.until, |end| end.max(request.spec.until));
    match status.held_since {
        Some(since) => end.checked_add(now.duration_since(since)).unwrap_or(Timestamp::MAX),
        None => end,
    }
}

/// The version of a machine as a number (comparable since Kubernetes 1.35, KEP-5504).
pub(crate) fn version(machine: &Machine) -> u64 {
    machine.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn name(machine: &Machine) -> &str {
    machine.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
