//! What became of the problems of a fleet: who closed them, how long it took, what each rung fixed. A fold over what
//! happened, so that the same history gives the same figures to the digit.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use muster_api::problem::EpisodeKey;
use muster_api::problem::canary::CANARY;
use muster_api::repair::RungAction;
use muster_base::clock::elapsed;
use serde::{Deserialize, Serialize};

use crate::repair::climb::{self, Opening, Tried};

/// One opening of a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Name of the problem.
    pub problem: String,
    /// Which of its openings.
    pub episode: EpisodeKey,
    /// Class of the fault.
    pub class: String,
    /// Machine that had it.
    pub machine: String,
    /// Its site.
    pub site: String,
    /// Its model.
    pub model: String,
    /// First evidence.
    pub seen: Timestamp,
    /// When it opened.
    pub opened: Timestamp,
    /// When it was seen to be gone.
    pub cleared: Option<Timestamp>,
    /// There was nothing, as a person found.
    pub false_alarm: bool,
}

/// Shares are of the problems that are decided: cleared, or in the hands of a person. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Problems that opened.
    pub opened: u64,
    /// Of these decided.
    pub decided: u64,
    /// Of these closed without a person.
    pub closed_without_person: u64,
    /// The same as a share.
    pub auto_repair_share: f64,
    /// Closed without a person and without any act: they cleared by themselves.
    pub cleared_by_themselves: u64,
    /// Given to a person.
    pub with_person: u64,
    /// Problems of which a person said that there was nothing.
    pub false_alarms: u64,
    /// Of these the ones for which a machine was interrupted.
    pub false_repairs: u64,
    /// From first evidence to opening.
    pub time_to_detect: Spread,
    /// From opening to clearing, of what was closed without a person.
    pub time_to_repair: Spread,
    /// The same per class.
    pub per_class: BTreeMap<String, Line>,
    /// Per site.
    pub per_site: BTreeMap<String, Line>,
    /// Per model of machine.
    pub per_model: BTreeMap<String, Line>,
    /// What each rung did.
    pub per_rung: BTreeMap<RungAction, RungLine>,
}

/// A distribution of times, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Longest.
    pub max: f64,
}

impl Spread {
    /// Of these times, by nearest rank.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let rank = |percent: usize| {
            let at = (times.len() * percent).div_ceil(100).max(1) - 1;
            times.get(at).map_or(0.0, Duration::as_secs_f64)
        };
        Self { p50: rank(50), p99: rank(99), max: rank(100) }
    }
}

/// One line of the report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Problems that opened.
    pub opened: u64,
    /// Of these decided.
    pub decided: u64,
    /// Of these closed without a person.
    pub closed_without_person: u64,
    /// From first evidence to opening.
    pub time_to_detect: Spread,
    /// From opening to clearing, of what was closed without a person.
    pub time_to_repair: Spread,
}

/// What one rung did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RungLine {
    /// How often it was done to its end.
    pub tried: u64,
    /// How often the class did not come back.
    pub fixed: u64,
    /// How long it took from its begin.
    pub took: Spread,
}

/// Counts of one group while it is folded.
#[derive(Default)]
struct Group {
    opened: u64,
    decided: u64,
    closed: u64,
    found_in: Vec<Duration>,
    repaired_in: Vec<Duration>,
}

impl Group {
    fn add(&mut self, one: &Episode, end: End) {
        self.opened += 1;
        self.found_in.push(elapsed(one.seen, one.opened));
        match end {
            End::Open => {}
            End::Person => self.decided += 1,
            End::Closed(after) => {
                (self.decided, self.closed) = (self.decided + 1, self.closed + 1);
                self.repaired_in.push(after);
            }
        }
    }

    fn line(self) -> Line {
        Line {
            opened: self.opened,
            decided: self.decided,
            closed_without_person: self.closed,
            time_to_detect: Spread::of(self.found_in),
            time_to_repair: Spread::of(self.repaired_in),
        }
    }
}

/// How an episode ended.
#[derive(Clone, Copy)]
enum End {
    Open,
    Person,
    Closed(Duration),
}

