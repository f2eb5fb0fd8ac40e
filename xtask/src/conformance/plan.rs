//! Which specs run, side by side or alone, and for how long at most.
use std::collections::{BTreeMap, BTreeSet};

use super::report::{Outcome, State};

/// The seconds after which a spec is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) listed_s: u64,
    pub(super) unlisted_s: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) list_only: bool,
    /// Parts of names; empty means that the name does not matter.
    pub(super) only: Vec<String>,
    pub(super) limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) limit_s: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    pub(super) together: Vec<Job>,
    pub(super) alone: Vec<Job>,
    /// The specs that the wish is about, those done already among them.
    pub(super) meant: usize,
    /// Listed names that e2e.test does not know: the list is of another version.
    pub(super) unknown: Vec<String>,
    pub(super) listed: Vec<Job>,
}

impl Plan {
    /// The listed specs whose last outcome is not a pass.
    pub(super) fn again(&self, outcomes: &BTreeMap<String, Outcome>) -> Vec<Job> {
        let failed =
            |job: &&Job| outcomes.get(&job.name).is_some_and(|outcome| outcome.state != State::Passed);
        self.listed.iter().filter(failed).cloned().collect()
    }
}

/// Listed specs come first: what is lost is seen early.
pub(super) fn plan(
    specs: &[String],
    passing: &BTreeSet<String>,
    done: &BTreeMap<String, Outcome>,
    wish: &Wish,
) -> Plan {
    let meant =
        |name: &str| wish.only.is_empty() || wish.only.iter().any(|part| name.contains(part.as_str()));
    let mut plan = Plan {
        unknown: passing.iter().filter(|name| meant(name) && !specs.contains(name)).cloned().collect(),
        ..Plan::default()
    };
    let (listed, unlisted): (Vec<&String>, Vec<&String>) =
        specs.iter().filter(|name| meant(name)).partition(|name| passing.contains(*name));
    plan.listed = jobs(&listed, wish.limits.listed_s);
    let others = if wish.list_only { Vec::new() } else { jobs(&unlisted, wish.limits.unlisted_s) };
    plan.meant = plan.listed.len() + others.len();
    let left = plan.listed.clone().into_iter().chain(others).filter(|job| !done.contains_key(&job.name));
    (plan.alone, plan.together) = left.partition(|job| runs_alone(&job.name));
    plan
}

fn jobs(names: &[&String], limit_s: u64) -> Vec<Job> {
    names.iter().map(|name| Job { name: (*name).clone(), limit_s }).collect()
}

fn runs_alone(name: &str) -> bool {
    name.contains("[Serial]") || name.contains("[Disruptive]")
}

#[cfg(test)]
mod tests;
