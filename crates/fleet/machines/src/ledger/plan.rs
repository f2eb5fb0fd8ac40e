//! Which requests are granted, which wait, and why.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::budget::{DisruptionBudgetStatus, Scope};
use muster_api::disruption::{DisruptionPhase, DisruptionStatus};
use muster_api::machine::Phase;
use muster_api::{Disruption, DisruptionBudget, Machine};

/// Share of a site that may be down where no budget speaks of the site; at least one machine.
const UNBUDGETED_SITE_PERCENT: u32 = 10;

/// What is decided upon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World<'a> {
    pub(crate) requests: &'a [Disruption],
    pub(crate) machines: &'a [Arc<Machine>],
    pub(crate) budgets: &'a [Arc<DisruptionBudget>],
    pub(crate) now: Timestamp,
    pub(crate) look_again_every: Duration,
}

/// A status that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) request: String,
    pub(crate) status: DisruptionStatus,
}

/// Everything that differs from what stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) decisions: Vec<Decision>,
    pub(crate) budgets: Vec<(String, DisruptionBudgetStatus)>,
    pub(crate) look_again_at: Option<Timestamp>,
}

/// A bound on one failure domain.
struct Limit {
    name: String,
    scope: Scope,
    max: usize,
    /// Reason and end of a freeze that holds now.
    frozen: Option<(String, Timestamp)>,
    waiting: u32,
}

/// Decides every request.
pub(crate) fn plan(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut limits = limits(world);
    let mut held: BTreeSet<String> = BTreeSet::new();
    let mut requests: Vec<&Disruption> = world.requests.iter().collect();
    requests.sort_by_key(|request| {
        let granted = phase(request) == DisruptionPhase::Granted;
        (!granted, request.creation_timestamp(), request.name_any())
    });
    for request in requests {
        let status = decide(request, world, &mut limits, &mut held);
        let ends = matches!(status.phase, DisruptionPhase::Granted).then_some(request.spec.until);
        for at in [status.look_again_at, ends].into_iter().flatten() {
            plan.look_again_at = Some(plan.look_again_at.map_or(at, |sooner| sooner.min(at)));
        }
        let old = request.status.clone().unwrap_or_default();
        if differs(&old, &status) || request.status.is_none() {
            plan.decisions.push(Decision { request: request.name_any(), status });
        }
    }
    plan.budgets = report(world, &limits, &held);
    plan
}

/// The time of the next look moves by itself and is no reason to write.
fn differs(old: &DisruptionStatus, new: &DisruptionStatus) -> bool {
    (old.phase, &old.reason) != (new.phase, &new.reason)
}

