//! The count at the end, and which names were lost or gained.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::plan::Plan;
use super::report::{Outcome, State};

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Verdict {
    passed: usize,
    failed: usize,
    timed_out: usize,
    /// Meant to run, and not begun in time.
    pub(super) not_run: usize,
    /// Listed, run and not passed; or listed and unknown to e2e.test.
    pub(super) lost: Vec<String>,
    /// Passed and not listed.
    pub(super) gained: Vec<String>,
}

impl Verdict {
    pub(super) fn of(
        plan: &Plan,
        passing: &BTreeSet<String>,
        outcomes: &BTreeMap<String, Outcome>,
    ) -> Verdict {
        let mut verdict = Verdict { lost: plan.unknown.clone(), ..Verdict::default() };
        verdict.not_run = plan.meant.saturating_sub(outcomes.len());
        for (name, outcome) in outcomes {
            match outcome.state {
                State::Passed => verdict.passed += 1,
                State::Failed => verdict.failed += 1,
                State::TimedOut => verdict.timed_out += 1,
            }
            match (passing.contains(name), outcome.state) {
                (false, State::Passed) => verdict.gained.push(name.clone()),
                (true, State::Failed | State::TimedOut) => verdict.lost.push(name.clone()),
                (true, State::Passed) | (false, State::Failed | State::TimedOut) => {}
            }
        }
        verdict
    }

    /// The last words of a run.
    pub(super) fn text(&self, specs: usize, seconds: u64) -> String {
        let mut text = String::new();
        for name in &self.lost {
            writeln!(text, "LOST {name}").expect("writing to a String cannot fail");
        }
        for name in &self.gained {
            writeln!(text, "new {name}").expect("writing to a String cannot fail");
        }
        let Verdict { passed, failed, timed_out, .. } = self;
        write!(text, "conformance: {passed} passed, {failed} failed, {timed_out} timed out of {specs}")
            .expect("writing to a String cannot fail");
        if self.not_run > 0 {
            write!(text, "; out of time: {} not run", self.not_run).expect("writing to a String cannot fail");
        }
        writeln!(text, " ({seconds} s)").expect("writing to a String cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Outcome, Plan, State, Verdict};

    fn verdict(meant: usize, passing: &[&str], outcomes: &[(&str, State)]) -> Verdict {
        let plan = Plan { meant, unknown: vec!["gone".to_owned()], ..Plan::default() };
        let passing: BTreeSet<String> = passing.iter().map(|name| (*name).to_owned()).collect();
        let outcome = |name: &str, state| Outcome {
            name: name.to_owned(),
            state,
            seconds: 1.0,
            message: String::new(),
        };
        let outcomes: BTreeMap<String, Outcome> =
            outcomes.iter().map(|(name, state)| ((*name).to_owned(), outcome(name, *state))).collect();
        Verdict::of(&plan, &passing, &outcomes)
    }

    #[test]
    fn a_listed_name_that_does_not_pass_is_lost_and_a_new_one_that_passes_is_gained() {
        let states =
            [("a", State::Passed), ("b", State::Failed), ("c", State::Passed), ("d", State::TimedOut)];
        let found = verdict(5, &["a", "b"], &states);
        assert_eq!(
            (found.lost.clone(), found.gained.clone()),
            (vec!["gone".into(), "b".into()], vec!["c".into()])
        );
        assert_eq!(
            found.text(462, 61),
            "LOST gone\nLOST b\nnew c\n\
             conformance: 2 passed, 1 failed, 1 timed out of 462; out of time: 1 not run (61 s)\n"
        );
    }

    #[test]
    fn a_listed_name_that_was_not_begun_is_not_lost() {
        let found = verdict(2, &["a", "b"], &[("a", State::Passed)]);
        assert_eq!((found.lost, found.not_run), (vec!["gone".to_owned()], 1));
    }
}
