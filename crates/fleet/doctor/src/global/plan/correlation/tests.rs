//! Stories of Problems of many: what fails when, what is held, what is let go.

use super::*;
use crate::global::plan::burst::SILENT;
use crate::global::plan::place::Place;

const SITES: usize = 4;
const RACKS: usize = 5;
const MACHINES: usize = 8;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn place(site: usize, rack: usize) -> Place {
    Place {
        site: format!("s{site}"),
        rack: format!("s{site}-r{rack}"),
        image: "i".into(),
        ..Place::default()
    }
}

/// 4 sites of 5 racks of 8 machines.
fn fleet() -> Correlation {
    let mut correlation = Correlation::new(burst::Limits::default(), Closing::default());
    for site in 0..SITES {
        for rack in 0..RACKS {
            (0..MACHINES).for_each(|_| correlation.census.enter(&place(site, rack)));
        }
    }
    correlation
}

#[derive(Clone, Copy)]
struct Fault {
    site: usize,
    rack: usize,
    machine: usize,
    class: &'static str,
}

fn silent(site: usize, rack: usize, machine: usize) -> Fault {
    Fault { site, rack, machine, class: SILENT }
}

impl Fault {
    fn name(self) -> String {
        format!("s{}-r{}-m{}.{}", self.site, self.rack, self.machine, self.class)
    }

    fn case(self, state: State, opened: i64, seen: i64, parent: &str) -> Case {
        let opening = Opening {
            machine: format!("s{}-r{}-m{}", self.site, self.rack, self.machine),
            at: at(opened),
            class: self.class.into(),
            rule: String::new(),
            place: place(self.site, self.rack),
        };
        Case { opening, state, last_seen: Some(at(seen)), parent: parent.into() }
    }

    fn opens(self, correlation: &mut Correlation, second: i64) {
        correlation.problem(&self.name(), Some(self.case(State::Open, second, second, "")));
    }

    fn seen(self, correlation: &mut Correlation, opened: i64, second: i64) {
        correlation.problem(&self.name(), Some(self.case(State::Open, opened, second, "")));
    }

    fn clears(self, correlation: &mut Correlation, opened: i64) {
        correlation.problem(&self.name(), Some(self.case(State::Clear, opened, opened, "")));
    }
}

/// Every parent, with `+` where it stands, and how many it holds.
fn told(correlation: &Correlation) -> Vec<String> {
    let row = |(name, parent): (&String, &Parent)| {
        let Suspect { machines, of, .. } = parent.suspect;
        let stands = if parent.is_open { '+' } else { '-' };
        format!(
            "{stands}{name} {machines}/{of} #{} holds {}",
            parent.episode,
            correlation.members(name).count()
        )
    };
    correlation.parents().iter().map(row).collect()
}

/// Judges every five seconds, as the service does.
fn judge_until(correlation: &mut Correlation, from: i64, to: i64) -> usize {
    let changes = (from..=to).step_by(5).map(|second| correlation.judge(at(second)).parents.len());
    changes.sum()
}

fn rack_fails(correlation: &mut Correlation, machines: usize, second: i64) {
    (0..machines).for_each(|machine| silent(1, 2, machine).opens(correlation, second));
}

#[test]
fn a_rack_that_fails_has_one_problem_that_holds_its_own_and_clears_with_them() {
    let mut fleet = fleet();
    rack_fails(&mut fleet, 6, 0);
    assert_eq!(judge_until(&mut fleet, 5, 60), 1);
    assert_eq!(told(&fleet), ["+correlated.rack.s1-r2 6/8 #1 holds 6"]);
    assert_eq!(fleet.parent_of("s1-r2-m3.machine.silent"), Some("correlated.rack.s1-r2"));
    (0..6).for_each(|machine| silent(1, 2, machine).clears(&mut fleet, 0));
    assert_eq!(judge_until(&mut fleet, 65, 120), 0, "not before the quiet time is over");
    assert_eq!(judge_until(&mut fleet, 125, 125), 1);
    assert_eq!(told(&fleet), ["-correlated.rack.s1-r2 6/8 #1 holds 0"]);
    assert_eq!(judge_until(&mut fleet, 130, 900), 0);
}

#[test]
fn a_burst_is_one_as_long_as_its_window() {
    let mut within = fleet();
    (0..6).for_each(|machine| silent(1, 2, machine).opens(&mut within, 20 * machine as i64));
    judge_until(&mut within, 105, 105);
    assert_eq!(told(&within), ["+correlated.rack.s1-r2 6/8 #1 holds 6"]);
    let mut beyond = fleet();
    for machine in 0..6 {
        silent(1, 2, machine).opens(&mut beyond, 61 * machine as i64);
        judge_until(&mut beyond, 61 * machine as i64 + 5, 61 * machine as i64 + 55);
    }
    assert_eq!(told(&beyond), Vec::<String>::new());
}

