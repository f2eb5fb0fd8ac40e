//! Bursts as tables: a fleet, what failed in it, and what is suspected.

use super::*;

/// `sites` sites of `racks` racks of `machines` machines; two racks share a feed; every third machine has image `new`.
struct Fleet {
    census: Census,
    places: Vec<(String, Place)>,
}

fn fleet(sites: u32, racks: u32, machines: u32) -> Fleet {
    let mut fleet = Fleet { census: Census::default(), places: Vec::new() };
    for site in 0..sites {
        for rack in 0..racks {
            for machine in 0..machines {
                let place = Place {
                    site: format!("s{site}"),
                    rack: format!("s{site}-r{rack}"),
                    power: format!("s{site}-f{}", rack / 2),
                    image: if machine % 3 == 0 { "new" } else { "old" }.to_owned(),
                    firmware: "1.0".to_owned(),
                };
                fleet.census.enter(&place);
                fleet.places.push((format!("s{site}-r{rack}-m{machine:02}"), place));
            }
        }
    }
    fleet
}

/// Every machine for which `failed` says so, with what opened on it.
fn openings(fleet: &Fleet, failed: impl Fn(&str, &Place, usize) -> Option<&'static str>) -> Vec<Opening> {
    let of = |(number, (name, place)): (usize, &(String, Place))| {
        let class = failed(name, place, number)?.to_owned();
        Some(Opening { machine: name.clone(), class, place: place.clone(), ..Opening::default() })
    };
    fleet.places.iter().enumerate().filter_map(of).collect()
}

fn check(fleet: &Fleet, openings: &[Opening], expected: &[&str]) {
    let causes = explain(openings.iter(), &fleet.census, &Limits::default());
    let told: Vec<String> = causes
        .iter()
        .map(|cause| {
            let Suspect { kind, name, site, machines, of } = &cause.suspect;
            let site = if site.is_empty() { String::new() } else { format!(" in {site}") };
            format!("{} {name}{site}: {machines} of {of}", kind.as_str())
        })
        .collect();
    assert_eq!(told, expected);
}

/// The first `count` machines of a rack.
fn of_rack(name: &str, rack: &str, count: usize) -> bool {
    name.strip_prefix(rack)
        .and_then(|rest| rest.strip_prefix("-m"))
        .is_some_and(|number| number.parse::<usize>().is_ok_and(|number| number < count))
}

#[test]
fn half_a_rack_names_the_rack_and_less_names_nothing() {
    let fleet = fleet(4, 10, 40);
    let silent = |count| openings(&fleet, move |name, _, _| of_rack(name, "s1-r3", count).then_some(SILENT));
    check(&fleet, &silent(30), &["rack s1-r3 in s1: 30 of 40"]);
    check(&fleet, &silent(20), &["rack s1-r3 in s1: 20 of 40"]);
    check(&fleet, &silent(19), &[]);
    check(&fleet, &silent(0), &[]);
}

#[test]
fn a_small_rack_needs_three_machines() {
    let fleet = fleet(2, 3, 4);
    let silent = |count| openings(&fleet, move |name, _, _| of_rack(name, "s0-r2", count).then_some(SILENT));
    check(&fleet, &silent(2), &[]);
    check(&fleet, &silent(3), &["rack s0-r2 in s0: 3 of 4"]);
}

#[test]
fn two_racks_without_a_common_feed_are_two_causes() {
    let fleet = fleet(2, 10, 40);
    let fallen = openings(&fleet, |name, _, _| {
        (of_rack(name, "s0-r1", 40) || of_rack(name, "s0-r7", 30)).then_some(SILENT)
    });
    check(&fleet, &fallen, &["rack s0-r1 in s0: 40 of 40", "rack s0-r7 in s0: 30 of 40"]);
}

#[test]
fn a_feed_is_named_before_the_site_when_it_explains_as_much() {
    let fleet = fleet(3, 4, 20);
    let fallen = openings(&fleet, |_, place, _| (place.power == "s2-f1").then_some(SILENT));
    check(&fleet, &fallen, &["power s2-f1 in s2: 40 of 40"]);
}

#[test]
fn a_site_is_named_when_a_fifth_of_it_falls_silent_over_its_racks() {
    let fleet = fleet(4, 10, 40);
    let every = |nth: usize| {
        openings(&fleet, move |_, place, number| (place.site == "s3" && number % nth == 0).then_some(SILENT))
    };
    check(&fleet, &every(1), &["site s3: 400 of 400"]);
    check(&fleet, &every(5), &["site s3: 80 of 400"]);
    check(&fleet, &every(6), &[]);
}

#[test]
fn the_only_site_is_named_for_silence_too() {
    let fleet = fleet(1, 5, 8);
    let fallen = openings(&fleet, |_, _, number| (number % 2 == 0).then_some(SILENT));
    check(&fleet, &fallen, &["site s0: 20 of 40"]);
}

#[test]
fn a_bad_rule_on_a_fifth_of_the_fleet_is_named() {
    let fleet = fleet(4, 10, 40);
    let every = |nth: usize| openings(&fleet, move |_, _, number| (number % nth == 0).then_some("mem.ecc"));
    check(&fleet, &every(5), &["rule mem.ecc: 320 of 1600"]);
    check(&fleet, &every(6), &[]);
}

