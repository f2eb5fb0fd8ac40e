//! Everything that was ever found wrong with the machine, by class and part.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_api::problem::{ProblemStatus, State};
use muster_base::clock::elapsed;

use crate::diagnosis::{Diagnosis, Moment};
use crate::rule::{Finding, Look, Rest, Rule, Sign};

/// Parts of one class told apart; what is found of more is found of all of them together.
const PARTS_MAX: usize = 64;
/// What is over is forgotten after so long, or a machine of many short-lived parts would fill the memory.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The component of what is found of more parts than are told apart.
const MANY: &str = "many";

/// Which fault, where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) class: String,
    pub(crate) component: String,
}

/// All cases of one machine.
#[derive(Default)]
pub(crate) struct Cases {
    rules: Vec<Arc<Rule>>,
    open: BTreeMap<Key, Diagnosis>,
    /// Those of rules that are only tried.
    shadow: BTreeMap<Key, Diagnosis>,
}

impl Cases {
    /// No case yet; `rules` are all that may find one.
    pub(crate) fn new(rules: Vec<Arc<Rule>>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes up what was filed in an earlier life, by a rule that is still there, or by one of its class.
    pub(crate) fn restore(&mut self, key: Key, status: ProblemStatus) {
        let of_class = || self.rules.iter().filter(|rule| rule.class == key.class && !rule.shadow);
        let Some(rule) = of_class().find(|rule| rule.name == status.rule).or_else(|| of_class().next())
        else {
            return;
        };
        self.open.insert(key, Diagnosis::filed(Arc::clone(rule), status));
    }

    /// Takes a look in; the cases whose state changed.
    pub(crate) fn take(&mut self, look: &Look, moment: Moment<'_>) -> Vec<Key> {
        let mut changed = Vec::new();
        for finding in &look.found {
            changed.extend(self.finding(finding, moment));
        }
        let rest = match look.rest {
            Rest::Good => Sign::Good,
            Rest::Unseen => Sign::Unseen,
            Rest::Untouched => return changed,
        };
        for (cases, filed) in [(&mut self.open, true), (&mut self.shadow, false)] {
            for (key, diagnosis) in cases.iter_mut().filter(|(_, diagnosis)| !diagnosis.is_over()) {
                let silent: Vec<Arc<Rule>> =
                    diagnosis.heard_of(look.source).filter(|rule| !names(look, rule, key)).cloned().collect();
                let moved = silent.iter().filter(|rule| diagnosis.take(rule, &rest, moment)).count() > 0;
                if moved && filed {
                    changed.push(key.clone());
                }
            }
        }
        changed
    }

    fn finding(&mut self, finding: &Finding, moment: Moment<'_>) -> Option<Key> {
        let rule = &finding.rule;
        let mut key = Key { class: rule.class.clone(), component: finding.component.clone() };
        let cases = if rule.shadow { &mut self.shadow } else { &mut self.open };
        let is_bad = matches!(finding.sign, Sign::Bad(_) | Sign::More(_));
        if !cases.contains_key(&key) {
            if !is_bad {
                return None;
            }
            if PARTS_MAX <= cases.keys().filter(|other| other.class == key.class).count() {
                MANY.clone_into(&mut key.component);
            }
        }
        let diagnosis = cases.entry(key.clone()).or_default();
        let changed = diagnosis.take(rule, &finding.sign, moment);
        if changed && rule.shadow {
            let state = diagnosis.status().map_or("none", |status| status.state.as_str());
            let count = diagnosis.status().map_or(0, |status| status.count);
            tracing::info!(
                rule = rule.name,
                component = key.component,
                state,
                count,
                "a rule on trial would have changed a problem"
            );
        }
        (changed && !rule.shadow).then_some(key)
    }

    /// What should stand in the API.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Diagnosis)> {
        self.open.iter()
    }

    /// What rules on trial found.
    pub(crate) fn on_trial(&self) -> impl Iterator<Item = (&Key, &Diagnosis)> {
        self.shadow.iter()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Diagnosis> {
        self.open.get(key)
    }

    /// Forgets what has been over for long.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        let over = |diagnosis: &Diagnosis| {
            diagnosis.status().is_some_and(|status| {
                let since = status.cleared_at.or(status.last_seen);
                status.state == State::Clear
                    && since.is_some_and(|since| FORGOTTEN_AFTER <= elapsed(since, now))
            })
        };
        self.open.retain(|_, diagnosis| !over(diagnosis));
        self.shadow.retain(|_, diagnosis| !over(diagnosis));
    }
}