/// Folds what happened. `tried` has, per problem, what was done for it, in the order in which it began.
pub fn report(episodes: &[Episode], tried: &BTreeMap<String, Vec<Tried>>) -> Report {
    let mut all = Group::default();
    let (mut classes, mut sites, mut models) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut untouched, mut false_alarms, mut false_repairs) = (0, 0, 0);
    // Nothing was wrong where a fault was made up.
    for one in episodes.iter().filter(|one| one.class != CANARY) {
        let done = tried.get(&one.problem).map_or(&[][..], Vec::as_slice);
        let mut of_this = done.iter().filter(|doing| doing.episode == one.episode && doing.counts());
        let person =
            of_this.clone().any(|doing| doing.rung.action == RungAction::Quarantine || doing.rung.confirm);
        let end = match (person, one.cleared) {
            (true, _) => End::Person,
            (false, Some(cleared)) => End::Closed(elapsed(one.opened, cleared)),
            (false, None) => End::Open,
        };
        let interrupted = of_this.clone().any(|doing| doing.rung.action.is_disruptive());
        false_alarms += u64::from(one.false_alarm);
        false_repairs += u64::from(one.false_alarm && interrupted);
        untouched += u64::from(matches!(end, End::Closed(_)) && of_this.next().is_none());
        all.add(one, end);
        for (groups, key) in [(&mut classes, &one.class), (&mut sites, &one.site), (&mut models, &one.model)]
        {
            groups.entry(key.clone()).or_insert_with(Group::default).add(one, end);
        }
    }
    let lines = |groups: BTreeMap<String, Group>| {
        groups.into_iter().map(|(key, group)| (key, group.line())).collect::<BTreeMap<_, _>>()
    };
    let all = all.line();
    Report {
        opened: all.opened,
        decided: all.decided,
        closed_without_person: all.closed_without_person,
        auto_repair_share: share(all.closed_without_person, all.decided),
        cleared_by_themselves: untouched,
        with_person: all.decided - all.closed_without_person,
        false_alarms,
        false_repairs,
        time_to_detect: all.time_to_detect,
        time_to_repair: all.time_to_repair,
        per_class: lines(classes),
        per_site: lines(sites),
        per_model: lines(models),
        per_rung: rungs(episodes, tried),
    }
}

