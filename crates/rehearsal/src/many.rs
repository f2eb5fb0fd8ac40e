//! The global doctor: one Problem for what many machines have in common, and what that holds.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::Problem;
use muster_api::problem::{ProblemSpec, ProblemStatus};
use muster_base::clock::elapsed;
use muster_doctor::global::Config;
use muster_doctor::global::plan::correlation::{Case, Correlation, Parent, class_of, component_of};
use muster_doctor::global::plan::place::Place;
use muster_doctor::global::plan::record;

use crate::dice::Dice;
use crate::store::{Store, accepted};

/// After its death somebody else leads.
const SUCCESSOR: Duration = Duration::from_secs(2);

/// The global doctor. What it knows beside the objects may be lost.
pub(crate) struct Many {
    dice: Dice,
    /// How probable it is that it dies after an effect.
    crashes: f64,
    correlation: Correlation,
    unwritten: BTreeSet<String>,
    unheld: BTreeSet<String>,
    openings: BTreeSet<(String, i64)>,
    /// Parents that opened, in their order.
    pub(crate) opened: Vec<String>,
}

fn place(store: &Store, number: usize) -> Place {
    let (spec, facts) = (&store.machines[number].spec, &store.inventories[number]);
    Place {
        site: spec.site.clone(),
        rack: spec.rack.clone(),
        power: String::new(),
        image: facts.image.clone(),
        firmware: facts.firmware.clone(),
    }
}

fn knowing(store: &Store) -> Correlation {
    let config = Config::default();
    let mut correlation = Correlation::new(config.burst, config.closing);
    for number in 0..store.machines.len() {
        correlation.census.enter(&place(store, number));
    }
    correlation
}

fn case(store: &Store, number: usize, problem: &Problem, now: Timestamp) -> Option<Case> {
    record::case(problem, || place(store, number), now)
}

fn written(name: &str, parent: &Parent, before: Option<&ProblemStatus>, now: Timestamp) -> Problem {
    let suspect = &parent.suspect;
    let spec = ProblemSpec {
        machine: String::new(),
        class: class_of(suspect.kind),
        component: component_of(suspect),
    };
    let mut problem = Problem::new(name, spec);
    let status = record::of_many(parent, before, Config::default().lease, now);
    problem.status = Some(ProblemStatus { conditions: accepted(now), ..status });
    problem
}

impl Many {
    pub(crate) fn new(seed: u64, crashes: f64, store: &Store) -> Self {
        Self {
            dice: Dice::new(seed),
            crashes,
            correlation: knowing(store),
            unwritten: BTreeSet::new(),
            unheld: BTreeSet::new(),
            openings: BTreeSet::new(),
            opened: Vec::new(),
        }
    }

    /// Takes in what changed. True where it is to be judged.
    pub(crate) fn hear(&mut self, store: &mut Store, now: Timestamp) -> bool {
        let changed = std::mem::take(&mut store.told);
        let mut news = false;
        for (number, name) in changed {
            let Some(problem) = store.problem(number, &name).cloned() else { continue };
            news |= self.correlation.problem(&name, case(store, number, &problem, now));
            if self.correlation.parent_of(&name).is_some_and(|wanted| Some(wanted) != parent_of(&problem)) {
                self.unheld.insert(name);
                news = true;
            }
        }
        news
    }

    /// One look; when to look again.
    pub(crate) fn judge(&mut self, store: &mut Store, now: Timestamp) -> Option<Duration> {
        let judged = self.correlation.judge(now);
        self.unwritten.extend(judged.parents);
        self.unheld.extend(judged.problems);
        while let Some(name) = self.unwritten.first().cloned() {
            if let Some(parent) = self.correlation.parents().get(&name) {
                if parent.is_open && self.openings.insert((name.clone(), parent.episode)) {
                    self.opened.push(name.clone());
                }
                let before = store.parents.iter().find(|there| there.name_any() == name);
                let before = before.and_then(|there| there.status.as_ref());
                store.put_parent(written(&name, parent, before, now));
            }
            if self.dies(store, now) {
                return Some(SUCCESSOR);
            }
            self.unwritten.remove(&name);
        }
        while let Some(name) = self.unheld.pop_first() {
            let Some(wanted) = self.correlation.parent_of(&name).map(str::to_owned) else { continue };
            if store.hold(&name, &wanted) && self.dies(store, now) {
                return Some(SUCCESSOR);
            }
        }
        self.correlation.next().map(|at| elapsed(now, at))
    }

    /// Whether a parent stands, and the problems it holds.
    pub(crate) fn held_by(&self, name: &str) -> Option<Vec<String>> {
        let stands = self.correlation.parents().get(name).is_some_and(|parent| parent.is_open);
        stands.then(|| self.correlation.members(name).map(str::to_owned).collect())
    }

    /// A person found that its members have nothing in common, and deletes it.
    pub(crate) fn delete(&mut self, store: &mut Store, name: &str) {
        self.correlation.forget(name);
        self.unwritten.remove(name);
        store.parents.retain(|parent| parent.name_any() != name);
    }

    /// Whoever comes after it knows what stands written.
    fn dies(&mut self, store: &Store, now: Timestamp) -> bool {
        if !self.dice.happens(self.crashes) {
            return false;
        }
        self.correlation = knowing(store);
        for (name, parent) in store.parents.iter().filter_map(|parent| record::parent(parent)) {
            self.correlation.load(name, parent);
        }
        self.unwritten.clear();
        self.unheld.clear();
        for (number, problems) in store.problems.iter().enumerate() {
            for problem in problems {
                let name = problem.name_any();
                self.correlation.problem(&name, case(store, number, problem, now));
                self.unheld.insert(name);
            }
        }
        true
    }
}

fn parent_of(problem: &Problem) -> Option<&str> {
    problem.status.as_ref().map(|status| status.parent.as_str())
}