#[test]
fn what_was_missed_while_nobody_judged_is_found_at_its_own_time() {
    let mut fleet = fleet();
    rack_fails(&mut fleet, 6, 0);
    silent(3, 3, 3).opens(&mut fleet, 2000);
    judge_until(&mut fleet, 3000, 3000);
    assert_eq!(told(&fleet), ["+correlated.rack.s1-r2 6/8 #1 holds 6"]);
}

#[test]
fn what_falls_within_reach_later_is_held_at_once_and_nothing_else_is() {
    let mut fleet = fleet();
    let (old, later, elsewhere) = (
        Fault { class: "disk.media_error", ..silent(1, 2, 7) },
        Fault { class: "nic.down", ..silent(1, 2, 6) },
        silent(1, 3, 0),
    );
    old.opens(&mut fleet, -5000);
    fleet.judge(at(-4990));
    rack_fails(&mut fleet, 6, 0);
    judge_until(&mut fleet, 5, 5);
    later.opens(&mut fleet, 600);
    elsewhere.opens(&mut fleet, 600);
    let parents: Vec<&str> =
        [old, later, elsewhere].map(|fault| fleet.parent_of(&fault.name()).unwrap()).to_vec();
    assert_eq!(parents, ["", "correlated.rack.s1-r2", ""]);
    judge_until(&mut fleet, 605, 605);
    assert_eq!(told(&fleet), ["+correlated.rack.s1-r2 7/8 #1 holds 7"]);
}

#[test]
fn what_is_open_when_it_clears_is_held_until_its_own_doctor_has_shown_it_again() {
    let mut fleet = fleet();
    let all: Vec<Fault> =
        (0..MACHINES).flat_map(|machine| [silent(1, 2, machine), silent(1, 3, machine)]).collect();
    all.iter().for_each(|fault| fault.opens(&mut fleet, 0));
    (0..MACHINES).for_each(|machine| silent(1, 4, machine).opens(&mut fleet, 0));
    judge_until(&mut fleet, 5, 5);
    assert_eq!(told(&fleet), ["+correlated.site.s1 24/40 #1 holds 24"]);
    let last = silent(1, 4, 0);
    all.iter().for_each(|fault| fault.clears(&mut fleet, 0));
    (1..MACHINES).for_each(|machine| silent(1, 4, machine).clears(&mut fleet, 0));
    judge_until(&mut fleet, 10, 100);
    assert_eq!(told(&fleet), ["-correlated.site.s1 24/40 #1 holds 1"]);
    last.seen(&mut fleet, 0, 65);
    judge_until(&mut fleet, 105, 300);
    assert_eq!(fleet.parent_of(&last.name()), Some("correlated.site.s1"), "seen before it cleared");
    last.seen(&mut fleet, 0, 301);
    let judged = fleet.judge(at(305));
    assert_eq!(judged.problems, BTreeSet::from([last.name()]));
    assert_eq!(fleet.parent_of(&last.name()), Some(""));
    assert_eq!(judge_until(&mut fleet, 310, 900), 0, "what is left opens nothing anew");
}

#[test]
fn unknown_members_are_not_gone() {
    let mut fleet = fleet();
    rack_fails(&mut fleet, 6, 0);
    judge_until(&mut fleet, 5, 5);
    for machine in 0..6 {
        let fault = silent(1, 2, machine);
        fleet.problem(&fault.name(), Some(fault.case(State::Unknown, 0, 0, "")));
    }
    assert_eq!(judge_until(&mut fleet, 10, 1000), 0);
    assert_eq!(told(&fleet), ["+correlated.rack.s1-r2 6/8 #1 holds 6"]);
}

#[test]
fn a_restart_takes_up_what_was_filed_and_neither_clears_nor_opens_anything() {
    let name = "correlated.rack.s1-r2";
    let suspect =
        Suspect { kind: SuspectKind::Rack, name: "s1-r2".into(), site: "s1".into(), machines: 6, of: 8 };
    let mut fleet = fleet();
    for machine in 0..6 {
        let fault = silent(1, 2, machine);
        fleet.problem(&fault.name(), Some(fault.case(State::Open, 0, 500, name)));
    }
    fleet.load(name.into(), Parent::filed(suspect.clone(), true, 3, at(0)));
    let judged = fleet.judge(at(600));
    assert_eq!(judged, Judged::default());
    assert_eq!(told(&fleet), ["+correlated.rack.s1-r2 6/8 #3 holds 6"]);
    let mut after = super::tests::fleet();
    let fault = silent(1, 2, 0);
    after.problem(&fault.name(), Some(fault.case(State::Open, 0, 500, name)));
    let cleared = Parent { cleared_at: Some(at(550)), ..Parent::filed(suspect, false, 3, at(0)) };
    after.load(name.into(), cleared);
    assert_eq!(after.judge(at(600)), Judged::default(), "it was not shown again yet");
    fault.seen(&mut after, 0, 601);
    assert_eq!(after.judge(at(605)).problems, BTreeSet::from([fault.name()]));
}