#[test]
fn a_bad_rule_in_a_part_of_one_site_is_named_with_the_site() {
    let fleet = fleet(4, 10, 40);
    let fallen =
        openings(&fleet, |_, place, number| (place.site == "s2" && number % 4 == 0).then_some("clock.skew"));
    check(&fleet, &fallen, &["rule clock.skew in s2: 100 of 400"]);
    let one = crate::global::plan::burst::tests::fleet(1, 5, 8);
    let fallen = openings(&one, |_, _, number| (number % 2 == 0).then_some("clock.skew"));
    check(&one, &fallen, &["rule clock.skew: 20 of 40"]);
}

#[test]
fn one_rule_over_most_of_a_place_names_the_place() {
    let fleet = fleet(4, 10, 40);
    let rack = openings(&fleet, |name, _, _| of_rack(name, "s1-r3", 25).then_some("nic.down"));
    check(&fleet, &rack, &["rack s1-r3 in s1: 25 of 40"]);
    let site = openings(&fleet, |_, place, _| (place.site == "s1").then_some("dns.unreachable"));
    check(&fleet, &site, &["site s1: 400 of 400"]);
}

#[test]
fn an_image_is_named_when_its_machines_fail_wherever_they_stand() {
    let fleet = fleet(4, 10, 40);
    let most = openings(&fleet, |_, place, number| {
        (place.image == "new" && number % 10 != 0).then_some("runtime.hung")
    });
    let machines = most.len();
    let size = fleet.census.size(SuspectKind::Image, "new");
    check(&fleet, &most, &[&format!("image new: {machines} of {size}")]);
}

#[test]
fn what_all_machines_bear_is_never_suspected() {
    let fleet = fleet(1, 5, 8);
    let fallen = openings(&fleet, |_, _, number| (number % 2 == 0).then_some("runtime.hung"));
    check(&fleet, &fallen, &["rule runtime.hung: 20 of 40"]);
}

#[test]
fn independent_faults_name_nothing() {
    let fleet = fleet(4, 10, 40);
    const CLASSES: [&str; 6] =
        ["disk.media_error", "mem.ecc", "fs.full", "nic.flap", "clock.skew", "runtime.hung"];
    // One in 23 of the fleet within two minutes: a hundred times what a fleet has.
    let storm = openings(&fleet, |_, _, number| (number % 23 == 7).then(|| CLASSES[number % 6]));
    assert!(60 < storm.len());
    check(&fleet, &storm, &[]);
    let few = openings(&fleet, |_, _, number| (number % 400 == 3).then_some(SILENT));
    check(&fleet, &few, &[]);
}

#[test]
fn a_small_site_in_which_one_thing_and_another_fails_is_not_suspected() {
    const CLASSES: [&str; 5] = ["disk.media_error", "mem.ecc", "fs.full", "nic.flap", "clock.skew"];
    let two = fleet(2, 5, 4);
    let fallen = openings(&two, |_, _, number| (number % 7 == 0).then(|| CLASSES[number / 7 % 5]));
    check(&two, &fallen, &[]);
    let alike = openings(&two, |_, place, number| {
        (if place.site == "s0" { number % 4 == 1 } else { number % 9 == 0 }).then_some(SILENT)
    });
    assert_eq!(alike.len(), 7);
    check(&two, &alike, &[]);
    let one = fleet(1, 5, 4);
    let fallen = openings(&one, |_, _, number| (number % 3 == 0).then(|| CLASSES[number / 3 % 5]));
    assert_eq!(fallen.len(), 7);
    check(&one, &fallen, &[]);
    let alike = openings(&one, |_, _, number| (number % 3 == 0).then_some(SILENT));
    check(&one, &alike, &["site s0: 7 of 20"]);
}

#[test]
fn in_a_storm_a_small_rack_half_down_may_be_chance() {
    let fleet = fleet(10, 100, 6);
    let half = |name: &str| of_rack(name, "s0-r1", 3);
    let alone = openings(&fleet, |name, _, _| half(name).then_some(SILENT));
    check(&fleet, &alone, &["rack s0-r1 in s0: 3 of 6"]);
    let storm = openings(&fleet, |name, _, number| (half(name) || number % 12 == 1).then_some(SILENT));
    check(&fleet, &storm, &[]);
}

#[test]
fn several_openings_of_one_machine_count_once() {
    let fleet = fleet(2, 3, 4);
    let mut two = openings(&fleet, |name, _, _| of_rack(name, "s0-r2", 2).then_some(SILENT));
    two.extend(openings(&fleet, |name, _, _| of_rack(name, "s0-r2", 2).then_some("nic.down")));
    assert_eq!(two.len(), 4);
    check(&fleet, &two, &[]);
}

#[test]
fn evidence_names_the_suspect_the_counts_and_some_machines() {
    let fleet = fleet(4, 10, 40);
    let fallen = openings(&fleet, |name, _, _| of_rack(name, "s1-r3", 30).then_some(SILENT));
    let [cause] = explain(fallen.iter(), &fleet.census, &Limits::default()).try_into().unwrap();
    assert_eq!(
        cause.evidence(Duration::from_secs(120)),
        "30 of 40 machines of rack s1-r3 failed within 120 s, of 30 in all: \
         s1-r3-m00, s1-r3-m01, s1-r3-m02, s1-r3-m03, s1-r3-m04 …"
    );
}
