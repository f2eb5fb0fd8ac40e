//! When which machine gets which fault: a Poisson process of single faults and of bursts.

use std::time::Duration;

use jiff::Timestamp;

use crate::dice::Dice;
use crate::mix::{Fault, Mix, Truth};

/// Faults of a burst, on average; at least two.
const BURST_MEAN: f64 = 3.0;
/// How long what only looks like a fault shows. [A] No figures are published: a planned reboot takes minutes, work on a
/// switch up to the better part of an hour, a neighbour's noise as long.
const SHOWS: [(&str, u64, u64); 4] = [
    ("machine.silent", 120, 480),
    ("nic.loss", 300, 2700),
    ("slow", 600, 3000),
    ("disk.media_error", 60, 300),
];
const SHOWS_ELSE: (u64, u64) = (60, 600);

/// A fault about to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coming {
    pub(crate) at: Timestamp,
    pub(crate) machine: usize,
    pub(crate) kind: usize,
}

/// Draws faults one after the other.
pub(crate) struct Weather<'a> {
    mix: &'a Mix,
    dice: Dice,
    machines: usize,
    rack: usize,
    next: Timestamp,
    between: Duration,
    burst: f64,
}

impl<'a> Weather<'a> {
    /// `rack` machines stand in a rack, one after the other.
    pub(crate) fn new(mix: &'a Mix, seed: u64, machines: usize, rack: usize, from: Timestamp) -> Self {
        // Of the arrivals so many are bursts that their faults make up the share that the mix says.
        let share = mix.bursts.map_or(0.0, |bursts| bursts.share);
        let burst = share / (BURST_MEAN - share * (BURST_MEAN - 1.0));
        let each = mix.mean_time_between_faults.0.div_f64(machines.max(1) as f64);
        let between = each.mul_f64(1.0 + burst * (BURST_MEAN - 1.0));
        Self { mix, dice: Dice::new(seed), machines, rack, next: from, between, burst }
    }

    /// The faults of the next arrival, in the order in which they happen.
    pub(crate) fn next(&mut self) -> Vec<Coming> {
        let wait = self.dice.exponential(self.between);
        self.next = self.next.checked_add(wait).unwrap_or(Timestamp::MAX);
        let (kind, first) = (self.kind(), self.dice.below(self.machines));
        if !self.dice.happens(self.burst) {
            return vec![Coming { at: self.next, machine: first, kind }];
        }
        let bursts = self.mix.bursts.unwrap_or_else(|| unreachable!("a burst comes from bursts"));
        let near = self.dice.happens(bursts.rack_affinity);
        let mut members = vec![first];
        while members.len() < 2 || self.dice.happens(1.0 - 1.0 / (BURST_MEAN - 1.0)) {
            let machine = if near {
                let begin = first / self.rack * self.rack;
                begin + self.dice.below(self.rack.min(self.machines - begin))
            } else {
                self.dice.below(self.machines)
            };
            if !members.contains(&machine) {
                members.push(machine);
            } else if near && self.rack.min(self.machines) <= members.len() {
                break;
            }
        }
        let mut coming: Vec<Coming> = members
            .into_iter()
            .map(|machine| {
                let after = self.dice.between(Duration::ZERO, bursts.window.0);
                Coming { at: self.next.checked_add(after).unwrap_or(self.next), machine, kind }
            })
            .collect();
        coming.sort_by_key(|one| one.at);
        coming
    }

    fn kind(&mut self) -> usize {
        let mut left = self.dice.share() * self.mix.faults.iter().map(|fault| fault.share).sum::<f64>();
        for (kind, fault) in self.mix.faults.iter().enumerate() {
            if left < fault.share {
                return kind;
            }
            left -= fault.share;
        }
        self.mix.faults.len() - 1
    }
}

/// When a fault goes away by itself.
pub(crate) fn fades(fault: &Fault, dice: &mut Dice, began: Timestamp) -> Option<Timestamp> {
    if fault.truth == Truth::FalseAlarm {
        let known = SHOWS.iter().find(|(class, ..)| *class == fault.class);
        let (least, most) = known.map_or(SHOWS_ELSE, |(_, least, most)| (*least, *most));
        let shows = dice.between(Duration::from_secs(least), Duration::from_secs(most));
        return began.checked_add(shows).ok();
    }
    let transient = fault.transient.filter(|transient| dice.happens(transient.share))?;
    began.checked_add(dice.between(Duration::from_secs(1), transient.within.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: &str = "meanTimeBetweenFaults: 100h
bursts: {share: 0.37, window: 120s, rackAffinity: 0.7}
faults:
- {class: io.stall, truth: curable, share: 0.7, cure: {powerCycle: 0.95}}
- {class: mem.ecc, truth: hands, share: 0.3}
";

    fn near(found: f64, wanted: f64) -> bool {
        (found / wanted - 1.0).abs() < 0.05
    }

    #[test]
    fn faults_come_as_often_and_as_bunched_as_the_mix_says() {
        let mix = Mix::parse(MIX).unwrap();
        let mut weather = Weather::new(&mix, 7, 1000, 40, Timestamp::UNIX_EPOCH);
        let (mut all, mut bunched, mut first_kind, mut bursts, mut near_ones, mut last) = (0, 0, 0, 0, 0, 0);
        while all < 20_000 {
            let coming = weather.next();
            all += coming.len();
            first_kind += coming.iter().filter(|one| one.kind == 0).count();
            last = coming.iter().map(|one| one.at.as_second()).max().unwrap();
            if coming.len() > 1 {
                bursts += 1;
                bunched += coming.len();
                near_ones += usize::from(coming.iter().all(|one| one.machine / 40 == coming[0].machine / 40));
                assert!(coming.iter().all(|one| one.at.as_second() - coming[0].at.as_second() <= 120));
            }
        }
        let count = |number: usize| number as f64;
        assert!(near(count(all) * 100.0 * 3600.0 / 1000.0, last as f64), "{all} faults in {last} s");
        assert!(near(count(bunched) / count(all), 0.37), "{bunched} of {all} in bursts");
        assert!(near(count(near_ones) / count(bursts), 0.7), "{near_ones} of {bursts} bursts in one rack");
        assert!(near(count(first_kind) / count(all), 0.7), "{first_kind} of {all} of the first kind");
    }
}
