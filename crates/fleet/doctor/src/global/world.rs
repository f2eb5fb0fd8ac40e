//! What machines have in common, read from the machine database and kept counted by its changes.

use std::sync::Arc;

use muster_api::inventory::InventoryStatus;
use muster_api::machine::Phase;
use muster_api::problem::SuspectKind;
use muster_api::{Inventory, Machine, Rack};
use muster_control::{Change, Informer, Informers, ObjectKey};
use parking_lot::Mutex;

use super::plan::correlation::Correlation;
use super::plan::place::{Census, Place};

/// The machine database, as the global doctor needs it. Cheap to clone.
#[derive(Clone)]
pub(super) struct World {
    pub(super) machines: Informer<Machine>,
    pub(super) inventories: Informer<Inventory>,
    pub(super) racks: Informer<Rack>,
}

impl World {
    pub(super) fn new(informers: &Informers) -> Self {
        Self { machines: informers.of(), inventories: informers.of(), racks: informers.of() }
    }

    /// Where a machine stands and what runs on it.
    pub(super) fn place(&self, machine: &str) -> Place {
        let key = ObjectKey::cluster(machine);
        let Some(object) = self.machines.get(&key) else { return Place::default() };
        let (site, rack) = (object.spec.site.clone(), object.spec.rack.clone());
        let power = self.racks.get(&ObjectKey::cluster(&rack)).map(|rack| feed(&rack)).unwrap_or_default();
        let inventory = self.inventories.get(&key).and_then(|inventory| inventory.status.clone());
        let InventoryStatus { image, firmware, .. } = inventory.unwrap_or_default();
        Place { site, rack, power, image, firmware }
    }

    /// Counts machines in service by what they have in common.
    pub(super) fn count(&self, into: &Arc<Mutex<Correlation>>) {
        let counts = Arc::clone(into);
        self.racks.on_change(move |change| {
            let feed = |rack: &Option<Arc<Rack>>| rack.as_ref().map(|rack| feed(rack)).unwrap_or_default();
            let (old, new) = (feed(&change.old), feed(&change.new));
            if old != new {
                counts.lock().census.wire(&change.key.name, &new);
            }
        });
        let counts = Arc::clone(into);
        self.machines.on_change(move |change| count_machine(&mut counts.lock().census, change));
        let counts = Arc::clone(into);
        self.inventories.on_change(move |change| {
            let bears = |inventory: &Option<Arc<Inventory>>| {
                let status = inventory.as_ref().and_then(|inventory| inventory.status.as_ref());
                status.map(|status| (status.image.clone(), status.firmware.clone())).unwrap_or_default()
            };
            let (old, new) = (bears(&change.old), bears(&change.new));
            if old != new {
                let census = &mut counts.lock().census;
                for (kind, old, new) in
                    [(SuspectKind::Image, old.0, new.0), (SuspectKind::Firmware, old.1, new.1)]
                {
                    census.lose(kind, &old, 1);
                    census.gain(kind, &new, 1);
                }
            }
        });
    }
}

/// A feed is one of its site.
fn feed(rack: &Rack) -> String {
    let (site, power) = (&rack.spec.site, &rack.spec.power);
    if power.is_empty() { String::new() } else { format!("{site}/{power}") }
}

fn count_machine(census: &mut Census, change: &Change<Machine>) {
    let place = |machine: &Option<Arc<Machine>>| {
        let machine = machine.as_ref().filter(|machine| is_in_service(machine))?;
        Some((machine.spec.site.clone(), machine.spec.rack.clone()))
    };
    let (old, new) = (place(&change.old), place(&change.new));
    if old == new {
        return;
    }
    let of = |census: &Census, (site, rack): (String, String)| {
        let power = census.feed_of(&rack).to_owned();
        Place { site, rack, power, ..Place::default() }
    };
    if let Some(old) = old {
        let place = of(census, old);
        census.leave(&place);
    }
    if let Some(new) = new {
        let place = of(census, new);
        census.enter(&place);
    }
}

/// What was brought into service and has not left the fleet: it could fail.
fn is_in_service(machine: &Machine) -> bool {
    match machine.status.as_ref().map(|status| status.phase).unwrap_or_default() {
        Phase::Probation | Phase::Healthy | Phase::Disrupted | Phase::Failed | Phase::Quarantined => true,
        Phase::Registered | Phase::Inspecting | Phase::Provisioning | Phase::Retired => false,
    }
}
