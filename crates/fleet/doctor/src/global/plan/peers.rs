//! Which machine is slower than its like: what each was measured to do, against the median of machines of the same make.
//!
//! The yardstick is the median and the median distance from it (MAD), which half of the peers may bend before they bend.
//! What healthy machines of one make differ by is a few percent: a fault is a machine beyond five deviations *and* a
//! fifth slower. Slow but working hardware is rarely slow by less (Gunawi et al., Fail-Slow at Scale, FAST 2018).

use std::collections::{BTreeMap, HashMap};

use muster_api::inventory::InventoryStatus;

/// Peers without which nothing is said, and with which enough is known.
const PEERS_MIN: usize = 8;
const PEERS_MAX: usize = 128;
/// Deviations, and percent of the median, below which a figure is bad; from this percent on it is well again.
const DEVIATIONS: f64 = 5.0;
const SLOW_PERCENT: f64 = 80.0;
const WELL_PERCENT: f64 = 85.0;
/// From the median distance to the deviation of a normal distribution.
const DEVIATION_OF_MAD: f64 = 1.4826;
/// Looks in a row before it is said that a machine is slow, or is not any more.
const LOOKS: u32 = 3;

/// What one machine was measured to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The make: machines of one make do alike.
    make: String,
    /// What of it was measured, and how much it does.
    does: [(&'static str, u32); 2],
}

impl Figure {
    /// What an Inventory says; none where it says nothing of speed.
    pub fn of(status: &InventoryStatus) -> Option<Self> {
        let speed = status.speed.as_ref()?;
        let (cpu, gib) = (&status.cpu, status.memory_gib);
        let threads = cpu.threads;
        // Another version of the program measures otherwise.
        let make = format!("{} / {} / {threads} threads / {gib} GiB / {}", status.model, cpu.model, speed.by);
        let does = [("steps per µs", speed.cpu_steps_per_us), ("MB/s of memory", speed.memory_mbps)];
        Some(Self { make, does })
    }
}

/// What a look says of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Slower than its like, for several looks.
    Slow(String),
    /// As fast as they, for several looks.
    Well,
    /// Not yet, or not surely.
    Unknown,
}

/// Some machines of one make.
#[derive(Clone, Debug, Default)]
struct Group {
    members: BTreeMap<String, [u32; 2]>,
}

impl Group {
    /// Median and deviation of what the others do.
    fn yardstick(&self, machine: &str, at: usize) -> Option<(f64, f64)> {
        let others = self.members.iter().filter(|(name, _)| *name != machine);
        let mut values: Vec<f64> = others.map(|(_, does)| f64::from(does[at])).collect();
        if values.len() < PEERS_MIN {
            return None;
        }
        let middle = median(&mut values);
        let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        Some((middle, median(&mut distances) * DEVIATION_OF_MAD))
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

/// How many looks in a row said the same.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    slow: u32,
    well: u32,
}

/// The machines by make, kept current by their changes.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    groups: HashMap<String, Group>,
    /// Those that were slow at a look, and are not known to be well again.
    rows: HashMap<String, Row>,
}

impl Peers {
    /// A machine does so much now; none: nothing is known of it any more.
    pub fn note(&mut self, machine: &str, old: Option<&Figure>, new: Option<&Figure>) {
        let gone = old.filter(|old| new.is_none_or(|new| new.make != old.make));
        if let Some(old) = gone
            && let Some(group) = self.groups.get_mut(&old.make)
        {
            group.members.remove(machine);
            if group.members.is_empty() {
                self.groups.remove(&old.make);
            }
        }
        let Some(new) = new else {
            self.rows.remove(machine);
            return;
        };
        let group = self.groups.entry(new.make.clone()).or_default();
        if group.members.len() < PEERS_MAX || group.members.contains_key(machine) {
            group.members.insert(machine.to_owned(), new.does.map(|(_, value)| value));
        }
    }

