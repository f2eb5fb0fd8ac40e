//! Network cards: without link, with a link that comes and goes, with frames that get lost, slower than before.

pub(crate) mod echo;
mod gateways;
mod meter;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::clock::elapsed;

use super::Detector;
use crate::kernel::{Roots, line, names, number};
use crate::rule::{Finding, Look, Rest, Rule, Sign};

const SOURCE: &str = "nics";
const EVERY: Duration = Duration::from_secs(5);
/// Changes of the carrier within the window that are too many: two flaps.
const CHANGES_MAX: u64 = 4;
/// Frames in the window without which nothing is said of loss, and the share that is too much.
const FRAMES_MIN: u64 = 1000;
const LOSS_PERCENT: u64 = 1;
const WINDOW: Duration = Duration::from_secs(60);
/// `IFF_UP`: somebody wants it to work.
const UP: u64 = 1;
/// Errors of the card and of the way to it. `rx_dropped` is none: it also counts what no protocol wants.
const ERRORS: [&str; 4] = ["rx_errors", "tx_errors", "rx_missed_errors", "rx_fifo_errors"];
const FRAMES: [&str; 2] = ["rx_packets", "tx_packets"];

/// The counters of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    at: Timestamp,
    changes: u64,
    frames: u64,
    errors: u64,
}

#[derive(Default)]
struct Card {
    window: VecDeque<Counters>,
    had_carrier: bool,
    speed_best: u64,
}

/// The detector.
pub(crate) struct Nics {
    roots: Roots,
    virtual_devices: bool,
    down: Arc<Rule>,
    flap: Arc<Rule>,
    loss: Arc<Rule>,
    slow: Arc<Rule>,
    cards: BTreeMap<String, Card>,
}

impl Nics {
    pub(crate) fn new(roots: Roots, virtual_devices: bool) -> Self {
        Self {
            roots,
            virtual_devices,
            down: Rule::level(SOURCE, "nic-down", "nic.down", 2, 10),
            flap: Rule::level(SOURCE, "nic-flap", "nic.flap", 1, 120),
            loss: Rule::level(SOURCE, "nic-loss", "nic.loss", 2, 120),
            slow: Rule::level(SOURCE, "nic-slow", "nic.slow", 2, 60),
            cards: BTreeMap::new(),
        }
    }

    fn card(&mut self, name: &str, dir: &Path, now: Timestamp) -> Vec<Finding> {
        let card = self.cards.entry(name.to_owned()).or_default();
        let flags = line(&dir.join("flags")).unwrap_or_default();
        let flags = u64::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
        if flags & UP == 0 {
            card.window.clear();
            let rules = [&self.down, &self.flap, &self.loss, &self.slow];
            return rules.map(|rule| Finding::new(rule, name, Sign::Unseen)).into();
        }
        let carrier = number(&dir.join("carrier"));
        // A socket without a cable is no fault; one that had a link is.
        card.had_carrier |=
            carrier == Some(1) || number(&dir.join("carrier_up_count")).is_some_and(|ups| 0 < ups);
        let down = (carrier == Some(0) && card.had_carrier).then(|| "no carrier".to_owned());
        card.note(dir, now);
        let speed = number(&dir.join("speed")).filter(|_| carrier == Some(1));
        card.speed_best = card.speed_best.max(speed.unwrap_or(0));
        let best = card.speed_best;
        let slow = match speed {
            Some(speed) if speed < best => Sign::Bad(format!("{speed} Mbit/s, {best} before")),
            Some(_) => Sign::Good,
            None => Sign::Unseen,
        };
        vec![
            Finding::of(&self.down, name, down),
            Finding::of(&self.flap, name, card.flaps()),
            Finding::new(&self.loss, name, card.loses()),
            Finding::new(&self.slow, name, slow),
        ]
    }
}

impl Card {
    fn note(&mut self, dir: &Path, now: Timestamp) {
        let sum = |names: &[&str]| {
            names.iter().filter_map(|name| number(&dir.join("statistics").join(name))).sum::<u64>()
        };
        let changes = number(&dir.join("carrier_changes")).unwrap_or(0);
        let counters = Counters { at: now, changes, frames: sum(&FRAMES), errors: sum(&ERRORS) };
        let fell = self.window.back().is_some_and(|last| {
            counters.changes < last.changes || counters.frames < last.frames || counters.errors < last.errors
        });
        if fell {
            self.window.clear();
        }
        self.window.push_back(counters);
        while self.window.get(1).is_some_and(|second| WINDOW <= elapsed(second.at, now)) {
            self.window.pop_front();
        }
    }

    fn span(&self) -> Option<(Counters, Counters)> {
        Some((*self.window.front()?, *self.window.back()?))
    }

    fn flaps(&self) -> Option<String> {
        let (first, last) = self.span()?;
        let changes = last.changes - first.changes;
        let seconds = elapsed(first.at, last.at).as_secs();
        (CHANGES_MAX <= changes).then(|| format!("the carrier changed {changes} times in {seconds} s"))
    }

    fn loses(&self) -> Sign {
        let Some((first, last)) = self.span() else { return Sign::Unseen };
        let (frames, errors) = (last.frames - first.frames, last.errors - first.errors);
        let all = frames + errors;
        if all < FRAMES_MIN {
            return if errors == 0 { Sign::Good } else { Sign::Unseen };
        }
        if errors * 100 < all * LOSS_PERCENT {
            return Sign::Good;
        }
        Sign::Bad(format!("{}.{} % of {all} frames lost", errors * 100 / all, errors * 1000 / all % 10))
    }
}

