//! What happens to many machines at once, and what the global doctor makes of it.

use std::time::Duration;

use jiff::Timestamp;

use super::{Event, Options, Play};
use crate::hands;
use crate::mix::{Fault, Truth};

/// The global doctor gathers openings for so long before it judges them.
const SETTLE: Duration = Duration::from_secs(5);
/// Machines that are struck together notice it within so long of each other.
const SPREAD: Duration = Duration::from_secs(60);
const SILENT: &str = "machine.silent";

/// What happens to many machines at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disaster {
    /// When, from the begin.
    pub after: Duration,
    /// The machines, by number.
    pub machines: Vec<usize>,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub what: Struck,
}

/// What a disaster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Struck {
    /// The way to the machines is cut; they are well.
    Cut,
    /// They have no power, and get it back by other means than their own controllers.
    Dead,
    /// A rule finds something on them that is not there.
    Rule(String),
    /// They all have what the mix has a row for, with its cures.
    Fault(String),
}

impl Disaster {
    fn class(&self) -> &str {
        match &self.what {
            Struck::Cut | Struck::Dead => SILENT,
            Struck::Rule(class) | Struck::Fault(class) => class,
        }
    }
}

/// The rows of the mix, then one for each disaster.
pub(super) fn kinds(options: &Options) -> Vec<(&str, Fault)> {
    let rows = options.mix.faults.iter().map(|fault| (fault.class.as_str(), fault.clone()));
    let disasters = options.disasters.iter().map(|disaster| {
        let row = options.mix.faults.iter().find(|row| row.class == disaster.class());
        if let (Struck::Fault(_), Some(row)) = (&disaster.what, row) {
            return (disaster.class(), Fault { share: 0.0, transient: None, ..row.clone() });
        }
        let truth = match disaster.what {
            Struck::Cut | Struck::Rule(_) => Truth::FalseAlarm,
            Struck::Dead | Struck::Fault(_) => Truth::Hands,
        };
        let fault = Fault {
            class: disaster.class().to_owned(),
            truth,
            share: 0.0,
            cure: std::collections::BTreeMap::new(),
            transient: None,
            because: format!("{:?}", disaster.what),
        };
        (disaster.class(), fault)
    });
    rows.chain(disasters).collect()
}

impl Play<'_> {
    /// Those of the machines that have nothing else.
    pub(super) fn strike(&mut self, number: usize) {
        let disaster = &self.options.disasters[number];
        let kind = self.options.mix.faults.len() + number;
        let until = self.now.checked_add(disaster.lasts).ok();
        for machine in &disaster.machines {
            if disaster.what == Struck::Cut {
                self.ground[*machine].cut_until = until;
            }
            if self.ground[*machine].fault.is_none() {
                self.begins(*machine, kind, until);
            }
        }
    }

    /// The global doctor hears of what the doctors wrote.
    pub(super) fn tell_many(&mut self) {
        if self.many.hear(&mut self.store, self.now) {
            self.judge_after(SETTLE);
        }
    }

    fn judge_after(&mut self, wait: Duration) {
        let at = self.now.checked_add(wait).unwrap_or(Timestamp::MAX);
        if self.judged_at.is_none_or(|known| at < known) {
            self.judged_at = Some(at);
            self.at(wait, Event::Judge);
        }
    }

    pub(super) fn judge_many(&mut self) {
        if self.judged_at.is_none_or(|at| self.now < at) {
            return;
        }
        self.judged_at = None;
        let known = self.many.opened.len();
        if let Some(wait) = self.many.judge(&mut self.store, self.now) {
            self.judge_after(wait.max(Duration::from_millis(100)));
        }
        for index in known..self.many.opened.len() {
            let name = self.many.opened[index].clone();
            let comes = self.dice.between(hands::PERSON.0, hands::PERSON.1);
            self.at(comes, Event::Looks(name));
        }
    }

    /// A person looks at a problem of many: a disaster is waited for, a coincidence is told apart.
    pub(super) fn looks(&mut self, name: &str) {
        let Some(held) = self.many.held_by(name) else { return };
        let struck = |problem: &String| {
            let machine = problem.split_once('.').map(|(machine, _)| self.store.number(machine));
            let fault = machine.and_then(|machine| self.ground[machine].fault);
            fault.is_some_and(|index| self.options.mix.faults.len() <= self.happenings[index].kind)
        };
        if held.iter().any(struck) {
            return self.at(Duration::from_secs(3600), Event::Looks(name.to_owned()));
        }
        self.many.delete(&mut self.store, name);
        self.judge_after(Duration::ZERO);
    }

    /// How much later than the first a machine notices.
    pub(super) fn later(&mut self, kind: usize) -> Duration {
        if kind < self.options.mix.faults.len() {
            Duration::ZERO
        } else {
            self.dice.between(Duration::ZERO, SPREAD)
        }
    }
}
