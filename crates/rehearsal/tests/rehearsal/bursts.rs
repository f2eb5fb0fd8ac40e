//! A true burst of one class in a small site: the breaker is half open once it has not grown for half an hour.

use std::time::Duration;

use muster_api::GoDuration;
use muster_api::repair::RungAction;
use muster_rehearsal::{Disaster, Mix, Options, Outcome, STANDARD_MIX, Struck, rehearse};

const HOUR: Duration = Duration::from_secs(3600);
const CLASS: &str = "io.stall";

/// 84 sites of twelve machines; those of one all stall at once, and a power cycle cures them with that probability.
fn burst(rack: usize, cure: f64, crashes: f64) -> Outcome {
    let mut mix = Mix::parse(STANDARD_MIX).expect("the standard mix");
    mix.mean_time_between_faults = GoDuration(Duration::from_secs(1_000_000_000_000));
    let row = mix.faults.iter_mut().find(|row| row.class == CLASS).expect("it is of the mix");
    row.cure = [(RungAction::PowerCycle, cure)].into();
    let struck = Disaster {
        after: HOUR,
        machines: (600..612).collect(),
        lasts: 1000 * HOUR,
        what: Struck::Fault(CLASS.to_owned()),
    };
    let disasters = vec![struck];
    let outcome = rehearse(&Options { rack, crashes, disasters, ..Options::new(84 * 12, 84, 2.0, 11, mix) });
    assert_eq!(outcome.broken_invariants, Vec::<String>::new());
    assert_eq!(outcome.faults, 12);
    outcome
}

#[test]
fn a_true_burst_in_a_small_site_ends_without_a_person() {
    for crashes in [0.0, 0.05] {
        for (rack, parent) in [(4, "correlated.site.s50"), (40, "correlated.rack.s50-r015")] {
            let outcome = burst(rack, 1.0, crashes);
            assert_eq!(outcome.parents, [parent]);
            assert_eq!(
                (outcome.tickets, outcome.report.closed_without_person),
                (0, 12),
                "{:?}",
                outcome.held
            );
            assert_eq!(outcome.disruptive_acts, 12, "each was power-cycled once");
        }
    }
}

#[test]
fn a_burst_that_no_repair_cures_costs_one_machine_one_act() {
    for crashes in [0.0, 0.05] {
        let outcome = burst(4, 0.0, crashes);
        assert_eq!((outcome.disruptive_acts, outcome.report.closed_without_person), (1, 0));
        assert_eq!(outcome.tickets, 0, "none of its machines has a ticket of its own");
    }
}
