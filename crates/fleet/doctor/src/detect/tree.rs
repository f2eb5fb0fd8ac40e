//! A machine's `/proc` and `/sys` in a directory, and what is found there, as text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tempfile::TempDir;

use super::Detector;
use crate::diagnosis::Moment;
use crate::diagnosis::cases::Cases;
use crate::kernel::Roots;
use crate::rule::{Look, Rule, Sign};

pub(crate) struct Tree(TempDir);

impl Tree {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots { proc: self.0.path().join("proc"), sys: self.0.path().join("sys") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes files, one a row: `sys/class/net/eth0/carrier = 1`.
    pub(crate) fn write(&self, rows: &str) {
        for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let (path, text) = row.split_once(" = ").unwrap_or_else(|| panic!("no row: {row}"));
            let path: PathBuf = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("\\n", "\n")).unwrap();
        }
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_dir_all(self.0.path().join(path)).unwrap();
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// What a look says that is not good, as `class component: evidence`.
pub(crate) fn bad(look: &Look) -> Vec<String> {
    let row = |finding: &crate::rule::Finding| {
        let place = format!("{} {}", finding.rule.class, finding.component);
        match &finding.sign {
            Sign::Good => None,
            Sign::Bad(text) => Some(format!("{place}: {text}")),
            Sign::More(times) => Some(format!("{place}: {times} more")),
            Sign::Unseen => Some(format!("{place}: unseen")),
        }
    };
    look.found.iter().filter_map(row).collect()
}

/// A detector with the cases that come of it.
pub(crate) struct Bench<D> {
    pub(crate) detector: D,
    cases: Cases,
}

impl<D: Detector> Bench<D> {
    pub(crate) fn new(detector: D) -> Self {
        let rules: Vec<Arc<Rule>> = detector.rules();
        Self { detector, cases: Cases::new(rules) }
    }

    /// Looks once; the states after it, as `class component State`.
    pub(crate) fn look(&mut self, second: i64) -> Vec<String> {
        let look = self.detector.look(at(second));
        self.cases.take(&look, Moment { now: at(second), boot_id: "boot", held: false });
        let rows = self.cases.all().map(|(key, diagnosis)| {
            let state = diagnosis.status().map_or("none", |status| status.state.as_str());
            format!("{} {} {state}", key.class, key.component)
        });
        rows.collect()
    }

    /// Looks at its own pace over a time; the states at its end.
    pub(crate) fn looks(&mut self, from: i64, to: i64) -> Vec<String> {
        let every = i64::try_from(self.detector.every().as_secs()).unwrap();
        let mut states = Vec::new();
        let mut second = from;
        while second <= to {
            states = self.look(second);
            second += every;
        }
        states
    }
}
