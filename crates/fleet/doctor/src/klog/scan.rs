//! From lines of the kernel log to findings: what rules say of them, what is missing between them, how many are too many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::clock::elapsed;

use super::SOURCE;
use super::record::Record;
use super::rules::LineRule;
use super::set::Set;
use crate::rule::{Finding, Rule, Sign};

/// Lines of one class that become evidence at once, and how many more each second. The others are counted.
const BURST: u32 = 20;
const PER_SECOND: u32 = 2;
/// What is kept of a class's own parts while counting, before all others count as one.
const COUNTED_MAX: usize = 256;
/// How old a record may be that was there before the doctor first looked.
const OLD: Duration = Duration::from_secs(600);
/// Devices that are files or memory: what is wrong with them shows below them, or is no fault of the machine.
const NO_DISKS: [&str; 4] = ["loop", "ram", "zram", "fd"];

/// Which lines count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Also those that the kernel did not say itself; for tests.
    pub forged: bool,
    /// Also devices without hardware; for tests.
    pub virtual_devices: bool,
}

/// Whether it is no disk but a file or memory that looks like one.
pub(crate) fn is_virtual_disk(name: &str) -> bool {
    NO_DISKS.iter().any(|kind| {
        name.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    })
}

struct Bucket {
    left: u32,
    at: Timestamp,
}

impl Bucket {
    fn take(&mut self, now: Timestamp) -> bool {
        let seconds = elapsed(self.at, now).as_secs();
        if 0 < seconds {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(PER_SECOND);
            self.left = self.left.saturating_add(more).min(BURST);
            self.at = now;
        }
        let there = 0 < self.left;
        self.left = self.left.saturating_sub(1);
        there
    }
}

/// Looks at lines.
pub(crate) struct Scanner {
    rules: Vec<LineRule>,
    /// All patterns at once, for the lines that none is about; absent where they are too much together.
    set: Option<Set>,
    lost: Arc<Rule>,
    trust: Trust,
    /// The last record that was looked at.
    last: Option<u64>,
    /// Earlier records, in microseconds since boot, are of no interest.
    from_us: u64,
    buckets: BTreeMap<String, Bucket>,
    found: Vec<Finding>,
    more: BTreeMap<(usize, String), u64>,
    /// Lines that matched a rule and were not said by the kernel.
    pub(crate) refused: u64,
}

impl Scanner {
    pub(crate) fn new(rules: Vec<LineRule>, trust: Trust) -> Self {
        let patterns: Vec<&str> = rules.iter().map(|rule| rule.pattern.text()).collect();
        let set = Set::new(&patterns);
        Self {
            rules,
            set,
            lost: Rule::level(SOURCE, "kernel-log-lost", "log_lost", 1, 60),
            trust,
            last: None,
            from_us: 0,
            buckets: BTreeMap::new(),
            found: Vec::new(),
            more: BTreeMap::new(),
            refused: 0,
        }
    }

    /// Every rule that may find something here.
    pub(crate) fn rules(&self) -> Vec<Arc<Rule>> {
        let rules = self.rules.iter().map(|rule| Arc::clone(&rule.rule));
        rules.chain([Arc::clone(&self.lost)]).collect()
    }

    /// Goes on behind the record that was seen last; without one, with what is not old.
    pub(crate) fn begin(&mut self, last: Option<u64>, uptime: Duration) {
        if self.last.is_none() {
            self.last = last;
        }
        if self.last.is_none() {
            self.from_us = u64::try_from(uptime.saturating_sub(OLD).as_micros()).unwrap_or(u64::MAX);
        }
    }

    /// The record that was looked at last.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Looks at one line.
    pub(crate) fn line(&mut self, line: &str, now: Timestamp) {
        let Some(record) = Record::parse(line) else { return };
        if self.last.is_some_and(|last| record.sequence <= last) {
            return;
        }
        if let Some(last) = self.last.replace(record.sequence) {
            self.gap(last, record.sequence);
        }
        if record.at_us < self.from_us {
            return;
        }
        let matching: Vec<usize> = match &mut self.set {
            Some(set) => set.matching(record.text.as_bytes()),
            None => (0..self.rules.len()).collect(),
        };
        for at in matching {
            self.rule(at, &record, now);
        }
    }

    /// Lines between two that follow each other were overwritten before they were read.
    fn gap(&mut self, last: u64, next: u64) {
        let missing = next - last - 1;
        if 0 < missing {
            let text = format!("{missing} records of the kernel log were lost: {} to {}", last + 1, next - 1);
            self.found.push(Finding::bad(&self.lost, "kernel", text));
            if 1 < missing {
                self.found.push(Finding::new(&self.lost, "kernel", Sign::More(missing - 1)));
            }
        }
    }

    fn rule(&mut self, at: usize, record: &Record<'_>, now: Timestamp) {
        let part = self.rules[at].part(record.text.as_bytes(), self.trust.virtual_devices);
        let Some(component) = part else { return };
        let rule = &self.rules[at].rule;
        if !record.is_kernels && !self.trust.forged {
            self.refused += 1;
            return;
        }
        let full = || Bucket { left: BURST, at: now };
        if self.buckets.entry(rule.class.clone()).or_insert_with(full).take(now) {
            self.found.push(Finding::bad(rule, &component, record.text));
            return;
        }
        let known = self.more.contains_key(&(at, component.clone()));
        let component = if known || self.more.len() < COUNTED_MAX { component } else { "many".to_owned() };
        *self.more.entry((at, component)).or_default() += 1;
    }

    /// What was found since the last time.
    pub(crate) fn found(&mut self) -> Vec<Finding> {
        let mut found = std::mem::take(&mut self.found);
        for ((at, component), times) in std::mem::take(&mut self.more) {
            found.push(Finding::new(&self.rules[at].rule, &component, Sign::More(times)));
        }
        found
    }
}

#[cfg(test)]
mod tests;
