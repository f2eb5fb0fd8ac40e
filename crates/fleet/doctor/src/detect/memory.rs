//! Memory: errors that the controller corrected or could not, processes killed for want of it, tasks that wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::clock::elapsed;

use super::Detector;
use crate::kernel::{Roots, names, number};
use crate::rule::{Finding, Look, Rest, Rule, Sign};

const SOURCE: &str = "memory";
const EVERY: Duration = Duration::from_secs(10);
/// Corrected errors of one controller within the window that are too many; memory at rest has some now and then.
const CORRECTED_MAX: u64 = 100;
const CORRECTED_WINDOW: Duration = Duration::from_secs(3600);
/// Processes killed within the window that are too many. Limits of containers kill some in ordinary life.
const KILLS_MAX: u64 = 20;
const KILLS_WINDOW: Duration = Duration::from_secs(300);
/// Share of time in which no task at all went on for want of memory (Documentation/accounting/psi.rst).
const FULL_PERCENT_MAX: f64 = 20.0;

/// A counter over a time.
#[derive(Default)]
struct Counter(VecDeque<(Timestamp, u64)>);

impl Counter {
    /// How much it grew within the window.
    fn grew(&mut self, count: u64, window: Duration, now: Timestamp) -> u64 {
        if self.0.back().is_some_and(|(_, last)| count < *last) {
            self.0.clear();
        }
        if self.0.back().is_none_or(|(_, last)| *last != count) {
            self.0.push_back((now, count));
        }
        while self.0.get(1).is_some_and(|(at, _)| window <= elapsed(*at, now)) {
            self.0.pop_front();
        }
        count - self.0.front().map_or(count, |(_, first)| *first)
    }
}

/// The detector.
pub(crate) struct Memory {
    roots: Roots,
    uncorrected: Arc<Rule>,
    corrected: Arc<Rule>,
    storm: Arc<Rule>,
    pressure: Arc<Rule>,
    controllers: BTreeMap<String, Counter>,
    kills: Counter,
}

impl Memory {
    pub(crate) fn new(roots: Roots) -> Self {
        Self {
            roots,
            uncorrected: Rule::level(SOURCE, "ecc-uncorrected", "mem.ecc", 1, 60),
            corrected: Rule::level(SOURCE, "ecc-corrected", "mem.ecc", 1, 3600),
            storm: Rule::level(SOURCE, "oom-kills", "mem.oom_storm", 1, 600),
            pressure: Rule::level(SOURCE, "memory-pressure", "mem.pressure", 3, 60),
            controllers: BTreeMap::new(),
            kills: Counter::default(),
        }
    }

    fn ecc(&mut self, now: Timestamp) -> Vec<Finding> {
        let dir = self.roots.sys.join("devices/system/edac/mc");
        let mut found = Vec::new();
        for name in names(&dir) {
            let count = |file: &str| number(&dir.join(&name).join(file));
            let (Some(uncorrected), Some(corrected)) = (count("ue_count"), count("ce_count")) else {
                continue;
            };
            let lost = (0 < uncorrected).then(|| format!("{uncorrected} uncorrected errors in this boot"));
            found.push(Finding::of(&self.uncorrected, &name, lost));
            let counter = self.controllers.entry(name.clone()).or_default();
            let grew = counter.grew(corrected, CORRECTED_WINDOW, now);
            let many = (CORRECTED_MAX <= grew)
                .then(|| format!("{grew} corrected errors within {} s", CORRECTED_WINDOW.as_secs()));
            found.push(Finding::of(&self.corrected, &name, many));
        }
        found
    }

    fn oom(&mut self, now: Timestamp) -> Finding {
        let text = std::fs::read_to_string(self.roots.proc.join("vmstat")).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        let Some(count) = count else { return Finding::new(&self.storm, "memory", Sign::Unseen) };
        let grew = self.kills.grew(count, KILLS_WINDOW, now);
        let bad = (KILLS_MAX <= grew).then(|| {
            format!("{grew} processes killed for want of memory within {} s", KILLS_WINDOW.as_secs())
        });
        Finding::of(&self.storm, "memory", bad)
    }

