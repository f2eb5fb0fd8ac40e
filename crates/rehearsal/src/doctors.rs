//! The doctors: what they see of a machine, and what they make of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::Problem;
use muster_api::problem::{self, ProblemSpec, ProblemStatus, State};
use muster_doctor::planner::{Diagnosis, Moment, Rule, Sign};

use crate::store::{Store, accepted};

/// How soon a class is looked at again, when it opens and when it clears.
struct Habit {
    class: &'static str,
    every: u64,
    open_after: u32,
    quiet: u64,
}

const fn habit(class: &'static str, every: u64, open_after: u32, quiet: u64) -> Habit {
    Habit { class, every, open_after, quiet }
}

const HABITS: [Habit; 4] = [
    habit("runtime.hung", 1, 3, 3),
    habit("runtime.dead", 1, 5, 3),
    habit("agent.dead", 1, 10, 3),
    // No sign of life for forty seconds is the first sign.
    habit("machine.silent", 40, 1, 10),
];
/// Any other class: files and counters are looked at every five seconds.
const HABIT: Habit = habit("", 5, 4, 60);
/// What stands is looked at more seldom; its lease outlasts the rest.
const STANDING: Duration = Duration::from_secs(20);
const LONG_STANDING: Duration = Duration::from_secs(600);
const LONG: Duration = Duration::from_secs(1800);
const LEASE_MARGIN: Duration = Duration::from_secs(40);

/// The cases of all machines.
#[derive(Default)]
pub(crate) struct Doctors {
    rules: BTreeMap<String, Arc<Rule>>,
    cases: BTreeMap<(usize, String), Diagnosis>,
}

/// What a look changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// It opened, or cleared, just now.
    pub(crate) turned: Option<State>,
    /// When to look again; `None` when there is nothing more to see.
    pub(crate) again: Option<Duration>,
}

fn habit_of(class: &str) -> &'static Habit {
    HABITS.iter().find(|habit| habit.class == class).unwrap_or(&HABIT)
}

/// The first look at a fault that has just begun.
pub(crate) fn first_look(class: &str) -> Duration {
    Duration::from_secs(habit_of(class).every)
}

/// The name of the problem of a class on a machine.
pub(crate) fn name(store: &Store, number: usize, class: &str) -> String {
    problem::name(&store.machines[number].name_any(), class, "")
}

impl Doctors {
    /// Looks for `class` on a machine.
    pub(crate) fn look(
        &mut self,
        store: &mut Store,
        (number, class): (usize, &str),
        bad: bool,
        boot_id: &str,
        now: Timestamp,
    ) -> Found {
        let habit = habit_of(class);
        let rule = self
            .rules
            .entry(class.to_owned())
            .or_insert_with(|| Rule::level("rehearsal", class, class, habit.open_after, habit.quiet));
        let case = self.cases.entry((number, class.to_owned())).or_default();
        let before = case.status().map(|status| (status.state, status.episode));
        let sign = if bad { Sign::Bad(format!("{class} is seen")) } else { Sign::Good };
        case.take(rule, &sign, Moment { now, boot_id, held: false });
        let Some(status) = case.status().cloned() else { return Found { turned: None, again: None } };
        let turned = (before != Some((status.state, status.episode))).then_some(status.state);
        let again = next_look(&status, bad, habit, now);
        file(store, number, class, status, again, now);
        Found { turned, again }
    }
}

fn next_look(status: &ProblemStatus, bad: bool, habit: &Habit, now: Timestamp) -> Option<Duration> {
    let stood = status.opened_at.map_or(Duration::ZERO, |at| muster_base::clock::elapsed(at, now));
    match (status.state, bad) {
        (State::Clear, _) => None,
        (_, false) => Some(Duration::from_secs(habit.quiet.max(1))),
        (State::Open, true) if LONG < stood => Some(LONG_STANDING),
        (State::Open, true) => Some(STANDING),
        (State::Suspect | State::Unknown, true) => Some(Duration::from_secs(habit.every)),
    }
}

fn file(
    store: &mut Store,
    number: usize,
    class: &str,
    status: ProblemStatus,
    again: Option<Duration>,
    now: Timestamp,
) {
    let name = name(store, number, class);
    let there = store.problem(number, &name).and_then(|problem| problem.status.clone()).unwrap_or_default();
    let lease = again.map_or(LEASE_MARGIN, |again| again + LEASE_MARGIN);
    let machine = store.machines[number].name_any();
    let spec = ProblemSpec { machine, component: String::new(), class: class.to_owned() };
    let mut problem = Problem::new(&name, spec);
    problem.status = Some(ProblemStatus {
        lease_until: now.checked_add(lease).ok(),
        parent: there.parent,
        conditions: accepted(now),
        ..status
    });
    store.put_problem(number, problem);
}