fn phase(request: &Disruption) -> DisruptionPhase {
    request.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

fn decide(
    request: &Disruption,
    world: &World<'_>,
    limits: &mut [Limit],
    held: &mut BTreeSet<String>,
) -> DisruptionStatus {
    let old = request.status.clone().unwrap_or_default();
    match old.phase {
        DisruptionPhase::Denied | DisruptionPhase::Released => return old,
        DisruptionPhase::Waiting | DisruptionPhase::Granted => {}
    }
    if request.spec.released {
        return ended(old, "given back");
    }
    if request.spec.until <= world.now {
        return ended(old, "ran out: its time was over");
    }
    let Some(machine) = world.machines.iter().find(|machine| machine.name_any() == request.spec.machine)
    else {
        let reason = format!("spec.machine: there is no Machine {:?}", request.spec.machine);
        return DisruptionStatus { phase: DisruptionPhase::Denied, reason, look_again_at: None, ..old };
    };
    if old.phase == DisruptionPhase::Granted {
        held.insert(machine.name_any());
        return old;
    }
    match obstacle(machine, world, limits, held) {
        None => {
            held.insert(machine.name_any());
            DisruptionStatus {
                phase: DisruptionPhase::Granted,
                reason: "granted".to_owned(),
                look_again_at: None,
                granted_at: Some(world.now),
            }
        }
        Some((reason, at)) => {
            let soon = world.now.checked_add(world.look_again_every).unwrap_or(world.now);
            let look_again_at = Some(at.map_or(soon, |at| at.min(soon)).min(request.spec.until));
            DisruptionStatus { phase: DisruptionPhase::Waiting, reason, look_again_at, granted_at: None }
        }
    }
}

fn ended(old: DisruptionStatus, reason: &str) -> DisruptionStatus {
    DisruptionStatus {
        phase: DisruptionPhase::Released,
        reason: reason.to_owned(),
        look_again_at: None,
        granted_at: old.granted_at,
    }
}

/// Why the machine cannot be disturbed now, and when that may change by itself.
fn obstacle(
    machine: &Machine,
    world: &World<'_>,
    limits: &mut [Limit],
    held: &BTreeSet<String>,
) -> Option<(String, Option<Timestamp>)> {
    if let Some(hands_off) = machine.spec.hands_off.as_ref().filter(|hands_off| world.now < hands_off.until) {
        let reason = format!("hands off until {} by {}: {}", hands_off.until, hands_off.by, hands_off.reason);
        return Some((reason, Some(hands_off.until)));
    }
    let name = machine.name_any();
    if held.contains(&name) {
        return Some((format!("machine {name} is already disturbed under another grant"), None));
    }
    let mut found = None;
    for limit in limits.iter_mut().filter(|limit| covers(&limit.scope, machine)) {
        let blocked = blocked(limit, machine, world, held);
        if blocked.is_some() {
            limit.waiting += 1;
        }
        found = found.or(blocked);
    }
    found
}

fn blocked(
    limit: &Limit,
    machine: &Machine,
    world: &World<'_>,
    held: &BTreeSet<String>,
) -> Option<(String, Option<Timestamp>)> {
    if let Some((reason, until)) = &limit.frozen {
        return Some((format!("{} is frozen until {until}: {reason}", limit.name), Some(*until)));
    }
    let mut down = down(&limit.scope, world, held);
    down.remove(&machine.name_any());
    (limit.max < down.len() + 1).then(|| {
        let some: Vec<&str> = down.iter().take(3).map(String::as_str).collect();
        let more = if down.len() > some.len() { ", …" } else { "" };
        let text = format!(
            "{} allows {} at once, and {} count as down ({}{more})",
            limit.name,
            limit.max,
            down.len(),
            some.join(", ")
        );
        (text, None)
    })
}

/// Machines of the scope that count as down: disturbed, on probation, failed, quarantined, or under a grant.
fn down(scope: &Scope, world: &World<'_>, held: &BTreeSet<String>) -> BTreeSet<String> {
    let sick = [Phase::Disrupted, Phase::Probation, Phase::Failed, Phase::Quarantined];
    let counts = |machine: &Machine| {
        let phase = machine.status.as_ref().map(|status| status.phase).unwrap_or_default();
        sick.contains(&phase) || held.contains(&machine.name_any())
    };
    world
        .machines
        .iter()
        .filter(|machine| covers(scope, machine) && counts(machine))
        .map(|machine| machine.name_any())
        .collect()
}

fn covers(scope: &Scope, machine: &Machine) -> bool {
    let spec = &machine.spec;
    let name = machine.name_any();
    [(&scope.machine, &name), (&scope.rack, &spec.rack), (&scope.site, &spec.site), (&scope.role, &spec.role)]
        .into_iter()
        .any(|(wanted, is)| wanted.as_ref().is_some_and(|wanted| !wanted.is_empty() && wanted == is))
}

fn limits(world: &World<'_>) -> Vec<Limit> {
    let mut limits: Vec<Limit> = world.budgets.iter().map(|budget| limit(budget, world)).collect();
    let budgeted: BTreeSet<String> = limits.iter().filter_map(|limit| limit.scope.site.clone()).collect();
    let sites: BTreeSet<&String> = world.machines.iter().map(|machine| &machine.spec.site).collect();
    for site in sites.into_iter().filter(|site| !budgeted.contains(*site)) {
        let scope = Scope { site: Some(site.clone()), ..Scope::default() };
        let max = share(world, &scope, UNBUDGETED_SITE_PERCENT).max(1);
        let name = format!("site {site} without a DisruptionBudget");
        limits.push(Limit { name, scope, max, frozen: None, waiting: 0 });
    }
    limits
}

fn limit(budget: &DisruptionBudget, world: &World<'_>) -> Limit {
    let spec = &budget.spec;
    let percent = spec.max_percent.map(|percent| share(world, &spec.scope, percent));
    let absolute = spec.max.map(|max| usize::try_from(max).unwrap_or(usize::MAX));
    let frozen = spec
        .freeze
        .iter()
        .find(|freeze| freeze.from <= world.now && world.now < freeze.to)
        .map(|freeze| (freeze.reason.clone(), freeze.to));
    Limit {
        name: format!("DisruptionBudget {}", budget.name_any()),
        scope: spec.scope.clone(),
        max: percent.into_iter().chain(absolute).min().unwrap_or(0),
        frozen,
        waiting: 0,
    }
}

/// So many percent of the machines of a scope, rounded down.
fn share(world: &World<'_>, scope: &Scope, percent: u32) -> usize {
    let all = world.machines.iter().filter(|machine| covers(scope, machine)).count();
    all * usize::try_from(percent).unwrap_or(100) / 100
}

fn report(
    world: &World<'_>,
    limits: &[Limit],
    held: &BTreeSet<String>,
) -> Vec<(String, DisruptionBudgetStatus)> {
    world
        .budgets
        .iter()
        .zip(limits)
        .filter_map(|(budget, limit)| {
            let in_use = u32::try_from(down(&limit.scope, world, held).len()).unwrap_or(u32::MAX);
            let status = DisruptionBudgetStatus { in_use, waiting: limit.waiting };
            (budget.status.as_ref() != Some(&status)).then(|| (budget.name_any(), status))
        })
        .collect()
}

#[cfg(test)]
mod tests;
