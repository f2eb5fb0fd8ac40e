//! Which machines a claim takes and gives back. Deterministic: the same world gives the same plan, and what is bound stays.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use muster_api::claim::{MachineClaimSpec, Spread};
use muster_api::machine::Phase;

/// A machine, as far as claims look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) site: String,
    pub(super) rack: String,
    pub(super) role: String,
    /// The claim that holds it, by its annotation; empty = none.
    pub(super) claimed_by: String,
    pub(super) phase: Phase,
    pub(super) accepted: bool,
    /// Somebody asked to leave it alone.
    pub(super) left_alone: bool,
    /// Whether the claim's expression holds of it.
    pub(super) fits: bool,
}

/// What is to be done, and what is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Machines to be given the role.
    pub(super) bind: Vec<String>,
    /// Machines whose role is to be taken back.
    pub(super) release: Vec<String>,
    /// Machines that somebody gave another role since: only the mark goes.
    pub(super) unmark: Vec<String>,
    /// Machines bound now, in order; what is to be bound or released is not among them.
    pub(super) bound: Vec<String>,
    /// Why machines are missing.
    pub(super) reason: String,
}

impl Plan {
    pub(super) fn is_idle(&self) -> bool {
        self.bind.is_empty() && self.release.is_empty() && self.unmark.is_empty()
    }
}

/// Whether the claim is there to be served or on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Serves,
    Ends,
}

type Domains<'a> = BTreeMap<&'a str, u32>;

/// Decides.
pub(super) fn plan(name: &str, spec: &MachineClaimSpec, life: Life, machines: &[Candidate]) -> Plan {
    let holds = |machine: &&Candidate| machine.role == spec.role && machine.phase != Phase::Retired;
    let marked = machines.iter().filter(|machine| machine.claimed_by == name);
    let (mut bound, strayed): (Vec<&Candidate>, Vec<&Candidate>) = marked.partition(holds);
    bound.sort_by_key(|machine| &machine.name);
    let mut plan = Plan { unmark: strayed.iter().map(|m| m.name.clone()).collect(), ..Plan::default() };
    plan.unmark.sort();
    let mut domains = Domains::new();
    for machine in &bound {
        *domains.entry(domain(spec, machine)).or_insert(0) += 1;
    }
    let wanted = if life == Life::Ends { 0 } else { usize::try_from(spec.count).unwrap_or(usize::MAX) };
    while wanted < bound.len() {
        let machine = bound.remove(least_worth(spec, &bound, &domains));
        if let Some(count) = domains.get_mut(domain(spec, machine)) {
            *count = count.saturating_sub(1);
        }
        plan.release.push(machine.name.clone());
    }
    plan.bound = bound.iter().map(|machine| machine.name.clone()).collect();
    if life == Life::Serves {
        take(spec, wanted - bound.len(), machines, domains, &mut plan);
        plan.reason = reason(spec, wanted, machines, &plan);
    }
    plan
}

fn domain<'a>(spec: &MachineClaimSpec, machine: &'a Candidate) -> &'a str {
    match spec.spread {
        None => "",
        Some(Spread::Site) => &machine.site,
        Some(Spread::Rack) => &machine.rack,
    }
}

/// Given back first: what does not serve yet, then what stands in the fullest domain, then the last by name.
fn least_worth(spec: &MachineClaimSpec, bound: &[&Candidate], domains: &Domains<'_>) -> usize {
    let worth = |machine: &Candidate| {
        let serves = matches!(machine.phase, Phase::Healthy | Phase::Disrupted | Phase::Probation);
        let crowd = domains.get(domain(spec, machine)).copied().unwrap_or(0);
        (serves, Reverse(crowd))
    };
    let least = bound.iter().enumerate().min_by_key(|(index, machine)| (worth(machine), Reverse(*index)));
    least.map_or(0, |(index, _)| index)
}

fn is_free(machine: &Candidate) -> bool {
    machine.role.is_empty()
        && machine.claimed_by.is_empty()
        && machine.phase == Phase::Registered
        && machine.accepted
        && !machine.left_alone
}

/// The emptiest domain gives the next machine; of equals the first by name.
fn take<'a>(
    spec: &MachineClaimSpec,
    missing: usize,
    machines: &'a [Candidate],
    mut domains: Domains<'a>,
    plan: &mut Plan,
) {
    let mut free: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for machine in machines.iter().filter(|machine| machine.fits && is_free(machine)) {
        free.entry(domain(spec, machine)).or_default().push(&machine.name);
    }
    for names in free.values_mut() {
        names.sort_by_key(|name| Reverse(*name));
    }
    let bound_max = spec.per_domain_max.filter(|_| spec.spread.is_some()).unwrap_or(u32::MAX);
    while plan.bind.len() < missing {
        let crowd = |domain: &str| domains.get(domain).copied().unwrap_or(0);
        let open = free.iter().filter(|(domain, names)| !names.is_empty() && crowd(domain) < bound_max);
        let Some(domain) = open.map(|(domain, _)| *domain).min_by_key(|domain| crowd(domain)) else { break };
        let Some(name) = free.get_mut(domain).and_then(Vec::pop) else { break };
        *domains.entry(domain).or_insert(0) += 1;
        plan.bind.push(name.to_owned());
    }
    plan.bind.sort();
}

/// What keeps the rest from being bound.
fn reason(spec: &MachineClaimSpec, wanted: usize, machines: &[Candidate], plan: &Plan) -> String {
    let have = plan.bound.len() + plan.bind.len();
    if wanted <= have {
        return String::new();
    }
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    let mut fitting = have;
    for machine in machines.iter().filter(|machine| machine.fits) {
        if plan.bound.contains(&machine.name) || plan.bind.contains(&machine.name) {
            continue;
        }
        fitting += 1;
        *told.entry(obstacle(machine)).or_insert(0) += 1;
    }
    let which = if spec.where_.is_empty() { "there are" } else { "the expression fits" };
    let told: Vec<String> = told.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let told = if told.is_empty() { String::new() } else { format!(", of which {}", told.join(", ")) };
    format!("{} of {wanted} missing: {which} {fitting}{told}", wanted - have)
}

fn obstacle(machine: &Candidate) -> &'static str {
    if !machine.role.is_empty() || !machine.claimed_by.is_empty() {
        "carry a role already"
    } else if machine.phase != Phase::Registered {
        "are not Registered"
    } else if !machine.accepted {
        "are not accepted"
    } else if machine.left_alone {
        "are to be left alone"
    } else {
        "stand in a domain that is full"
    }
}

#[cfg(test)]
mod tests;
