//! Judges each grant at the moment it is given, by the truth of the store and not by what the ledger believes.
//!
//! What people changed while the round was under way (a budget, the place of a machine) may be judged by either state: no
//! decider can know of a change that comes after its last look. Everything the ledger itself gave is judged exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::budget::Scope;
use muster_api::disruption::ledger::Entry;
use muster_api::disruption::{Counted, DisruptionPhase};
use muster_api::machine::MachineSpec;
use muster_api::{Disruption, DisruptionBudget, Machine, Pause};
use muster_base::clock::elapsed;

use crate::ledger::plan::{Standing, standing};

#[derive(Default)]
pub(super) struct Judge {
    /// Grants given and not ended.
    live: BTreeMap<String, Grant>,
    /// The machine of each request.
    asked: BTreeMap<String, String>,
    /// Every state of the budgets, with the version since which it stands.
    budgets: Vec<(u64, Vec<DisruptionBudget>)>,
    pressed: BTreeMap<String, Pause>,
}

struct Grant {
    machine: String,
    counted: Counted,
    sequence: i64,
}

fn place(spec: &MachineSpec) -> Counted {
    Counted { site: spec.site.clone(), rack: spec.rack.clone(), role: spec.role.clone() }
}

fn covers(scope: &Scope, machine: &str, place: &Counted) -> bool {
    let is = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
    is(&scope.machine, machine)
        && is(&scope.site, &place.site)
        && is(&scope.rack, &place.rack)
        && is(&scope.role, &place.role)
}

/// What the judge looks at in one grant.
struct Case<'a> {
    truth: &'a BTreeMap<String, Machine>,
    view: &'a BTreeMap<String, Arc<Machine>>,
}

impl Case<'_> {
    /// Whether the decider could know where the machine stands.
    fn knows(&self, machine: &Machine) -> bool {
        let name = machine.name_any();
        self.view.get(&name).is_some_and(|seen| place(&seen.spec) == place(&machine.spec))
    }

    /// Machines that are in the scope by the truth or by what the decider sees.
    fn members(&self, scope: &Scope) -> u32 {
        let serves = |machine: &Machine| {
            standing(machine) != Standing::Outside
                && covers(scope, &machine.name_any(), &place(&machine.spec))
        };
        let seen = |name: &String| self.view.get(name).is_some_and(|machine| serves(machine));
        let all = self.truth.iter().filter(|(name, machine)| serves(machine) || seen(name));
        u32::try_from(all.count()).unwrap()
    }
}

impl Judge {
    pub(super) fn pressed(&mut self, pause: &Pause) {
        self.pressed.insert(pause.name_any(), pause.clone());
    }

    pub(super) fn resumed(&mut self, name: &str) {
        self.pressed.remove(name);
    }

    pub(super) fn budgets(&mut self, version: u64, budgets: Vec<DisruptionBudget>) {
        self.budgets.push((version, budgets));
    }

    /// The red button: a second after it nothing begins where it holds.
    fn is_late(&self, site: &str, now: Timestamp) -> bool {
        self.pressed.values().any(|pause| {
            let at = pause.metadata.creation_timestamp.as_ref().expect("the store sets it").0;
            pause.spec.holds_in(site) && Duration::from_secs(1) < elapsed(at, now)
        })
    }

    pub(super) fn begins(&self, machine: &str, site: &str, now: Timestamp) {
        assert!(!self.is_late(site, now), "{machine} was disturbed more than a second after the pause");
        let granted = self.live.values().any(|grant| grant.machine == machine);
        assert!(granted, "{machine} was disturbed without a grant");
    }

    /// A grant counts from the book on; it ends with the status that says so.
    pub(super) fn written(&mut self, request: &Disruption) {
        let status = request.status.as_ref().expect("a status was written");
        let ended = match status.phase {
            DisruptionPhase::Granted => false,
            DisruptionPhase::Denied | DisruptionPhase::Released => true,
            // Taken back, or written by a decider that did not know of the grant yet.
            DisruptionPhase::Waiting => {
                self.live.get(&request.name_any()).is_some_and(|grant| grant.sequence <= status.sequence)
            }
        };
        if ended {
            self.live.remove(&request.name_any());
        }
    }

