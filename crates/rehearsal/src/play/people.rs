//! Who is called, comes and mends.

use std::time::Duration;

use muster_api::machine::Phase;

use super::{Event, Play};
use crate::ground::End;
use crate::hands;

impl Play<'_> {
    pub(super) fn call(&mut self, machine: &str) {
        let number = self.store.number(machine);
        if let Some(index) = self.ground[number].fault {
            self.with_person.insert(index, true);
        }
        if !std::mem::replace(&mut self.ground[number].person, true) {
            let comes = self.dice.between(hands::PERSON.0, hands::PERSON.1);
            self.at(comes, Event::Person(number));
        }
    }

    /// A person waits until the machine is taken away, mends it, and has it installed anew.
    pub(super) fn person(&mut self, machine: usize) {
        let phase = self.store.machines[machine].status.as_ref().map(|status| status.phase);
        if phase != Some(Phase::Quarantined) {
            if phase == Some(Phase::Healthy) && self.ground[machine].fault.is_none() {
                self.ground[machine].person = false;
            } else {
                self.at(Duration::from_secs(3600), Event::Person(machine));
            }
            return;
        }
        if let Some(index) = self.ground[machine].fault {
            // It is given back when no doctor sees anything any more.
            self.happenings[index].over.get_or_insert((self.now, End::Mended));
            return self.at(Duration::from_secs(600), Event::Person(machine));
        }
        self.ground[machine].person = false;
        let mended = hands::mended(&self.store.machines[machine], self.now);
        self.store.put_machine(machine, mended);
    }
}
