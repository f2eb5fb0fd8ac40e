use std::collections::{BTreeMap, BTreeSet};

use super::{Limits, Outcome, Plan, State, Wish, plan};

const SPECS: &[&str] = &["a one", "a two", "b three [Serial]", "b four [Disruptive]", "c five"];

fn wish(list_only: bool, only: &[&str]) -> Wish {
    let only = only.iter().map(|part| (*part).to_owned()).collect();
    Wish { list_only, only, limits: Limits { listed_s: 600, unlisted_s: 120 } }
}

fn outcome(name: &str, state: State) -> (String, Outcome) {
    (name.to_owned(), Outcome { name: name.to_owned(), state, seconds: 1.0, message: String::new() })
}

fn planned(passing: &[&str], done: &[(&str, State)], wish: &Wish) -> Plan {
    let specs: Vec<String> = SPECS.iter().map(|name| (*name).to_owned()).collect();
    let passing: BTreeSet<String> = passing.iter().map(|name| (*name).to_owned()).collect();
    let done: BTreeMap<String, Outcome> = done.iter().map(|(name, state)| outcome(name, *state)).collect();
    plan(&specs, &passing, &done, wish)
}

fn rows(plan: &Plan) -> Vec<String> {
    let row = |mark: &str, job: &super::Job| format!("{mark} {} {}", job.limit_s, job.name);
    let together = plan.together.iter().map(|job| row("together", job));
    together.chain(plan.alone.iter().map(|job| row("alone", job))).collect()
}

#[test]
fn listed_specs_come_first_with_their_own_limit_and_serial_ones_run_alone() {
    assert_eq!(
        rows(&planned(&["c five", "b four [Disruptive]"], &[], &wish(false, &[]))),
        [
            "together 600 c five",
            "together 120 a one",
            "together 120 a two",
            "alone 600 b four [Disruptive]",
            "alone 120 b three [Serial]",
        ]
    );
}

#[test]
fn list_only_runs_nothing_else() {
    assert_eq!(rows(&planned(&["a two"], &[], &wish(true, &[]))), ["together 600 a two"]);
    assert_eq!(rows(&planned(&[], &[], &wish(true, &[]))), Vec::<String>::new());
}

#[test]
fn only_keeps_the_specs_whose_name_holds_one_of_the_texts() {
    let plan = planned(&["a two"], &[], &wish(false, &["three", "one"]));
    assert_eq!(rows(&plan), ["together 120 a one", "alone 120 b three [Serial]"]);
    assert_eq!(plan.meant, 2);
}

#[test]
fn what_is_done_is_not_run_again_but_still_meant() {
    let plan =
        planned(&["a two"], &[("a one", State::Failed), ("a two", State::Passed)], &wish(false, &["a "]));
    assert_eq!((rows(&plan), plan.meant), (Vec::new(), 2));
}

#[test]
fn only_listed_specs_that_did_not_pass_are_tried_again() {
    let plan = planned(&["a two", "c five"], &[], &wish(false, &[]));
    let outcomes = [("a one", State::Failed), ("a two", State::TimedOut), ("c five", State::Passed)];
    let outcomes = outcomes.iter().map(|(name, state)| outcome(name, *state)).collect();
    assert_eq!(plan.again(&outcomes).iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["a two"]);
}

#[test]
fn a_listed_name_that_does_not_exist_is_told() {
    assert_eq!(planned(&["z gone"], &[], &wish(true, &[])).unknown, ["z gone"]);
}
