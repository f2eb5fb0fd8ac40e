//! Counters per failure domain: built once per plan, moved by each grant.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use muster_api::Machine;
use muster_api::disruption::Counted;

use super::standing::{Standing, standing};

/// A failure domain. The name of a rack means something within its site only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Domain<'a> {
    Machine(&'a str),
    Rack(&'a str, &'a str),
    Site(&'a str),
    Role(&'a str),
}

/// How many names of machines that are down a reason shows.
const SHOWN: usize = 3;

/// What is counted in one domain.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally<'a> {
    /// Machines that serve or should.
    pub(super) members: u32,
    /// Machines that are down or under a grant, each once.
    pub(super) down: u32,
    /// Machines under a grant.
    pub(super) granted: u32,
    /// Grants to destroy within the last day.
    pub(super) destroyed: u32,
    /// Places kept for requests that wait too long.
    pub(super) kept: u32,
    /// For whom the first of them is kept.
    pub(super) kept_for: &'a str,
    /// The first names of those that are down.
    pub(super) shown: Vec<&'a str>,
    /// Which limits bound it.
    pub(super) limits: Vec<usize>,
}

impl<'a> Tally<'a> {
    fn add_down(&mut self, name: &'a str) {
        self.down += 1;
        let at = self.shown.partition_point(|shown| *shown < name);
        if at < SHOWN {
            self.shown.insert(at, name);
            self.shown.truncate(SHOWN);
        }
    }

    /// The names shown in a reason.
    pub(super) fn names(&self) -> String {
        let more = if self.shown.len() < self.down as usize { ", …" } else { "" };
        format!("{}{more}", self.shown.join(", "))
    }
}

/// All domains.
#[derive(Debug, Default)]
pub(super) struct Board<'a> {
    ids: HashMap<Domain<'a>, usize, RandomState>,
    pub(super) tallies: Vec<Tally<'a>>,
}

impl<'a> Board<'a> {
    /// The place of a domain, made where it is not there yet.
    pub(super) fn id(&mut self, domain: Domain<'a>) -> usize {
        let next = self.tallies.len();
        let id = *self.ids.entry(domain).or_insert(next);
        if id == next {
            self.tallies.push(Tally::default());
        }
        id
    }

    /// Every domain seen so far.
    pub(super) fn domains(&self) -> impl Iterator<Item = (Domain<'a>, usize)> {
        self.ids.iter().map(|(domain, id)| (*domain, *id))
    }

    /// The domains of a place. Single machines are counted where a budget names them.
    fn place(&mut self, name: &'a str, site: &'a str, rack: &'a str, role: &'a str) -> Vec<usize> {
        let mut ids = Vec::with_capacity(4);
        ids.extend(self.ids.get(&Domain::Machine(name)));
        if !rack.is_empty() {
            ids.push(self.id(Domain::Rack(site, rack)));
        }
        ids.push(self.id(Domain::Site(site)));
        ids.push(self.id(Domain::Role(role)));
        ids
    }

    /// The domains a machine is in.
    pub(super) fn of(&mut self, machine: &'a Machine) -> Vec<usize> {
        let spec = &machine.spec;
        self.place(super::name(machine), &spec.site, &spec.rack, &spec.role)
    }

    /// Counts a machine in.
    pub(super) fn add(&mut self, machine: &'a Machine, seen: Standing) {
        let name = super::name(machine);
        let ids = self.of(machine);
        if seen == Standing::Outside {
            return;
        }
        for id in ids {
            self.tallies[id].members += 1;
            if seen == Standing::Down {
                self.tallies[id].add_down(name);
            }
        }
    }

    /// Counts a grant to destroy, where the machine stood.
    pub(super) fn destroyed(&mut self, there: &'a Counted) {
        for id in self.place("", &there.site, &there.rack, &there.role) {
            self.tallies[id].destroyed += 1;
        }
    }

    /// Counts a grant to destroy, where the machine stands.
    pub(super) fn destroyed_at(&mut self, machine: &'a Machine) {
        for id in self.of(machine) {
            self.tallies[id].destroyed += 1;
        }
    }

    /// Counts a grant, where the machine stands and where it stood when it was granted; a machine that is down counts
    /// once.
    pub(super) fn grant(&mut self, machine: &'a Machine, counted: Option<&'a Counted>) {
        let name = super::name(machine);
        let here = self.of(machine);
        let is_down = standing(machine) == Standing::Down;
        for id in &here {
            self.tallies[*id].granted += 1;
            if !is_down {
                self.tallies[*id].add_down(name);
            }
        }
        let Some(there) = counted else { return };
        for id in self.place(name, &there.site, &there.rack, &there.role) {
            if !here.contains(&id) {
                self.tallies[id].granted += 1;
                self.tallies[id].add_down(name);
            }
        }
    }
}
