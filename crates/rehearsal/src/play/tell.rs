//! What a play leads to: folded from history, and counted from what was true.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_api::repair::RungAction;
use muster_base::clock::elapsed;
use muster_workflow::planner::Tried;
use muster_workflow::report::{self, Spread, share};

use super::{BEGIN, Play};
use crate::ground::End;
use crate::mix;
use crate::outcome::{Outcome, Truth};

pub(super) fn outcome(mut play: Play<'_>) -> Outcome {
    play.judge.close(&play.store);
    let mut tried: BTreeMap<String, Vec<Tried>> = BTreeMap::new();
    for episode in &play.episodes {
        let done = play.store.book.tried(&episode.problem);
        if !done.is_empty() {
            tried.entry(episode.problem.clone()).or_insert_with(|| done.to_vec());
        }
    }
    let report = report::report(&play.episodes, &tried);
    let truth = truth(&play, &tried);
    let of = |truth: mix::Truth| {
        let faults = &play.kinds;
        play.happenings.iter().enumerate().filter(move |(_, one)| faults[one.kind].truth == truth)
    };
    let alone = |index: &usize| !play.with_person.contains_key(index);
    let curable = of(mix::Truth::Curable).filter(|(_, one)| one.over.is_some());
    let mut missed: BTreeMap<String, u64> = BTreeMap::new();
    for (_, one) in curable.clone().filter(|(index, _)| !alone(index)) {
        *missed.entry(play.kinds[one.kind].class.clone()).or_default() += 1;
    }
    let cured = curable.clone().filter(|(index, _)| alone(index)).count() as u64;
    let mut wasted: Vec<u32> = of(mix::Truth::Hands).map(|(_, one)| one.disruptive).collect();
    wasted.sort_unstable();
    let p95 = wasted.get((wasted.len() * 95).div_ceil(100).max(1) - 1).copied().unwrap_or(0);
    let mut found: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for (index, (opened, _)) in &play.noticed {
        let one = &play.happenings[*index];
        let class = play.kinds[one.kind].class.clone();
        found.entry(class).or_default().push(elapsed(one.began, *opened));
    }
    Outcome {
        machines: play.options.machines,
        days: (play.ends.as_second() - BEGIN) as f64 / 86_400.0,
        seed: play.options.seed,
        faults: play.happenings.len() as u64,
        auto_repair_share: report.auto_repair_share,
        curable_share: share(cured, curable.count() as u64),
        curable_with_person: missed,
        false_alarms: of(mix::Truth::FalseAlarm).count() as u64,
        false_repairs: of(mix::Truth::FalseAlarm).filter(|(_, one)| 0 < one.disruptive).count() as u64,
        wasted_on_hands_p95: p95,
        found_after: found.into_iter().map(|(class, times)| (class, Spread::of(times))).collect(),
        tickets: play.tickets.len() as u64,
        parents: std::mem::take(&mut play.many.opened),
        held: std::mem::take(&mut play.plane.told),
        disruptive_acts: play.judge.disruptive,
        deaths: play.plane.deaths,
        broken_invariants: std::mem::take(&mut play.judge.broken),
        report_equals_truth: truth.is_told_by(&report),
        report,
        truth,
    }
}

/// Counted over the faults that were noticed.
fn truth(play: &Play<'_>, tried: &BTreeMap<String, Vec<Tried>>) -> Truth {
    let mut truth = Truth::default();
    let mut times = Vec::new();
    for (index, (opened, cleared)) in &play.noticed {
        truth.opened += 1;
        let one = &play.happenings[*index];
        let is_false = play.kinds[one.kind].truth == mix::Truth::FalseAlarm;
        truth.false_alarms += u64::from(is_false);
        truth.false_repairs += u64::from(is_false && 0 < one.disruptive);
        let person = play.with_person.contains_key(index);
        truth.decided += u64::from(person || cleared.is_some());
        if let Some(cleared) = cleared.filter(|_| !person) {
            truth.closed_without_person += 1;
            times.push(elapsed(*opened, cleared));
        }
    }
    truth.auto_repair_share = share(truth.closed_without_person, truth.decided);
    truth.time_to_repair = Spread::of(times);
    for (index, one) in play.happenings.iter().enumerate() {
        for (place, action) in one.acts.iter().enumerate() {
            let last = place + 1 == one.acts.len();
            let person = play.with_person.contains_key(&index);
            let over = !person && one.over.is_some_and(|(_, end)| end != End::Mended);
            let line = truth.per_rung.entry(*action).or_default();
            line.0 += 1;
            line.1 += u64::from(last && over && !comes_back(play, index, tried));
        }
    }
    truth.per_rung.remove(&RungAction::Quarantine);
    truth
}

/// Whether another fault of the class was noticed on the machine within the time that a repair has to last.
fn comes_back(play: &Play<'_>, index: usize, tried: &BTreeMap<String, Vec<Tried>>) -> bool {
    let one = &play.happenings[index];
    let faults = &play.kinds;
    let name = crate::doctors::name(&play.store, one.machine, &faults[one.kind].class);
    let Some(within) = tried.get(&name).and_then(|done| done.first()).map(|done| done.rung.success_after.0)
    else {
        return false;
    };
    let end = one.over.map(|(at, _)| at).unwrap_or(one.began);
    play.happenings.iter().enumerate().skip(index + 1).any(|(later, other)| {
        other.machine == one.machine
            && faults[other.kind].class == faults[one.kind].class
            && play.noticed.get(&later).is_some_and(|(opened, _)| elapsed(end, *opened) <= within)
    })
}
