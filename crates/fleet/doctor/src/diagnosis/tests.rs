use super::*;

fn rule() -> Arc<Rule> {
    Rule::level("agent", "runtime-hung", "runtime.hung", 3, 5)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn sign(letter: char) -> Sign {
    match letter {
        'b' | 'h' => Sign::Bad("no answer".into()),
        'm' => Sign::More(1000),
        'g' => Sign::Good,
        _ => Sign::Unseen,
    }
}

fn state(diagnosis: &Diagnosis) -> char {
    match diagnosis.status().map(|status| status.state) {
        None => '-',
        Some(State::Suspect) => 'S',
        Some(State::Open) => 'O',
        Some(State::Clear) => 'C',
        Some(State::Unknown) => 'U',
    }
}

/// `b` bad, `h` bad while held, `m` more of the same, `g` good, `.` unseen, one a second; the state after each.
fn states_of(rule: &Arc<Rule>, diagnosis: &mut Diagnosis, signs: &str, from: i64) -> String {
    let signs = signs.chars().enumerate();
    let after = signs.map(|(second, letter)| {
        let now = at(from + i64::try_from(second).unwrap());
        diagnosis.take(rule, &sign(letter), Moment { now, boot_id: "boot", held: letter == 'h' });
        state(diagnosis)
    });
    after.collect()
}

fn states(diagnosis: &mut Diagnosis, signs: &str, from: i64) -> String {
    states_of(&rule(), diagnosis, signs, from)
}

#[test]
fn opens_after_enough_bad_signs_in_a_row_and_clears_after_the_quiet_time() {
    let mut diagnosis = Diagnosis::default();
    assert_eq!(states(&mut diagnosis, "ggbbbbggggggg", 0), "--SSOOOOOOOCC");
    let status = diagnosis.status().unwrap();
    assert_eq!((status.episode, status.count), (1, 4));
    assert_eq!((status.first_seen, status.opened_at), (Some(at(2)), Some(at(4))));
    assert_eq!((status.cleared_at, status.rule.as_str()), (Some(at(11)), "runtime-hung"));
}

#[test]
fn single_bad_signs_never_open_and_what_was_not_seen_never_clears() {
    let mut diagnosis = Diagnosis::default();
    assert_eq!(states(&mut diagnosis, "bgbgbbgbbg", 0), "SSSSSSSSSS");
    let mut diagnosis = Diagnosis::default();
    assert_eq!(states(&mut diagnosis, "bbb....gggg.ggggg", 0), "SSOOOOOOOOOOOOOOO");
    assert_eq!(states(&mut diagnosis, "g", 17), "C");
}

#[test]
fn each_opening_is_its_own_episode_with_its_own_evidence() {
    let mut diagnosis = Diagnosis::default();
    states(&mut diagnosis, "bbbggggggbbb", 0);
    let status = diagnosis.status().unwrap();
    assert_eq!((status.state, status.episode, status.count), (State::Open, 2, 3));
    assert_eq!((status.first_seen, status.cleared_at), (Some(at(9)), None));
}

#[test]
fn a_restart_neither_clears_nor_counts_a_new_episode() {
    let mut before = Diagnosis::default();
    states(&mut before, "bbb", 0);
    let mut after = Diagnosis::filed(rule(), before.status().cloned().unwrap());
    assert_eq!(states(&mut after, "bgbbbb", 10), "OOOOOO");
    assert_eq!(after.status().unwrap().episode, 1);
    let mut after = Diagnosis::filed(rule(), before.status().cloned().unwrap());
    assert_eq!(states(&mut after, "....gggggg", 20), "OOOOOOOOOC");
}

#[test]
fn evidence_is_bounded_and_newest_first_and_what_came_too_fast_is_counted() {
    let mut diagnosis = Diagnosis::default();
    states(&mut diagnosis, &"b".repeat(40), 0);
    states(&mut diagnosis, "mm", 40);
    let status = diagnosis.status().unwrap();
    assert_eq!((status.evidence.len(), status.evidence[0].at), (EVIDENCE_KEPT, at(39)));
    assert_eq!((status.count, status.suppressed), (2040, 2000));
}

#[test]
fn what_is_told_only_when_it_is_bad_opens_by_its_number_in_a_window() {
    let window = Duration::from_secs(10);
    let oom = Rule { opens: Opens::Within { count: 3, window }, ..(*rule()).clone() };
    let oom = Arc::new(oom);
    let mut diagnosis = Diagnosis::default();
    assert_eq!(states_of(&oom, &mut diagnosis, "bg.b.b", 0), "SSSSSO");
    let mut diagnosis = Diagnosis::default();
    assert_eq!(states_of(&oom, &mut diagnosis, "b....b.....b.....b", 0), "S".repeat(18));
    assert_eq!(states_of(&oom, &mut diagnosis, "m", 18), "O");
}

#[test]
fn all_rules_that_spoke_must_be_quiet() {
    let (mounts, log) = (
        Rule::level("mounts", "fs-readonly", "fs.readonly", 1, 2),
        Rule::level("log", "ext4", "fs.readonly", 1, 4),
    );
    let mut diagnosis = Diagnosis::default();
    assert_eq!(states_of(&log, &mut diagnosis, "b", 0), "O");
    assert_eq!(states_of(&mounts, &mut diagnosis, "gggggg", 1), "OOOOOO", "it did not find it");
    assert_eq!(states_of(&mounts, &mut diagnosis, "b", 7), "O");
    assert_eq!(states_of(&log, &mut diagnosis, "gggggg", 8), "OOOOOO");
    assert_eq!(states_of(&mounts, &mut diagnosis, "ggg", 14), "OOC");
    assert_eq!(diagnosis.status().unwrap().episode, 1);
}

#[test]
fn in_planned_maintenance_signs_count_and_open_nothing_but_an_open_one_stays_and_clears() {
    let mut diagnosis = Diagnosis::default();
    assert_eq!(states(&mut diagnosis, "hhhhhb", 0), "SSSSSO");
    assert_eq!(diagnosis.status().unwrap().count, 6);
    assert_eq!(states(&mut diagnosis, "hhgggggg", 6), "OOOOOOOC");
}

#[test]
fn a2_what_comes_and_goes_is_one_record_marked_so_that_clears_only_after_a_long_quiet_time() {
    let mut diagnosis = Diagnosis::default();
    for flap in 0..20 {
        states(&mut diagnosis, "bbbbggggggg", flap * 11);
    }
    let status = diagnosis.status().unwrap();
    assert_eq!((status.state, status.episode, status.flapping), (State::Open, 4, true));
    assert_eq!(states(&mut diagnosis, &"g".repeat(585), 220), "O".repeat(585));
    assert_eq!(states(&mut diagnosis, &"g".repeat(15), 805).chars().last(), Some('C'));
    assert_eq!(states(&mut diagnosis, "bbb", 3600 + 820), "SSO");
    assert!(!diagnosis.status().unwrap().flapping, "an hour later it is news again");
}

#[test]
fn what_nobody_sees_any_more_is_told_apart_from_what_is_quiet() {
    let mut diagnosis = Diagnosis::default();
    states(&mut diagnosis, "bbb", 0);
    assert_eq!(diagnosis.unseen_since(), None);
    states(&mut diagnosis, "g...", 3);
    assert_eq!(diagnosis.unseen_since(), Some(at(4)));
    states(&mut diagnosis, "b", 7);
    assert_eq!(diagnosis.unseen_since(), None);
}

#[test]
fn what_became_unknown_goes_on_in_its_episode() {
    let mut before = Diagnosis::default();
    states(&mut before, "bbb", 0);
    let unknown = ProblemStatus { state: State::Unknown, ..before.status().unwrap().clone() };
    let mut after = Diagnosis::filed(rule(), unknown);
    assert_eq!(states(&mut after, "b", 100), "O");
    let status = after.status().unwrap();
    assert_eq!((status.episode, status.opened_at), (1, Some(at(2))));
}