    pub(super) fn asked(&mut self, request: &Disruption) {
        self.asked.insert(request.name_any(), request.spec.machine.clone());
    }

    pub(super) fn granted(
        &mut self,
        batch: &[Entry],
        truth: &BTreeMap<String, Machine>,
        view: &BTreeMap<String, Arc<Machine>>,
        began: u64,
    ) {
        let case = Case { truth, view };
        for entry in batch {
            let counted = entry.status.counted.clone().expect("a grant says where it counts");
            let name = self.asked[&entry.request].clone();
            let machine = truth.get(&name).expect("the machine of a grant is there");
            assert!(!self.live.values().any(|grant| grant.machine == name), "two grants on {name}");
            let decided = entry.status.granted_at.expect("a grant has its time");
            assert!(!self.is_late(&counted.site, decided), "{name} was granted a second after the pause");
            self.judge(&name, &counted, standing(machine), &case, began);
            let grant = Grant { machine: name, counted, sequence: entry.status.sequence };
            self.live.insert(entry.request.clone(), grant);
        }
    }

    fn judge(&self, name: &str, counted: &Counted, standing: Standing, case: &Case<'_>, began: u64) {
        let stood = self.stood(began);
        let last = &stood[stood.len() - 1];
        for budget in last.iter() {
            // Allowed where any state of the budgets within the round allowed it.
            let scope = &budget.spec.scope;
            let max = stood.iter().map(|budgets| bound(budgets, scope, case)).max().unwrap_or(0);
            self.within(name, counted, standing, scope, max, case);
        }
        let site = Scope { site: Some(counted.site.clone()), ..Scope::default() };
        let always = |scope: &Scope| stood.iter().all(|b| !b.iter().any(|b| b.spec.scope == *scope));
        if always(&site) {
            let max = (case.members(&site) / 10).max(1);
            self.within(name, counted, standing, &site, max, case);
        }
        let rack = Scope { rack: Some(counted.rack.clone()), ..site };
        if !counted.rack.is_empty() && always(&rack) {
            let max = (case.members(&rack) / 20).max(1);
            self.within(name, counted, standing, &rack, max, case);
        }
    }

    /// The states of the budgets that stood at some time since that version.
    fn stood(&self, since: u64) -> Vec<&Vec<DisruptionBudget>> {
        let first = self.budgets.iter().rposition(|(version, _)| *version <= since).unwrap_or(0);
        self.budgets[first..].iter().map(|(_, budgets)| budgets).collect()
    }

    fn within(
        &self,
        name: &str,
        counted: &Counted,
        seen: Standing,
        scope: &Scope,
        max: u32,
        case: &Case<'_>,
    ) {
        if !covers(scope, name, counted) {
            return;
        }
        let held: BTreeSet<&String> = self
            .live
            .values()
            .filter(|grant| covers(scope, &grant.machine, &grant.counted))
            .map(|grant| &grant.machine)
            .collect();
        let is_down = |machine: &&Machine| {
            standing(machine) == Standing::Down
                && case.knows(machine)
                && covers(scope, &machine.name_any(), &place(&machine.spec))
        };
        let mut down: BTreeSet<String> =
            case.truth.values().filter(is_down).map(|machine| machine.name_any()).collect();
        down.extend(held.iter().map(|machine| (*machine).clone()));
        down.remove(name);
        let (held, down) = (held.len() + 1, down.len() + 1);
        let count = if seen == Standing::Down { held } else { down };
        assert!(
            count <= max as usize,
            "{name} was granted in {scope:?}, which allows {max}: {held} under a grant, {down} down"
        );
    }
}

/// The smallest bound that budgets set on a scope; no budget, no bound here.
fn bound(budgets: &[DisruptionBudget], scope: &Scope, case: &Case<'_>) -> u32 {
    let of = |budget: &DisruptionBudget| {
        let percent = budget.spec.max_percent.map(|percent| case.members(scope) * percent / 100);
        percent.into_iter().chain(budget.spec.max).min().unwrap_or(0)
    };
    let bounds = budgets.iter().filter(|budget| budget.spec.scope == *scope).map(of);
    bounds.min().unwrap_or(u32::MAX)
}
