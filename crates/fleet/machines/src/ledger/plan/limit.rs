//! The bounds of failure domains: budgets, and what holds where no budget speaks.

use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use muster_api::DisruptionBudget;
use muster_api::budget::{Approval, Scope};

use super::board::{Board, Domain};

/// Share of a site that may be down where no budget speaks of the site; at least one machine.
const SITE_PERCENT: u32 = 10;
/// The same of a rack: twenty machines share a switch and a power strip, and one of them at a time is enough.
const RACK_PERCENT: u32 = 5;
/// Share of a role in which something may be destroyed within a day, unless a person approved more; at least one.
const DESTROYED_ROLE_PERCENT: u32 = 1;
/// Machines of a rack in which something may be destroyed within a day, unless a person approved more.
const DESTROYED_RACK_MAX: u32 = 1;

/// Whose bound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source<'a> {
    Budget(&'a str),
    Site(&'a str),
    Rack(&'a str, &'a str),
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(name) => write!(f, "DisruptionBudget {name}"),
            Self::Site(site) => write!(f, "site {site} without a DisruptionBudget"),
            Self::Rack(site, rack) => write!(f, "rack {rack} of site {site} without a DisruptionBudget"),
        }
    }
}

impl Source<'_> {
    /// The stable word for it.
    pub(super) fn word(self) -> String {
        match self {
            Self::Budget(name) => format!("DisruptionBudget/{name}"),
            Self::Site(site) => format!("Site/{site}"),
            Self::Rack(site, rack) => format!("Rack/{site}/{rack}"),
        }
    }
}

/// A bound on one failure domain.
#[derive(Debug)]
pub(super) struct Limit<'a> {
    pub(super) source: Source<'a>,
    pub(super) domain: usize,
    pub(super) max: u32,
    /// Reason and end of a freeze that holds now.
    pub(super) frozen: Option<(&'a str, Timestamp)>,
    /// A person's word for destruction.
    pub(super) approval: Option<&'a Approval>,
    pub(super) waiting: u32,
}

fn domain(scope: &Scope) -> Option<Domain<'_>> {
    let Scope { machine, rack, site, role } = scope;
    match (machine, rack, site, role) {
        (Some(machine), None, None, None) => Some(Domain::Machine(machine)),
        (None, Some(rack), Some(site), None) => Some(Domain::Rack(site, rack)),
        (None, None, Some(site), None) => Some(Domain::Site(site)),
        (None, None, None, Some(role)) => Some(Domain::Role(role)),
        // The schema admits no other; one that came from elsewhere bounds nothing it could be meant for.
        (_, _, _, _) => None,
    }
}

/// Makes the domains of all budgets known before machines are counted.
pub(super) fn announce<'a>(board: &mut Board<'a>, budgets: &'a [DisruptionBudget]) {
    for scope in budgets.iter().filter_map(|budget| domain(&budget.spec.scope)) {
        board.id(scope);
    }
}

/// All bounds over a board on which every machine is counted: first the budgets, in their order.
pub(super) fn all<'a>(
    board: &mut Board<'a>,
    budgets: &'a [DisruptionBudget],
    now: Timestamp,
) -> Vec<Limit<'a>> {
    let mut limits = Vec::new();
    for budget in budgets {
        let id = domain(&budget.spec.scope).map(|scope| board.id(scope));
        limits.push(of_budget(budget, id, board, now));
    }
    let bounded: HashSet<usize> = limits.iter().map(|limit| limit.domain).collect();
    for (domain, id) in board.domains().filter(|(_, id)| !bounded.contains(id)) {
        let (source, percent) = match domain {
            Domain::Site(site) => (Source::Site(site), SITE_PERCENT),
            Domain::Rack(site, rack) => (Source::Rack(site, rack), RACK_PERCENT),
            Domain::Machine(_) | Domain::Role(_) => continue,
        };
        let max = share(board.tallies[id].members, percent).max(1);
        limits.push(Limit { source, domain: id, max, frozen: None, approval: None, waiting: 0 });
    }
    for (index, limit) in limits.iter().enumerate() {
        if let Some(tally) = board.tallies.get_mut(limit.domain) {
            tally.limits.push(index);
        }
    }
    limits
}

fn of_budget<'a>(
    budget: &'a DisruptionBudget,
    id: Option<usize>,
    board: &Board<'a>,
    now: Timestamp,
) -> Limit<'a> {
    let spec = &budget.spec;
    let members = id.map_or(0, |id| board.tallies[id].members);
    let percent = spec.max_percent.map(|percent| share(members, percent));
    let freeze = spec.freeze.iter().find(|freeze| freeze.from <= now && now < freeze.to);
    Limit {
        source: Source::Budget(budget.metadata.name.as_deref().unwrap_or_default()),
        domain: id.unwrap_or(usize::MAX),
        max: percent.into_iter().chain(spec.max).min().unwrap_or(0),
        frozen: freeze.map(|freeze| (freeze.reason.as_str(), freeze.to)),
        approval: spec.destruction.as_ref().filter(|approval| now < approval.until),
        waiting: 0,
    }
}

/// So many percent, rounded down.
fn share(members: u32, percent: u32) -> u32 {
    u32::try_from(u64::from(members) * u64::from(percent) / 100).unwrap_or(u32::MAX)
}

/// In how many machines of a domain something may be destroyed within a day, and on whose word; `None` is no bound.
pub(super) fn destruction<'a>(
    domain: Domain<'a>,
    id: usize,
    board: &Board<'a>,
    limits: &[Limit<'a>],
) -> Option<u32> {
    let usual = match domain {
        Domain::Role(_) => share(board.tallies[id].members, DESTROYED_ROLE_PERCENT).max(1),
        Domain::Rack(..) => DESTROYED_RACK_MAX,
        Domain::Machine(_) | Domain::Site(_) => return None,
    };
    let approved = board.tallies[id].limits.iter().filter_map(|index| limits[*index].approval);
    Some(approved.map(|approval| approval.max).max().unwrap_or(usual))
}
