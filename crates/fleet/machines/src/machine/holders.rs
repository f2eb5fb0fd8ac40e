//! Who bears what only one machine may bear: serial numbers and controller addresses, by value.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kube::ResourceExt as _;
use muster_api::Machine;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::machine::{Bmc, Phase};
use parking_lot::Mutex;

/// Serial number and controller identity. A retired machine bears neither: its parts may serve on under another name.
pub(crate) fn identities(machine: &Machine) -> [Option<String>; 2] {
    if machine.status.as_ref().is_some_and(|status| status.phase == Phase::Retired) {
        return [None, None];
    }
    let serial = Some(machine.spec.serial.clone()).filter(|serial| !serial.is_empty());
    [serial, machine.spec.bmc.as_ref().map(Bmc::identity)]
}

/// Names of machines by what they bear. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders(Arc<Mutex<[ByValue; 2]>>);

type ByValue = HashMap<String, BTreeSet<String>>;

impl Holders {
    /// Takes a change over; the machines that bear a value that came or went.
    pub(super) fn change(
        &self,
        name: &str,
        old: Option<&Machine>,
        new: Option<&Machine>,
    ) -> BTreeSet<String> {
        let (old, new) = (old.map(identities).unwrap_or_default(), new.map(identities).unwrap_or_default());
        let mut touched = BTreeSet::new();
        let mut by_value = self.0.lock();
        for (index, (old, new)) in old.into_iter().zip(new).enumerate() {
            if old == new {
                continue;
            }
            if let Some(value) = old
                && let Some(names) = by_value[index].get_mut(&value)
            {
                names.remove(name);
                touched.extend(names.iter().cloned());
                if names.is_empty() {
                    by_value[index].remove(&value);
                }
            }
            if let Some(value) = new {
                let names = by_value[index].entry(value).or_default();
                touched.extend(names.iter().cloned());
                names.insert(name.to_owned());
            }
        }
        touched
    }

    /// The other machines that bear what `machine` bears: by serial, by controller.
    pub(super) fn others(&self, machine: &Machine) -> [Vec<String>; 2] {
        let by_value = self.0.lock();
        let own = machine.name_any();
        let mut index = 0..;
        identities(machine).map(|value| {
            let names = index.next().zip(value).and_then(|(index, value)| by_value[index].get(&value));
            names.into_iter().flatten().filter(|name| **name != own).cloned().collect()
        })
    }
}

/// Whether `other` keeps what both bear: who stands accepted as it is, else who was accepted before its last change, else
/// who is older, else by name.
pub(super) fn keeps(other: &Machine, machine: &Machine) -> bool {
    let rank = |machine: &Machine| (standing(machine), machine.creation_timestamp(), machine.name_any());
    rank(other) < rank(machine)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Accepted,
    ChangedSince,
    NotAccepted,
}

fn standing(machine: &Machine) -> Standing {
    let conditions = machine.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match condition::find(conditions, ACCEPTED) {
        Some(verdict) if verdict.status == Status::True => {
            let as_is = verdict.observed_generation == machine.metadata.generation;
            if as_is { Standing::Accepted } else { Standing::ChangedSince }
        }
        Some(_) | None => Standing::NotAccepted,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use muster_api::Condition;
    use muster_api::machine::{MachineSpec, MachineStatus};

    use super::*;

    fn machine(name: &str, serial: &str, bmc: &str) -> Machine {
        let bmc = Some(Bmc { address: bmc.into(), secret_ref: String::new() }).filter(|_| !bmc.is_empty());
        let mut machine =
            Machine::new(name, MachineSpec { serial: serial.into(), bmc, ..Default::default() });
        machine.metadata.generation = Some(1);
        machine
    }

    fn accepted(mut machine: Machine) -> Machine {
        let verdict = Condition {
            r#type: ACCEPTED.into(),
            status: Status::True,
            reason: "Valid".into(),
            message: String::new(),
            last_transition_time: Timestamp::UNIX_EPOCH,
            observed_generation: Some(1),
        };
        machine.status = Some(MachineStatus { conditions: vec![verdict], ..MachineStatus::default() });
        machine
    }

    #[test]
    fn who_shares_a_value_is_known_and_told_when_it_comes_and_goes() {
        let holders = Holders::default();
        let (a, b) = (machine("a", "S1", "ipmi://h"), machine("b", "S1", "ipmi://h:623"));
        assert!(holders.change("a", None, Some(&a)).is_empty());
        assert_eq!(holders.change("b", None, Some(&b)), BTreeSet::from(["a".to_owned()]));
        assert_eq!(holders.others(&b), [vec!["a".to_owned()], vec!["a".to_owned()]]);
        let moved = machine("a", "S2", "");
        assert_eq!(holders.change("a", Some(&a), Some(&moved)), BTreeSet::from(["b".to_owned()]));
        assert_eq!(holders.others(&b), [Vec::<String>::new(), Vec::new()]);
        assert!(holders.change("a", Some(&moved), Some(&moved)).is_empty());
    }

    #[test]
    fn a_retired_machine_bears_nothing() {
        let mut gone = machine("a", "S1", "ipmi://h");
        gone.status = Some(MachineStatus { phase: Phase::Retired, ..MachineStatus::default() });
        assert_eq!(identities(&gone), [None, None]);
    }

    #[test]
    fn the_accepted_one_keeps_it_and_of_equals_the_first_by_name() {
        let (a, b) = (machine("a", "S1", ""), machine("b", "S1", ""));
        assert!(keeps(&a, &b) && !keeps(&b, &a));
        let b = accepted(b);
        assert!(keeps(&b, &a) && !keeps(&a, &b));
        let mut a = accepted(a);
        assert!(keeps(&a, &b) && !keeps(&b, &a));
        a.metadata.generation = Some(2);
        assert!(keeps(&b, &a) && !keeps(&a, &b));
        assert!(keeps(&a, &machine("a0", "S1", "")));
    }
}