    fn stalls(&self) -> Finding {
        let text = std::fs::read_to_string(self.roots.proc.join("pressure/memory")).unwrap_or_default();
        let full = text.lines().find_map(|line| line.strip_prefix("full "));
        let share = full.and_then(|full| full.split_once("avg60=")?.1.split(' ').next()?.parse::<f64>().ok());
        let Some(share) = share else { return Finding::new(&self.pressure, "memory", Sign::Unseen) };
        let bad = (FULL_PERCENT_MAX <= share)
            .then(|| format!("no task went on for want of memory {share} % of the last 60 s"));
        Finding::of(&self.pressure, "memory", bad)
    }
}

impl Detector for Memory {
    fn every(&self) -> Duration {
        EVERY
    }

    fn rules(&self) -> Vec<Arc<Rule>> {
        [&self.uncorrected, &self.corrected, &self.storm, &self.pressure].map(Arc::clone).into()
    }

    fn look(&mut self, now: Timestamp) -> Look {
        let mut found = self.ecc(now);
        found.extend([self.oom(now), self.stalls()]);
        Look { source: SOURCE, found, rest: Rest::Unseen }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Bench, Tree, at, bad};
    use super::*;

    const MC0: &str = "sys/devices/system/edac/mc/mc0";

    #[test]
    fn ecc_counters_tell_uncorrected_errors_at_once_and_corrected_ones_by_their_rate() {
        let tree = Tree::new();
        tree.write(&format!("{MC0}/ue_count = 0\n{MC0}/ce_count = 5000\n{MC0}/seconds_since_reset = 9"));
        let mut bench = Bench::new(Memory::new(tree.roots()));
        assert_eq!(bench.looks(0, 20), [""; 0], "what was counted before is not new");
        tree.write(&format!("{MC0}/ce_count = 5099"));
        assert_eq!(bench.looks(30, 40), [""; 0]);
        tree.write(&format!("{MC0}/ce_count = 5100"));
        let expected = "mem.ecc mc0: 100 corrected errors within 3600 s";
        assert!(bad(&bench.detector.look(at(50))).contains(&expected.to_owned()));
        assert_eq!(bench.look(60), ["mem.ecc mc0 Open"]);
        assert_eq!(bench.looks(70, 7200), ["mem.ecc mc0 Open"]);
        assert_eq!(bench.looks(7210, 7400), ["mem.ecc mc0 Clear"]);
        tree.write(&format!("{MC0}/ue_count = 1"));
        let expected = "mem.ecc mc0: 1 uncorrected errors in this boot";
        assert!(bad(&bench.detector.look(at(7410))).contains(&expected.to_owned()));
        assert_eq!(
            bench.looks(7420, 90_000),
            ["mem.ecc mc0 Open"],
            "until the memory was looked after and the machine booted"
        );
    }

    #[test]
    fn many_kills_within_minutes_are_a_storm() {
        let tree = Tree::new();
        tree.write("proc/vmstat = nr_free_pages 1\\noom_kill 11\\n");
        let mut bench = Bench::new(Memory::new(tree.roots()));
        bench.look(0);
        tree.write("proc/vmstat = nr_free_pages 1\\noom_kill 30\\n");
        assert_eq!(bench.looks(10, 100), [""; 0]);
        tree.write("proc/vmstat = nr_free_pages 1\\noom_kill 31\\n");
        assert_eq!(bench.looks(110, 300), ["mem.oom_storm memory Open"]);
        assert_eq!(bench.looks(310, 900), ["mem.oom_storm memory Open"]);
        assert_eq!(bench.looks(910, 1100), ["mem.oom_storm memory Clear"]);
    }

    #[test]
    fn stalls_for_want_of_memory_are_told_when_they_last() {
        let tree = Tree::new();
        let psi = |avg60: &str| {
            let some = "some avg10=90.00 avg60=90.00 avg300=1.00 total=1";
            tree.write(&format!(
                "proc/pressure/memory = {some}\\nfull avg10=1.00 avg60={avg60} avg300=0.00 total=2"
            ));
        };
        psi("19.99");
        let mut bench = Bench::new(Memory::new(tree.roots()));
        assert_eq!(bench.looks(0, 30), [""; 0]);
        psi("35.10");
        assert_eq!(bench.looks(40, 60), ["mem.pressure memory Open"]);
        psi("0.00");
        assert_eq!(bench.looks(70, 130), ["mem.pressure memory Clear"]);
    }
}
