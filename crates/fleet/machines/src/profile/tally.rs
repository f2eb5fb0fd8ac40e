//! Counts kept current change by change.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use muster_api::Machine;
use muster_api::condition::{self, Status};
use muster_api::profile::{HardwareProfileStatus, MATCHES_PROFILE};
use parking_lot::Mutex;

type Counts = HashMap<String, HardwareProfileStatus>;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

/// The machine's profile, and whether it matches; `None` where nothing is known of that.
fn judged(machine: &Machine) -> Option<(&str, Status)> {
    let conditions = &machine.status.as_ref()?.conditions;
    let verdict = condition::find(conditions, MATCHES_PROFILE)?;
    Some((machine.spec.profile.as_str(), verdict.status)).filter(|(profile, _)| !profile.is_empty())
}

fn field(counts: &mut HardwareProfileStatus, status: Status) -> Option<&mut u32> {
    match status {
        Status::True => Some(&mut counts.matching),
        Status::False => Some(&mut counts.differing),
        Status::Unknown => None,
    }
}

impl Tally {
    /// Takes a change over; the profiles whose counts changed.
    pub(super) fn change(&self, old: Option<&Machine>, new: Option<&Machine>) -> BTreeSet<String> {
        let (old, new) = (old.and_then(judged), new.and_then(judged));
        if old == new {
            return BTreeSet::new();
        }
        let mut counts = self.0.lock();
        if let Some((profile, status)) = old
            && let Some(count) = counts.get_mut(profile).and_then(|counts| field(counts, status))
        {
            *count = count.saturating_sub(1);
        }
        if let Some((profile, status)) = new
            && let Some(count) = field(counts.entry(profile.to_owned()).or_default(), status)
        {
            *count += 1;
        }
        [old, new].into_iter().flatten().map(|(profile, _)| profile.to_owned()).collect()
    }

    pub(super) fn of(&self, profile: &str) -> HardwareProfileStatus {
        self.0.lock().get(profile).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use muster_api::Condition;
    use muster_api::machine::{MachineSpec, MachineStatus};

    use super::*;

    fn machine(profile: &str, status: Status) -> Machine {
        let spec = MachineSpec { profile: profile.into(), ..MachineSpec::default() };
        let mut machine = Machine::new("m", spec);
        let verdict = Condition {
            r#type: MATCHES_PROFILE.into(),
            status,
            reason: String::new(),
            message: String::new(),
            last_transition_time: Timestamp::UNIX_EPOCH,
            observed_generation: None,
        };
        machine.status = Some(MachineStatus { conditions: vec![verdict], ..MachineStatus::default() });
        machine
    }

    #[test]
    fn matching_and_differing_machines_are_counted_as_they_change() {
        let tally = Tally::default();
        let (good, bad) = (machine("big", Status::True), machine("big", Status::False));
        tally.change(None, Some(&good));
        tally.change(None, Some(&good));
        assert_eq!(tally.change(Some(&good), Some(&bad)), BTreeSet::from(["big".to_owned()]));
        assert_eq!(tally.of("big"), HardwareProfileStatus { matching: 1, differing: 1 });
        tally.change(Some(&bad), Some(&machine("small", Status::True)));
        assert_eq!(tally.of("big"), HardwareProfileStatus { matching: 1, differing: 0 });
        assert!(tally.change(Some(&good), Some(&good)).is_empty());
    }
}