/// A part of a whole; of nothing it is nothing.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn rungs(episodes: &[Episode], tried: &BTreeMap<String, Vec<Tried>>) -> BTreeMap<RungAction, RungLine> {
    let mut last: BTreeMap<&str, Opening> = BTreeMap::new();
    for one in episodes {
        let this = Opening { episode: one.episode, at: one.opened, cleared: one.cleared.is_some() };
        let known = last.entry(&one.problem).or_insert(this);
        if known.episode < this.episode {
            *known = this;
        }
    }
    let mut lines: BTreeMap<RungAction, (u64, u64, Vec<Duration>)> = BTreeMap::new();
    for (problem, done) in tried {
        for (index, doing) in done.iter().enumerate() {
            if doing.rung.action == RungAction::Quarantine {
                continue;
            }
            if let Some(fixed) = climb::fixed(done, index, last.get(problem.as_str()).copied()) {
                let line = lines.entry(doing.rung.action).or_default();
                (line.0, line.1) = (line.0 + 1, line.1 + u64::from(fixed));
                line.2.push(doing.ended.map_or(Duration::ZERO, |ended| elapsed(doing.began, ended)));
            }
        }
    }
    let line = |(action, (tried, fixed, took))| (action, RungLine { tried, fixed, took: Spread::of(took) });
    lines.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use muster_api::GoDuration;
    use muster_api::repair::RepairRef;
    use muster_api::workflow::RunPhase;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn episode(machine: &str, number: i64, opened: i64, cleared: Option<i64>) -> Episode {
        Episode {
            problem: format!("{machine}.io.stall"),
            episode: EpisodeKey { filed: None, number },
            class: "io.stall".into(),
            machine: machine.into(),
            site: "a".into(),
            model: "R1".into(),
            seen: at(opened - 5),
            opened: at(opened),
            cleared: cleared.map(at),
            false_alarm: false,
        }
    }

    fn doing(episode: i64, action: RungAction, phase: RunPhase, from: i64, to: i64) -> Tried {
        let (deadline, success_after) = [900, 1000].map(|time| GoDuration(Duration::from_secs(time))).into();
        let rung = RepairRef::new(("p", "io.stall"), action, deadline, success_after);
        let (run, episode) = (format!("run-{from}"), EpisodeKey { filed: None, number: episode });
        Tried { run, episode, rung, phase, acted: true, stopped: false, began: at(from), ended: Some(at(to)) }
    }

    #[test]
    fn every_problem_counts_once_and_rungs_by_what_came_back() {
        use RunPhase::{Failed, Succeeded};
        use RungAction::{PowerCycle, Quarantine, Reboot};
        let episodes = [
            episode("m1", 1, 100, Some(160)),
            episode("m2", 1, 100, Some(400)),
            episode("m2", 2, 900, None),
            episode("m3", 1, 100, Some(9000)),
            episode("m4", 1, 100, None),
        ];
        let tried = BTreeMap::from([
            (
                "m2.io.stall".to_owned(),
                vec![
                    doing(1, Reboot, Failed, 110, 200),
                    doing(1, PowerCycle, Succeeded, 210, 420),
                    doing(2, PowerCycle, RunPhase::Running, 910, 910),
                ],
            ),
            (
                "m3.io.stall".to_owned(),
                vec![doing(1, Reboot, Failed, 110, 210), doing(1, Quarantine, Succeeded, 220, 240)],
            ),
        ]);
        let found = report(&episodes, &tried);
        assert_eq!((found.opened, found.decided, found.with_person), (5, 3, 1));
        assert_eq!((found.closed_without_person, found.cleared_by_themselves), (2, 1));
        assert_eq!(found.auto_repair_share, 2.0 / 3.0);
        assert_eq!((found.time_to_repair.p50, found.time_to_repair.p99), (60.0, 300.0));
        assert_eq!(found.time_to_detect.max, 5.0);
        let rung = |action| (found.per_rung[&action].tried, found.per_rung[&action].fixed);
        assert_eq!(rung(Reboot), (2, 0));
        assert_eq!(rung(PowerCycle), (1, 0), "it came back 480 s after");
        assert_eq!(found.per_rung.get(&Quarantine), None);
        assert_eq!(found.per_site["a"].opened, 5);
    }

    #[test]
    fn a_false_repair_interrupts_a_machine_that_had_nothing() {
        let nothing = |machine| Episode { false_alarm: true, ..episode(machine, 1, 100, Some(400)) };
        let mut left = nothing("m1");
        left.class = "dns.failed".into();
        let tried =
            [(RungAction::RestartService, "m2"), (RungAction::Reboot, "m3"), (RungAction::Reboot, "m4")].map(
                |(action, machine)| {
                    (format!("{machine}.io.stall"), vec![doing(1, action, RunPhase::Succeeded, 110, 200)])
                },
            );
        let episodes = [left, nothing("m2"), nothing("m3"), episode("m4", 1, 130, Some(400))];
        let found = report(&episodes, &BTreeMap::from(tried));
        assert_eq!((found.opened, found.false_alarms, found.false_repairs), (4, 3, 1));
        assert_eq!(found.per_class["dns.failed"].time_to_detect.max, 5.0);
    }

    #[test]
    fn what_was_done_in_a_former_life_of_a_problem_is_not_told_of_the_next() {
        let filed = |second, mut one: Episode| {
            one.episode.filed = Some(at(second));
            one
        };
        let episodes = [filed(90, episode("m1", 1, 100, None)), filed(890, episode("m1", 1, 900, Some(960)))];
        let mut given = doing(1, RungAction::Quarantine, RunPhase::Succeeded, 110, 200);
        given.episode.filed = Some(at(90));
        let found = report(&episodes, &BTreeMap::from([("m1.io.stall".to_owned(), vec![given])]));
        assert_eq!((found.with_person, found.closed_without_person, found.cleared_by_themselves), (1, 1, 1));
    }

    #[test]
    fn nothing_happened_is_a_report_too() {
        assert_eq!(report(&[], &BTreeMap::new()), Report::default());
    }
}
