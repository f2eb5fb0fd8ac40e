//! A12: what strikes many machines at once, played by the very planners of the doctors, the workflow manager and the ledger.

use std::time::Duration;

use muster_api::GoDuration;
use muster_rehearsal::{Disaster, Mix, Options, Outcome, STANDARD_MIX, Struck, rehearse};

const MINUTE: Duration = Duration::from_secs(60);

/// Nothing happens but the disaster: 84 sites of five racks of 40, for a day.
fn quiet(disaster: Disaster, crashes: f64) -> Outcome {
    let mut mix = Mix::parse(STANDARD_MIX).expect("the standard mix");
    mix.mean_time_between_faults = GoDuration(Duration::from_secs(1_000_000_000_000));
    let options = Options { crashes, disasters: vec![disaster], ..Options::new(84 * 200, 84, 1.0, 7, mix) };
    let outcome = rehearse(&options);
    assert_eq!(outcome.broken_invariants, Vec::<String>::new());
    outcome
}

fn after_an_hour(machines: Vec<usize>, minutes: u32, what: Struck) -> Disaster {
    Disaster { after: 60 * MINUTE, machines, lasts: minutes * MINUTE, what }
}

#[test]
fn a12a_thirty_of_a_rack_have_one_problem_that_names_the_rack_and_nothing_is_done_to_them() {
    for crashes in [0.0, 0.05] {
        let outcome = quiet(after_an_hour((400..430).collect(), 6 * 60, Struck::Dead), crashes);
        assert_eq!(outcome.faults, 30);
        assert_eq!(outcome.parents, ["correlated.rack.s02-r010"]);
        assert_eq!((outcome.disruptive_acts, outcome.tickets), (0, 0), "{:?}", outcome.held);
        assert!(0 < outcome.held["Correlated"], "{:?}", outcome.held);
    }
}

#[test]
fn a12b_a_site_that_is_cut_off_sees_no_act_and_none_after_it_is_back() {
    for crashes in [0.0, 0.05] {
        let outcome = quiet(after_an_hour((600..800).collect(), 20, Struck::Cut), crashes);
        assert_eq!(outcome.faults, 200);
        assert_eq!(outcome.parents, ["correlated.site.s03"]);
        assert_eq!((outcome.disruptive_acts, outcome.false_repairs, outcome.tickets), (0, 0, 0));
        // All was told of as gone by itself when it was heard again.
        assert_eq!(outcome.report.cleared_by_themselves, 200);
    }
}

#[test]
fn a12b_with_half_of_the_fleet_cut_off_for_hours_nothing_is_done_then_or_later() {
    let half = 84 * 100;
    let outcome = quiet(after_an_hour((0..half).collect(), 4 * 60, Struck::Cut), 0.0);
    assert_eq!(outcome.faults as usize, half);
    assert_eq!((outcome.disruptive_acts, outcome.tickets), (0, 0), "{:?}", outcome.held);
    assert!(!outcome.parents.is_empty());
}

#[test]
fn a12c_a_rule_that_marks_a_fifth_of_the_fleet_is_named_and_nothing_is_repaired_for_it() {
    let marked = (0..84 * 200).filter(|machine| machine % 5 == 0).collect();
    let outcome = quiet(after_an_hour(marked, 3 * 60, Struck::Rule("io.stall".to_owned())), 0.0);
    assert_eq!(outcome.faults, 84 * 40);
    assert_eq!(outcome.parents, ["correlated.rule.io-stall"]);
    assert_eq!((outcome.disruptive_acts, outcome.false_repairs, outcome.tickets), (0, 0, 0));
    // Clears flow while the breaker is open, and nothing fires when it closes.
    assert_eq!(outcome.report.cleared_by_themselves, 84 * 40);
}

#[test]
fn faults_here_and_there_are_repaired_while_a_rack_is_dead() {
    let mut mix = Mix::parse(STANDARD_MIX).expect("the standard mix");
    mix.mean_time_between_faults = "500h".parse().expect("a duration");
    let dead = after_an_hour((40..80).collect(), 6 * 60, Struck::Dead);
    let options = Options { disasters: vec![dead], ..Options::new(800, 4, 2.0, 3, mix) };
    let outcome = rehearse(&options);
    assert_eq!(outcome.broken_invariants, Vec::<String>::new());
    assert!(outcome.parents.contains(&"correlated.rack.s00-r001".to_owned()), "{:?}", outcome.parents);
    assert!(0 < outcome.disruptive_acts);
    assert!(outcome.report_equals_truth);
}