impl Detector for Nics {
    fn every(&self) -> Duration {
        EVERY
    }

    fn rules(&self) -> Vec<Arc<Rule>> {
        [&self.down, &self.flap, &self.loss, &self.slow].map(Arc::clone).into()
    }

    fn look(&mut self, now: Timestamp) -> Look {
        let dir = self.roots.sys.join("class/net");
        let mut cards = names(&dir);
        cards.retain(|name| {
            name != "lo" && (self.virtual_devices || dir.join(name).join("device").symlink_metadata().is_ok())
        });
        let found = cards.iter().flat_map(|name| self.card(name, &dir.join(name), now)).collect();
        self.cards.retain(|name, _| cards.contains(name));
        // A card that is gone is not well: the hardware profile says whether it is missing.
        Look { source: SOURCE, found, rest: Rest::Unseen }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Bench, Tree, at, bad};
    use super::*;

    fn card(tree: &Tree, name: &str, rows: &str) {
        let row = |row: &str| format!("sys/class/net/{name}/{}", row.trim());
        tree.write(&rows.split(';').map(row).collect::<Vec<_>>().join("\n"));
    }

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.write("sys/class/net/lo/flags = 0x9\nsys/class/net/lo/carrier = 0");
        card(
            &tree,
            "eth0",
            "device/vendor = 1; flags = 0x1003; carrier = 1; carrier_changes = 2; speed = 10000",
        );
        card(
            &tree,
            "eth0",
            "statistics/rx_packets = 1000; statistics/tx_packets = 1000; statistics/rx_errors = 500",
        );
        tree
    }

    #[test]
    fn a8_down_is_told_and_an_interface_that_is_off_or_never_had_a_cable_is_not() {
        let tree = tree();
        card(&tree, "eth1", "device/vendor = 1; flags = 0x1003; carrier = 0; carrier_changes = 1");
        card(&tree, "eth2", "device/vendor = 1; flags = 0x1002; carrier = 0");
        card(&tree, "veth9", "flags = 0x1003; carrier = 0; carrier_up_count = 5");
        let mut bench = Bench::new(Nics::new(tree.roots(), false));
        assert_eq!(bench.looks(0, 30), [""; 0]);
        card(&tree, "eth0", "carrier = 0; carrier_changes = 3");
        assert_eq!(bench.looks(35, 40), ["nic.down eth0 Open"]);
        card(&tree, "eth0", "carrier = 1; carrier_changes = 4");
        assert_eq!(bench.looks(45, 55), ["nic.down eth0 Clear"]);
        tree.remove("sys/class/net/eth0");
        assert_eq!(bench.looks(60, 65), ["nic.down eth0 Clear"]);
        let mut late = Nics::new(tree.roots(), true);
        let down = "nic.down veth9: no carrier";
        assert!(bad(&late.look(at(0))).iter().any(|row| row == down), "it once had a link");
    }

    #[test]
    fn a8_a_link_that_comes_and_goes_is_flapping_and_not_down() {
        let tree = tree();
        let mut bench = Bench::new(Nics::new(tree.roots(), false));
        bench.look(0);
        card(&tree, "eth0", "carrier_changes = 12");
        let expected = ["nic.flap eth0: the carrier changed 10 times in 5 s"];
        assert_eq!(bad(&bench.detector.look(at(5))), expected);
        assert_eq!(bench.look(10), ["nic.flap eth0 Open"]);
        assert_eq!(bench.looks(15, 180), ["nic.flap eth0 Open"]);
        assert_eq!(bench.looks(185, 190), ["nic.flap eth0 Clear"]);
    }

    #[test]
    fn a8_lost_frames_are_told_with_their_share_and_few_frames_say_nothing() {
        let tree = tree();
        let mut bench = Bench::new(Nics::new(tree.roots(), false));
        bench.look(0);
        card(&tree, "eth0", "statistics/rx_packets = 1400; statistics/rx_errors = 600");
        assert_eq!(bad(&bench.detector.look(at(5))), ["nic.loss eth0: unseen"]);
        card(&tree, "eth0", "statistics/rx_packets = 8600; statistics/rx_errors = 2900");
        let expected = ["nic.loss eth0: 24.0 % of 10000 frames lost"];
        assert_eq!(bad(&bench.detector.look(at(10))), expected);
        assert_eq!(bench.looks(15, 20), ["nic.loss eth0 Open"]);
        card(&tree, "eth0", "statistics/rx_packets = 9000000");
        assert_eq!(bench.looks(25, 140), ["nic.loss eth0 Open"]);
        assert_eq!(bench.looks(145, 200), ["nic.loss eth0 Clear"]);
    }

    #[test]
    fn a_card_slower_than_before_is_told_and_counters_that_fall_begin_anew() {
        let tree = tree();
        let mut nics = Nics::new(tree.roots(), false);
        assert_eq!(bad(&nics.look(at(0))), [""; 0]);
        card(&tree, "eth0", "speed = 100; carrier_changes = 0; statistics/rx_errors = 0");
        assert_eq!(bad(&nics.look(at(5))), ["nic.slow eth0: 100 Mbit/s, 10000 before"]);
    }
}
