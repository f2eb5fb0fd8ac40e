//! What rules would have filed from lines that were recorded: the rehearsal of a rule before it may file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_api::problem::{ProblemStatus, State};
use serde::Serialize;

use super::rules::{LineRule, RuleFault, parse};
use crate::diagnosis::{Diagnosis, Moment};
use crate::rule::{Rule, Sign};

/// Lines shown of each rule.
const EXAMPLES: usize = 3;
/// What comes and goes must be quiet for longer: so much longer is looked ahead.
const QUIET_STEPS: [u32; 3] = [1, 10, 60];

/// A line that some machine's kernel said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedLine {
    /// When.
    pub at: Timestamp,
    /// Which machine's.
    pub machine: String,
    /// What it said.
    pub text: String,
}

/// What one rule would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// Its name.
    pub rule: String,
    /// Class of its Problems.
    pub class: String,
    /// Lines that it is about.
    pub lines: u64,
    /// Machines with such a line.
    pub machines: BTreeSet<String>,
    /// Problems it would have opened, the first one first.
    pub filed: Vec<Filed>,
    /// The first of the lines.
    pub examples: Vec<RecordedLine>,
}

/// One opening of a Problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Filed {
    /// When it would have opened.
    pub opened: Timestamp,
    /// When it would have cleared; none: it would be open still.
    pub cleared: Option<Timestamp>,
    /// On which machine.
    pub machine: String,
    /// Which part of it.
    pub component: String,
    /// Lines of this opening.
    pub lines: u64,
    /// It would have been marked as one that comes and goes.
    pub flapping: bool,
}

/// Replays the rules of a file over lines, in the order of their times, until `until`. `file` is its name in faults.
///
/// # Errors
/// All faults of the rules; nothing is replayed then.
pub fn replay(
    file: &str,
    rules: &str,
    mut lines: Vec<RecordedLine>,
    until: Timestamp,
) -> Result<Vec<Rehearsal>, Vec<RuleFault>> {
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    parse(file, rules, &mut read, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    lines.sort();
    Ok(read.iter().map(|rule| Course::new(rule).over(&lines, until)).collect())
}

/// One rule on its way through the lines.
struct Course<'a> {
    of: &'a LineRule,
    rule: Arc<Rule>,
    cases: BTreeMap<(String, String), Diagnosis>,
    told: Rehearsal,
}

impl<'a> Course<'a> {
    fn new(of: &'a LineRule) -> Self {
        // On trial or not: what is asked is what it would file.
        let rule = Arc::new(Rule { shadow: false, ..(*of.rule).clone() });
        let told = Rehearsal {
            rule: rule.name.clone(),
            class: rule.class.clone(),
            lines: 0,
            machines: BTreeSet::new(),
            filed: Vec::new(),
            examples: Vec::new(),
        };
        Self { of, rule, cases: BTreeMap::new(), told }
    }

    fn over(mut self, lines: &[RecordedLine], until: Timestamp) -> Rehearsal {
        for line in lines.iter().filter(|line| line.at <= until) {
            self.line(line);
        }
        let keys: Vec<(String, String)> = self.cases.keys().cloned().collect();
        for key in keys {
            self.quiet(&key, until);
            self.note(&key);
        }
        self.told.filed.sort_by(|a, b| (a.opened, &a.machine).cmp(&(b.opened, &b.machine)));
        self.told
    }

    fn line(&mut self, line: &RecordedLine) {
        let Some(component) = self.of.part(line.text.as_bytes(), false) else { return };
        self.told.lines += 1;
        self.told.machines.insert(line.machine.clone());
        if self.told.examples.len() < EXAMPLES {
            self.told.examples.push(line.clone());
        }
        let key = (line.machine.clone(), component);
        self.quiet(&key, line.at);
        let moment = Moment { now: line.at, boot_id: "", held: false };
        let case = self.cases.entry(key).or_default();
        case.take(&self.rule, &Sign::Bad(line.text.clone()), moment);
    }