#[test]
fn a_rack_that_turns_out_to_be_a_site_gives_way_to_it() {
    let mut fleet = fleet();
    rack_fails(&mut fleet, 6, 0);
    judge_until(&mut fleet, 5, 5);
    for rack in 0..RACKS {
        (0..MACHINES).for_each(|machine| silent(1, rack, machine).opens(&mut fleet, 10));
    }
    judge_until(&mut fleet, 15, 15);
    assert_eq!(
        told(&fleet),
        ["-correlated.rack.s1-r2 8/8 #1 holds 0", "+correlated.site.s1 40/40 #1 holds 40"]
    );
    assert_eq!(judge_until(&mut fleet, 20, 500), 0);
}

#[test]
fn the_next_burst_is_the_next_episode() {
    let mut fleet = fleet();
    for (episode, begin) in [(1, 0), (2, 1000)] {
        rack_fails(&mut fleet, 6, begin);
        judge_until(&mut fleet, begin + 5, begin + 5);
        assert_eq!(told(&fleet), [format!("+correlated.rack.s1-r2 6/8 #{episode} holds 6")]);
        (0..6).for_each(|machine| silent(1, 2, machine).clears(&mut fleet, begin));
        judge_until(&mut fleet, begin + 10, begin + 100);
    }
    assert_eq!(told(&fleet), ["-correlated.rack.s1-r2 6/8 #2 holds 0"]);
}

#[test]
fn who_deletes_the_parent_frees_what_it_held() {
    let mut fleet = fleet();
    rack_fails(&mut fleet, 6, 0);
    judge_until(&mut fleet, 5, 5);
    fleet.forget("correlated.rack.s1-r2");
    assert_eq!(fleet.judge(at(400)).problems.len(), 6);
    assert_eq!(told(&fleet), Vec::<String>::new());
}

#[test]
fn faults_here_and_there_have_no_common_problem() {
    let mut fleet = fleet();
    for number in 0..10 {
        silent(number % SITES, number % RACKS, number % MACHINES).opens(&mut fleet, 10 * number as i64);
    }
    assert_eq!(judge_until(&mut fleet, 5, 400), 0);
}

#[test]
fn half_the_fleet_in_two_sites_is_two_sites() {
    let mut fleet = fleet();
    for site in [0, 2] {
        for rack in 0..RACKS {
            (0..MACHINES).for_each(|machine| silent(site, rack, machine).opens(&mut fleet, 0));
        }
    }
    judge_until(&mut fleet, 5, 20);
    assert_eq!(
        told(&fleet),
        ["+correlated.site.s0 40/40 #1 holds 40", "+correlated.site.s2 40/40 #1 holds 40"]
    );
}

/// Whatever opens, clears, is lost or seen again: what holds is a parent that is there, each parent has enough machines,
/// and a second look changes nothing.
#[test]
fn in_any_story_a_second_look_changes_nothing_and_nothing_is_held_by_nothing() {
    for seed in 1..=40_u64 {
        let mut fleet = fleet();
        let mut dice = seed;
        let mut throw = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let mut opened: BTreeMap<String, (Fault, i64)> = BTreeMap::new();
        for step in 0..300_i64 {
            let now = step * 7;
            let site = throw(2) as usize;
            let fault = silent(site, throw(1 + site as u64 * 4) as usize, throw(8) as usize);
            match throw(4) {
                0 => {
                    if let Some((fault, at)) = opened.remove(&fault.name()) {
                        fault.clears(&mut fleet, at);
                    }
                }
                1 => {
                    if let Some((fault, at)) = opened.get(&fault.name()) {
                        fault.seen(&mut fleet, *at, now);
                    }
                }
                _ => {
                    let (fault, at) = *opened.entry(fault.name()).or_insert((fault, now));
                    fault.seen(&mut fleet, at, now);
                }
            }
            fleet.judge(at(now));
            assert_eq!(fleet.judge(at(now)), Judged::default(), "seed {seed}, step {step}");
            for (name, (fault, _)) in &opened {
                let parent = fleet.parent_of(name).unwrap();
                assert!(parent.is_empty() || fleet.parents().contains_key(parent), "{name}: {parent}");
                assert_eq!(fault.name(), *name);
            }
            assert!(fleet.parents().values().all(|parent| 3 <= parent.suspect.machines));
        }
    }
}
