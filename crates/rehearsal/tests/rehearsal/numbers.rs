//! A13: the number that was 60 %, over faults whose truth is known.

use muster_rehearsal::{Mix, Options, Outcome, STANDARD_MIX, rehearse};

/// 400 machines for 320 days: about a thousand faults.
fn played(mix: &str, seed: u64) -> Outcome {
    let outcome = rehearse(&Options::new(400, 10, 320.0, seed, Mix::parse(mix).expect("a mix")));
    assert_eq!(outcome.broken_invariants, Vec::<String>::new());
    assert!(outcome.report_equals_truth, "{:#?}\n{:#?}", outcome.truth, outcome.report);
    assert!(800 < outcome.faults, "{} faults", outcome.faults);
    outcome
}

#[test]
fn a13_on_the_standard_mix_the_report_says_what_was_true_and_no_false_alarm_interrupts_a_machine() {
    let outcome = played(STANDARD_MIX, 1);
    assert!(outcome.false_repairs * 100 <= outcome.false_alarms, "{} false repairs", outcome.false_repairs);
    assert!(outcome.wasted_on_hands_p95 <= 1, "{} acts wasted", outcome.wasted_on_hands_p95);
    let rungs = &outcome.report.per_rung;
    let [tried, fixed] = rungs.values().fold([0; 2], |sum, line| [sum[0] + line.tried, sum[1] + line.fixed]);
    assert!(tried < fixed * 2 && rungs.values().all(|line| 0 < line.fixed), "{outcome:#?}");
}

#[test]
fn a13_where_everything_needs_hands_everything_meets_a_person() {
    let outcome = played(
        "meanTimeBetweenFaults: 3100h
bursts: {share: 0.37, window: 120s, rackAffinity: 0.7}
faults:
- {class: disk.media_error, truth: hands, share: 0.5}
- {class: machine.silent, truth: hands, share: 0.2}
- {class: nic.down, truth: hands, share: 0.2}
- {class: hardware.missing, truth: hands, share: 0.1}
",
        2,
    );
    assert_eq!(outcome.auto_repair_share, 0.0);
    assert_eq!(outcome.tickets, outcome.report.with_person);
    assert!(outcome.wasted_on_hands_p95 <= 1, "{} acts wasted", outcome.wasted_on_hands_p95);
}

#[test]
fn a13_where_everything_is_a_false_alarm_nothing_is_done() {
    let outcome = played(
        "meanTimeBetweenFaults: 3100h
faults:
- {class: machine.silent, truth: falseAlarm, share: 0.5, because: planned reboot}
- {class: nic.loss, truth: falseAlarm, share: 0.3, because: switch maintenance}
- {class: slow, truth: falseAlarm, share: 0.2, because: noisy neighbour}
",
        3,
    );
    assert_eq!((outcome.auto_repair_share, outcome.disruptive_acts, outcome.tickets), (1.0, 0, 0));
}

#[test]
fn a13_with_one_class_alone_the_share_is_that_of_its_cures() {
    let outcome = played(
        "meanTimeBetweenFaults: 3100h
faults:
- {class: runtime.hung, truth: curable, share: 1, cure: {restartService: 0.9, reboot: 0.5}}
",
        4,
    );
    // It is restarted twice, and a power cycle does what a reboot does: 1 - 0.1 × 0.1 × 0.5 × 0.5, less what comes back
    // within a week and has fewer rungs left.
    assert!((0.985..=0.9985).contains(&outcome.auto_repair_share), "{outcome:#?}");
    assert_eq!(outcome.curable_share, outcome.auto_repair_share);
}
