//! A machine that boots over and over.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::clock::elapsed;
use serde::{Deserialize, Serialize};

use super::Detector;
use crate::kernel::Roots;
use crate::rule::{Finding, Look, Rest, Rule};
use crate::state::StateFile;

const SOURCE: &str = "boots";
const EVERY: Duration = Duration::from_secs(30);
/// Boots within the window that are too many.
const BOOTS_MAX: usize = 3;
const WINDOW: Duration = Duration::from_secs(1800);
const BOOTS_KEPT: usize = 16;

/// A boot, and when the doctor first saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Boot {
    id: String,
    at: Timestamp,
    /// It was seen within planned maintenance.
    #[serde(default)]
    planned: bool,
}

/// The detector. Without a place to keep what it saw, it sees nothing.
pub(crate) struct Boots {
    roots: Roots,
    rule: Arc<Rule>,
    file: StateFile,
    planned: bool,
    boots: Option<Vec<Boot>>,
}

impl Boots {
    pub(crate) fn new(roots: Roots, state_dir: Option<&Path>) -> Self {
        let rule = Rule::level(SOURCE, "boots", "reboot.loop", 1, 60);
        Self { roots, rule, file: StateFile::new(state_dir, "boots.json"), planned: false, boots: None }
    }

    fn note(&mut self, now: Timestamp) -> &[Boot] {
        let boots = self.boots.get_or_insert_with(|| self.file.read().unwrap_or_default());
        let id = self.roots.boot_id();
        if !id.is_empty() && boots.last().is_none_or(|last| last.id != id) {
            boots.push(Boot { id, at: now, planned: self.planned });
            if BOOTS_KEPT < boots.len() {
                boots.remove(0);
            }
            self.file.write(boots);
        }
        boots
    }
}

impl Detector for Boots {
    fn every(&self) -> Duration {
        EVERY
    }

    fn rules(&self) -> Vec<Arc<Rule>> {
        vec![Arc::clone(&self.rule)]
    }

    fn planned(&mut self, planned: bool) {
        self.planned = planned;
    }

    fn look(&mut self, now: Timestamp) -> Look {
        if !self.file.is_kept() {
            return Look { source: SOURCE, found: Vec::new(), rest: Rest::Unseen };
        }
        let boots = self.note(now);
        let is_lately = |boot: &&Boot| !boot.planned && elapsed(boot.at, now) <= WINDOW;
        let lately = boots.iter().filter(is_lately).count();
        let bad = (BOOTS_MAX <= lately).then(|| format!("{lately} boots within {} s", WINDOW.as_secs()));
        Look { source: SOURCE, found: vec![Finding::of(&self.rule, "", bad)], rest: Rest::Good }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Tree, at, bad};
    use super::*;

    #[test]
    fn three_boots_in_half_an_hour_are_a_loop_and_restarts_of_the_doctor_are_none() {
        let tree = Tree::new();
        let mut told = Vec::new();
        for (second, boot) in
            [(0, "a"), (60, "a"), (120, "b"), (180, "b"), (900, "c"), (1800, "c"), (2800, "c")]
        {
            tree.write(&format!("proc/sys/kernel/random/boot_id = {boot}"));
            let mut detector = Boots::new(tree.roots(), Some(tree.path()));
            told.push(bad(&detector.look(at(second))).join(";"));
        }
        let loops = "reboot.loop : 3 boots within 1800 s";
        assert_eq!(told, ["", "", "", "", loops, loops, ""]);
        assert_eq!(Boots::new(tree.roots(), None).look(at(900)).rest, Rest::Unseen);
    }

    #[test]
    fn boots_within_planned_maintenance_are_no_loop_even_when_it_is_over() {
        let tree = Tree::new();
        let mut told = Vec::new();
        for (second, boot, planned) in [
            (0, "a", false),
            (60, "b", true),
            (120, "c", true),
            (180, "d", true),
            (600, "d", false),
            (700, "e", false),
            (800, "f", false),
        ] {
            tree.write(&format!("proc/sys/kernel/random/boot_id = {boot}"));
            let mut detector = Boots::new(tree.roots(), Some(tree.path()));
            detector.planned(planned);
            told.push(bad(&detector.look(at(second))).join(";"));
        }
        assert_eq!(told, ["", "", "", "", "", "", "reboot.loop : 3 boots within 1800 s"]);
    }
}