fn names(look: &Look, rule: &Rule, key: &Key) -> bool {
    look.found.iter().any(|finding| finding.rule.name == rule.name && finding.component == key.component)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn moment(seconds: i64) -> Moment<'static> {
        Moment { now: at(seconds), boot_id: "boot", held: false }
    }

    fn rules() -> [Arc<Rule>; 2] {
        let trial = Rule { shadow: true, ..(*Rule::level("nics", "trial", "nic.down", 1, 2)).clone() };
        [Rule::level("nics", "nic-down", "nic.down", 1, 2), Arc::new(trial)]
    }

    fn look(found: Vec<Finding>, rest: Rest) -> Look {
        Look { source: "nics", found, rest }
    }

    fn shown(cases: &Cases) -> Vec<String> {
        let row = |(key, diagnosis): (&Key, &Diagnosis)| {
            let state = diagnosis.status().map_or("none", |status| status.state.as_str());
            format!("{} {} {state}", key.class, key.component)
        };
        cases.all().map(row).collect()
    }

    #[test]
    fn parts_are_told_apart_and_what_a_look_does_not_name_follows_its_rest() {
        let [down, _] = rules();
        let mut cases = Cases::new(rules().into());
        let bad = |component| Finding::bad(&down, component, "no carrier");
        let good = |component| Finding::new(&down, component, Sign::Good);
        cases.take(&look(vec![bad("eth0"), bad("eth1"), good("eth2")], Rest::Unseen), moment(0));
        assert_eq!(shown(&cases), ["nic.down eth0 Open", "nic.down eth1 Open"]);
        for second in 1..4 {
            cases.take(&look(vec![good("eth0")], Rest::Unseen), moment(second));
        }
        assert_eq!(shown(&cases), ["nic.down eth0 Clear", "nic.down eth1 Open"]);
        for second in 4..7 {
            cases.take(&look(Vec::new(), Rest::Good), moment(second));
        }
        assert_eq!(shown(&cases), ["nic.down eth0 Clear", "nic.down eth1 Clear"]);
        cases.forget(at(24 * 3600 + 4));
        assert_eq!(shown(&cases), ["nic.down eth1 Clear"]);
    }

    #[test]
    fn a_rule_on_trial_counts_and_files_nothing() {
        let [_, trial] = rules();
        let mut cases = Cases::new(rules().into());
        let changed = cases.take(&look(vec![Finding::bad(&trial, "eth0", "x")], Rest::Good), moment(0));
        assert_eq!((changed.len(), shown(&cases).len()), (0, 0));
        let counts: Vec<u64> = cases.on_trial().map(|(_, case)| case.status().unwrap().count).collect();
        assert_eq!(counts, [1]);
    }

    #[test]
    fn a_class_of_endless_parts_is_bounded() {
        let [down, _] = rules();
        let mut cases = Cases::new(rules().into());
        for number in 0..1000 {
            let finding = Finding::bad(&down, &format!("eth{number}"), "x");
            cases.take(&look(vec![finding], Rest::Untouched), moment(0));
        }
        assert_eq!(shown(&cases).len(), PARTS_MAX + 1);
        let key = Key { class: "nic.down".into(), component: MANY.into() };
        assert_eq!(cases.get(&key).unwrap().status().unwrap().count, 1000 - 64);
    }

    #[test]
    fn what_was_filed_is_taken_up_and_foreign_classes_are_left_alone() {
        let mut cases = Cases::new(rules().into());
        for class in ["nic.down", "machine.silent"] {
            let status = ProblemStatus { state: State::Open, episode: 3, ..ProblemStatus::default() };
            cases.restore(Key { class: class.into(), component: "eth0".into() }, status);
        }
        assert_eq!(shown(&cases), ["nic.down eth0 Open"]);
        let changed = cases.take(&look(Vec::new(), Rest::Good), moment(0));
        assert_eq!(changed.len(), 0);
        let changed = cases.take(&look(Vec::new(), Rest::Good), moment(2));
        assert_eq!(changed.len(), 1, "the rule that had found it says it is well");
    }
}
