//! From single signs to a state: suspect at the first bad sign, open after enough of them, clear after a quiet time.

use std::time::Duration;

use jiff::Timestamp;
use muster_api::problem::{EVIDENCE_KEPT, Evidence, ProblemStatus, State};
use muster_base::clock::elapsed;

/// One look at one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It is as it should be.
    Good,
    /// It is not.
    Bad(String),
    /// It could not be looked at.
    Unseen,
}

/// When a class of fault opens and clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Class of the fault.
    pub class: &'static str,
    /// Part of the machine.
    pub component: &'static str,
    /// Bad signs in a row that open it.
    pub open_after: u32,
    /// Only good signs for so long clear it.
    pub quiet: Duration,
}

/// What is made of the signs of one rule.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    pub rule: Rule,
    status: Option<ProblemStatus>,
    bad_in_a_row: u32,
    good_since: Option<Timestamp>,
}

impl Diagnosis {
    /// Begins where the filed problem, if any, stands: a restart neither clears nor reopens.
    pub fn new(rule: Rule, filed: Option<ProblemStatus>) -> Self {
        Self { rule, status: filed, bad_in_a_row: 0, good_since: None }
    }

    /// What should stand in the problem; `None` where there never was one.
    pub fn status(&self) -> Option<&ProblemStatus> {
        self.status.as_ref()
    }

    /// Takes a sign in.
    pub fn take(&mut self, sign: &Sign, boot_id: &str, now: Timestamp) {
        match sign {
            Sign::Unseen => self.good_since = None,
            Sign::Good => self.good(now),
            Sign::Bad(text) => self.bad(text, boot_id, now),
        }
    }

    fn bad(&mut self, text: &str, boot_id: &str, now: Timestamp) {
        self.good_since = None;
        self.bad_in_a_row = self.bad_in_a_row.saturating_add(1);
        let status = self.status.get_or_insert_default();
        if matches!(status.state, State::Clear | State::Unknown) || status.first_seen.is_none() {
            status.state = State::Suspect;
            status.first_seen = Some(now);
            status.opened_at = None;
            status.cleared_at = None;
            status.count = 0;
            status.evidence.clear();
        }
        status.count += 1;
        status.last_seen = Some(now);
        boot_id.clone_into(&mut status.boot_id);
        status.evidence.insert(0, Evidence { at: now, text: text.to_owned() });
        status.evidence.truncate(EVIDENCE_KEPT);
        if status.state == State::Suspect && self.rule.open_after <= self.bad_in_a_row {
            status.state = State::Open;
            status.opened_at = Some(now);
            status.episode += 1;
        }
    }

    fn good(&mut self, now: Timestamp) {
        self.bad_in_a_row = 0;
        let since = *self.good_since.get_or_insert(now);
        let Some(status) = &mut self.status else { return };
        let there = matches!(status.state, State::Open | State::Suspect | State::Unknown);
        if there && self.rule.quiet <= elapsed(since, now) {
            status.state = State::Clear;
            status.cleared_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule =
        Rule { class: "runtime.hung", component: "containerd", open_after: 3, quiet: Duration::from_secs(5) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// `b` bad, `g` good, `.` unseen, one a second; the state after each.
    fn states(diagnosis: &mut Diagnosis, signs: &str, from: i64) -> String {
        let mut states = String::new();
        for (second, sign) in signs.chars().enumerate() {
            let sign = match sign {
                'b' => Sign::Bad("no answer".into()),
                'g' => Sign::Good,
                _ => Sign::Unseen,
            };
            diagnosis.take(&sign, "boot", at(from + i64::try_from(second).unwrap()));
            states.push(match diagnosis.status().map(|status| status.state) {
                None => '-',
                Some(State::Suspect) => 'S',
                Some(State::Open) => 'O',
                Some(State::Clear) => 'C',
                Some(State::Unknown) => 'U',
            });
        }
        states
    }

    #[test]
    fn opens_after_enough_bad_signs_in_a_row_and_clears_after_the_quiet_time() {
        let mut diagnosis = Diagnosis::new(RULE, None);
        assert_eq!(states(&mut diagnosis, "ggbbbbggggggg", 0), "--SSOOOOOOOCC");
        let status = diagnosis.status().unwrap();
        assert_eq!((status.episode, status.count), (1, 4));
        assert_eq!((status.first_seen, status.opened_at), (Some(at(2)), Some(at(4))));
        assert_eq!(status.cleared_at, Some(at(11)));
    }

    #[test]
    fn single_bad_signs_never_open_and_what_was_not_seen_never_clears() {
        let mut diagnosis = Diagnosis::new(RULE, None);
        assert_eq!(states(&mut diagnosis, "bgbgbbgbbg", 0), "SSSSSSSSSS");
        let mut diagnosis = Diagnosis::new(RULE, None);
        assert_eq!(states(&mut diagnosis, "bbb....gggg.ggggg", 0), "SSOOOOOOOOOOOOOOO");
        assert_eq!(states(&mut diagnosis, "g", 17), "C");
    }

    #[test]
    fn each_opening_is_its_own_episode_with_its_own_evidence() {
        let mut diagnosis = Diagnosis::new(RULE, None);
        states(&mut diagnosis, "bbbggggggbbb", 0);
        let status = diagnosis.status().unwrap();
        assert_eq!((status.state, status.episode, status.count), (State::Open, 2, 3));
        assert_eq!((status.first_seen, status.cleared_at), (Some(at(9)), None));
    }

    #[test]
    fn a_restart_neither_clears_nor_counts_a_new_episode() {
        let mut before = Diagnosis::new(RULE, None);
        states(&mut before, "bbb", 0);
        let mut after = Diagnosis::new(RULE, before.status().cloned());
        assert_eq!(states(&mut after, "bgbbbb", 10), "OOOOOO");
        assert_eq!(after.status().unwrap().episode, 1);
    }

    #[test]
    fn evidence_is_bounded_and_newest_first() {
        let mut diagnosis = Diagnosis::new(RULE, None);
        states(&mut diagnosis, &"b".repeat(40), 0);
        let evidence = &diagnosis.status().unwrap().evidence;
        assert_eq!((evidence.len(), evidence[0].at), (EVIDENCE_KEPT, at(39)));
    }
}