    /// One look at a machine. `is_filed`: it was said that it is slow, and not yet that it is well.
    pub fn look(&mut self, machine: &str, figure: &Figure, is_filed: bool) -> Verdict {
        let Some(group) = self.groups.get(&figure.make) else { return Verdict::Unknown };
        let (mut slow, mut is_well) = (None, true);
        for (at, (what, value)) in figure.does.into_iter().enumerate() {
            let Some((middle, deviation)) = group.yardstick(machine, at) else { return Verdict::Unknown };
            let value = f64::from(value);
            let (percent, bound) = (value * 100.0 / middle.max(1.0), middle - DEVIATIONS * deviation);
            if percent < SLOW_PERCENT && value < bound && slow.is_none() {
                slow = Some(format!("{value} {what}, {percent:.0} % of the {middle:.0} of its like"));
            }
            is_well &= WELL_PERCENT <= percent || bound <= value;
        }
        if slow.is_none() && !is_filed {
            self.rows.remove(machine);
            return Verdict::Unknown;
        }
        let row = self.rows.entry(machine.to_owned()).or_default();
        *row = Row {
            slow: if slow.is_some() { row.slow.saturating_add(1) } else { 0 },
            well: if slow.is_none() && is_well { row.well.saturating_add(1) } else { 0 },
        };
        match (slow, *row) {
            (Some(text), Row { slow, .. }) if LOOKS <= slow || is_filed => Verdict::Slow(text),
            (None, Row { well, .. }) if LOOKS <= well => Verdict::Well,
            (Some(_) | None, _) => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_api::inventory::{Cpu, Speed};

    use super::*;

    fn figure(model: &str, cpu: u32, memory: u32) -> Figure {
        let speed = Speed { cpu_steps_per_us: cpu, memory_mbps: memory, by: "0.1.0".into() };
        let status = InventoryStatus {
            model: model.into(),
            cpu: Cpu { model: "EPYC".into(), threads: 64, ..Cpu::default() },
            speed: Some(speed),
            ..InventoryStatus::default()
        };
        Figure::of(&status).unwrap()
    }

    /// So many machines of one make that differ by a few percent.
    fn peers(count: u32) -> Peers {
        let mut peers = Peers::default();
        for number in 0..count {
            let figure = figure("R650", 990 + number % 5 * 5, 20_000 + number % 7 * 100);
            peers.note(&format!("m{number}"), None, Some(&figure));
        }
        peers
    }

    /// What so many looks said, as letters.
    fn looks(peers: &mut Peers, figure: &Figure, count: u32, is_filed: bool) -> String {
        peers.note("slow", None, Some(figure));
        let letter = |verdict: Verdict| match verdict {
            Verdict::Slow(_) => 's',
            Verdict::Well => 'w',
            Verdict::Unknown => '-',
        };
        (0..count).map(|_| letter(peers.look("slow", figure, is_filed))).collect()
    }

    #[test]
    fn a_slow_peer_is_told_after_three_looks_and_is_well_after_three() {
        let mut peers = peers(8);
        let slow = figure("R650", 600, 20_100);
        assert_eq!(looks(&mut peers, &slow, 4, false), "--ss");
        let text = "600 steps per µs, 60 % of the 998 of its like".to_owned();
        assert_eq!(peers.look("slow", &slow, true), Verdict::Slow(text));
        assert_eq!(looks(&mut peers, &figure("R650", 1000, 20_100), 4, true), "--ww");
        assert_eq!(looks(&mut peers, &figure("R650", 1000, 9_000), 4, false), "--ss", "its memory is slow");
        let mut after_a_restart = super::tests::peers(8);
        assert_eq!(looks(&mut after_a_restart, &slow, 2, true), "ss", "what is said is said on");
    }

    #[test]
    fn nothing_is_said_of_few_peers_another_make_or_what_all_differ_by() {
        assert_eq!(looks(&mut peers(7), &figure("R650", 100, 20_100), 9, false), "---------");
        assert_eq!(looks(&mut peers(8), &figure("R660", 100, 20_100), 9, false), "---------");
        assert_eq!(looks(&mut peers(50), &figure("R650", 820, 20_100), 5, true), "-----", "slow nor well");
        let mut wide = Peers::default();
        for number in 0..20 {
            wide.note(&format!("m{number}"), None, Some(&figure("R650", 500 + number * 50, 20_000)));
        }
        assert_eq!(
            looks(&mut wide, &figure("R650", 600, 20_000), 5, false),
            "-----",
            "its like are as far apart"
        );
        assert_eq!(wide.rows.len(), 0);
    }

    #[test]
    fn a_machine_that_changes_its_make_or_goes_is_nobodys_peer_and_a_sample_is_enough() {
        let mut peers = peers(8);
        let before = figure("R650", 1000, 20_000);
        peers.note("m0", Some(&before), Some(&figure("R660", 1000, 20_000)));
        assert_eq!(looks(&mut peers, &figure("R650", 100, 20_000), 3, false), "---", "seven are left");
        for machine in ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "slow"] {
            peers.note(machine, Some(&before), None);
        }
        assert_eq!(peers.groups.len(), 1);
        let many = super::tests::peers(10_000);
        assert_eq!(many.groups.values().map(|group| group.members.len()).sum::<usize>(), PEERS_MAX);
    }

    #[test]
    fn one_slow_look_is_forgotten_by_a_good_one() {
        let mut peers = peers(8);
        let (slow, well) = (figure("R650", 600, 20_100), figure("R650", 1000, 20_100));
        let said = [&slow, &slow, &well, &slow, &slow].map(|one| looks(&mut peers, one, 1, false)).concat();
        assert_eq!(said, "-----");
    }
}
