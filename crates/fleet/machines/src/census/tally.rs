//! Counts kept current change by change: at a million machines nobody counts anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use muster_api::Machine;
use muster_api::machine::Phase;
use muster_api::rack::RackStatus;
use muster_api::role::MachineRoleStatus;
use muster_api::site::SiteStatus;
use parking_lot::Mutex;

/// What machines are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Group {
    Site,
    Rack,
    Role,
}

impl Group {
    const ALL: [Self; 3] = [Self::Site, Self::Rack, Self::Role];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Rack => "rack",
            Self::Role => "role",
        }
    }

    pub(super) fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == name)
    }

    fn of(self, machine: &Machine) -> &str {
        match self {
            Self::Site => &machine.spec.site,
            Self::Rack => &machine.spec.rack,
            Self::Role => &machine.spec.role,
        }
    }
}

/// Machines of one group, by phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) machines: u32,
    pub(super) phases: BTreeMap<String, u32>,
}

macro_rules! count_from {
    ($status:ty) => {
        impl From<&$status> for Count {
            fn from(status: &$status) -> Self {
                Self { machines: status.machines, phases: status.phases.clone() }
            }
        }
    };
}
count_from!(SiteStatus);
count_from!(RackStatus);
count_from!(MachineRoleStatus);

/// The counts of all groups. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

type Counts = HashMap<(Group, String), BTreeMap<Phase, u32>>;

fn phase(machine: &Machine) -> Phase {
    machine.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

impl Tally {
    /// Takes a change over; the groups whose counts changed.
    pub(super) fn change(&self, old: Option<&Machine>, new: Option<&Machine>) -> BTreeSet<(Group, String)> {
        let mut counts = self.0.lock();
        let mut touched = BTreeSet::new();
        for group in Group::ALL {
            let place = |machine: &Machine| (group.of(machine).to_owned(), phase(machine));
            let (old, new) = (old.map(place), new.map(place));
            if old == new {
                continue;
            }
            if let Some((name, phase)) = old.filter(|(name, _)| !name.is_empty()) {
                if let Some(phases) = counts.get_mut(&(group, name.clone())) {
                    if let Some(count) = phases.get_mut(&phase) {
                        *count = count.saturating_sub(1);
                    }
                    phases.retain(|_, count| 0 < *count);
                    if phases.is_empty() {
                        counts.remove(&(group, name.clone()));
                    }
                }
                touched.insert((group, name));
            }
            if let Some((name, phase)) = new.filter(|(name, _)| !name.is_empty()) {
                *counts.entry((group, name.clone())).or_default().entry(phase).or_insert(0) += 1;
                touched.insert((group, name));
            }
        }
        touched
    }

    pub(super) fn of(&self, group: Group, name: &str) -> Count {
        let counts = self.0.lock();
        let phases: BTreeMap<String, u32> = counts
            .get(&(group, name.to_owned()))
            .into_iter()
            .flatten()
            .map(|(phase, count)| (phase.as_str().to_owned(), *count))
            .collect();
        Count { machines: phases.values().sum(), phases }
    }
}

#[cfg(test)]
mod tests {
    use muster_api::machine::{MachineSpec, MachineStatus};

    use super::*;

    fn machine(site: &str, rack: &str, phase: Phase) -> Machine {
        let spec = MachineSpec { site: site.into(), rack: rack.into(), ..MachineSpec::default() };
        let mut machine = Machine::new("m", spec);
        machine.status = Some(MachineStatus { phase, ..MachineStatus::default() });
        machine
    }

    #[test]
    fn counts_follow_every_move_and_what_is_empty_is_gone() {
        let tally = Tally::default();
        let (a, b) = (machine("a", "r1", Phase::Healthy), machine("a", "r2", Phase::Healthy));
        tally.change(None, Some(&a));
        tally.change(None, Some(&b));
        assert_eq!(tally.of(Group::Site, "a").phases, BTreeMap::from([("Healthy".to_owned(), 2)]));
        let failed = machine("a", "r1", Phase::Failed);
        let touched = tally.change(Some(&a), Some(&failed));
        assert_eq!(touched, BTreeSet::from([(Group::Site, "a".to_owned()), (Group::Rack, "r1".to_owned())]));
        assert_eq!(tally.of(Group::Rack, "r1").phases, BTreeMap::from([("Failed".to_owned(), 1)]));
        assert!(tally.change(Some(&failed), Some(&failed)).is_empty());
        tally.change(Some(&failed), None);
        tally.change(Some(&b), None);
        assert_eq!(tally.of(Group::Site, "a"), Count::default());
        assert!(tally.0.lock().is_empty());
    }
}