    /// Nothing was heard of it until now. A Problem that clears by that is noted, for the next line begins another.
    fn quiet(&mut self, key: &(String, String), now: Timestamp) {
        let Some(case) = self.cases.get_mut(key).filter(|case| !case.is_over()) else { return };
        let Some(last) = case.status().and_then(|status| status.last_seen) else { return };
        let steps = QUIET_STEPS.map(|times| self.rule.quiet * times);
        for after in [Duration::ZERO].into_iter().chain(steps) {
            let Ok(at) = last.checked_add(after) else { break };
            if now < at || case.is_over() {
                break;
            }
            case.take(&self.rule, &Sign::Good, Moment { now: at, boot_id: "", held: false });
        }
        if case.is_over() {
            self.note(key);
        }
    }

    fn note(&mut self, key: &(String, String)) {
        let Some(status) = self.cases.get(key).and_then(Diagnosis::status) else { return };
        let ProblemStatus { opened_at: Some(opened), cleared_at, count, flapping, .. } = *status else {
            return;
        };
        let cleared = cleared_at.filter(|_| status.state == State::Clear);
        let (machine, component) = key.clone();
        let filed = Filed { opened, cleared, machine, component, lines: count, flapping };
        if !self.told.filed.contains(&filed) {
            self.told.filed.push(filed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    const RULE: &str = "- name: link\n  class: disk.link_error\n  pattern: '^(?<component>ata[0-9]+): hard reset'\n  count: 2\n  within: 1m\n  quiet: 5m\n  shadow: true\n";

    /// Lines as `SECOND MACHINE TEXT`; what would have been filed.
    fn filed(rows: &[&str], until: i64) -> Vec<String> {
        let line = |row: &&str| {
            let mut words = row.splitn(3, ' ');
            let second = words.next().unwrap().parse().unwrap();
            let (machine, text) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
            RecordedLine { at: at(second), machine, text }
        };
        let told = replay("mine.yaml", RULE, rows.iter().map(line).collect(), at(until)).unwrap();
        let [told] = &told[..] else { panic!("{told:?}") };
        let row = |one: &Filed| {
            let second = |at: Timestamp| at.as_second() - 1_800_000_000;
            let cleared = one.cleared.map_or("-".to_owned(), |at| second(at).to_string());
            format!("{} {} {}..{cleared} {}", one.machine, one.component, second(one.opened), one.lines)
        };
        let mut rows: Vec<String> = told.filed.iter().map(row).collect();
        rows.insert(0, format!("{} lines on {} machines", told.lines, told.machines.len()));
        rows
    }

    #[test]
    fn a_rule_is_replayed_with_its_count_its_time_and_its_quiet() {
        let rows = [
            "0 m1 ata1: hard reset",
            "50 m1 ata1: hard reset",
            "100 m1 ata1: hard reset",
            "100 m2 ata1: hard reset",
            "200 m2 ata1: hard reset",
            "210 m2 ata2: hard reset",
            "300 m1 ata9: something else",
            "1000 m1 ata1: hard reset",
            "1001 m1 ata1: hard reset",
        ];
        let expected = ["8 lines on 2 machines", "m1 ata1 50..400 3", "m1 ata1 1001..- 2"];
        assert_eq!(filed(&rows, 1100), expected);
        let mut shuffled = rows;
        shuffled.reverse();
        assert_eq!(filed(&shuffled, 1100), expected, "the times count, not the order");
        assert_eq!(filed(&rows, 500)[1..], ["m1 ata1 50..400 3"], "what came later is not known");
        assert_eq!(filed(&[], 0), ["0 lines on 0 machines"]);
    }

    #[test]
    fn one_that_comes_and_goes_is_one_opening_that_stays() {
        let rows: Vec<String> = (0..8)
            .flat_map(|round| [round * 400, round * 400 + 1])
            .map(|second| format!("{second} m1 ata1: hard reset"))
            .collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let told = filed(&rows, 3600 * 24);
        assert_eq!(told[1..4], ["m1 ata1 1..301 2", "m1 ata1 401..701 2", "m1 ata1 801..1101 2"]);
        assert_eq!(told[4..], ["m1 ata1 1201..5801 10"], "{told:?}");
    }

    #[test]
    fn a_bad_rule_is_told_with_file_line_and_reason_and_nothing_is_replayed() {
        let faults =
            replay("mine.yaml", "- name: a\n  class: x\n  pattern: '('\n  quiet: 1m\n", Vec::new(), at(0));
        let told: Vec<String> = faults.unwrap_err().iter().map(RuleFault::to_string).collect();
        assert_eq!(told, ["mine.yaml:1: a: pattern: error: unclosed group"]);
    }
}
