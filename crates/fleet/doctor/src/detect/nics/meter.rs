//! From echoes that are answered or not to the share that gets lost.
//!
//! In quiet times one a second is asked for. When several of the last ones are lost, a round is counted at a faster pace,
//! so that what is said rests on a thousand of them. A gateway that answers no more than so many a second is asked in
//! rounds only if it also leaves slow questions without an answer.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::rule::Sign;

/// An answer that comes later is none.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const QUIET_PACE: Duration = Duration::from_secs(1);
const ROUND_PACE: Duration = Duration::from_millis(40);
/// The last ones in quiet times, and how many of them lost begin a round.
const RECENT: usize = 20;
const RECENT_LOST_MAX: usize = 2;
/// Echoes of a round.
pub(super) const ROUND: u32 = 1000;
/// Loss of a round that is a fault, and below which there is none, in thousandths. Between them nothing is said.
const BAD_PERMILLE: u32 = 30;
const GOOD_PERMILLE: u32 = 10;
/// Beyond it the gateway is silent, which is another fault, and may be a choice of its owner.
const SILENT_PERMILLE: u32 = 990;
/// In quiet times it is said this often that all is well.
const SAID_EVERY: u32 = 5;

/// An echo that may still be answered.
struct Sent {
    sequence: u16,
    at: Instant,
    answered: bool,
}

/// A round that is counted.
#[derive(Clone, Copy, Default)]
struct Round {
    sent: u32,
    settled: u32,
    lost: u32,
}

/// The echoes to one gateway.
#[derive(Default)]
pub(super) struct Meter {
    next: u16,
    waiting: VecDeque<Sent>,
    recent: VecDeque<bool>,
    round: Option<Round>,
    ever_answered: bool,
    /// The last round found nothing: it need not be looked at for long again to say so.
    is_counted_well: bool,
    unsaid: u32,
}

impl Meter {
    /// The rest before the next question.
    pub(super) fn pace(&self) -> Duration {
        match self.round {
            Some(round) if round.sent < ROUND => ROUND_PACE,
            Some(_) | None => QUIET_PACE,
        }
    }

    /// A question is sent now, unless the last ones of a round are waited for; its number.
    pub(super) fn ask(&mut self, now: Instant) -> Option<u16> {
        if let Some(round) = &mut self.round {
            if round.sent == ROUND {
                return None;
            }
            round.sent += 1;
        }
        self.next = self.next.wrapping_add(1);
        self.waiting.push_back(Sent { sequence: self.next, at: now, answered: false });
        Some(self.next)
    }

    /// An answer came.
    pub(super) fn answered(&mut self, sequence: u16, now: Instant) {
        let sent = self.waiting.iter_mut().find(|sent| sent.sequence == sequence);
        if let Some(sent) = sent.filter(|sent| now.duration_since(sent.at) <= ANSWER_WITHIN) {
            sent.answered = true;
            self.ever_answered = true;
        }
    }

    /// What went before says nothing of what comes: the link was gone, or is another one.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.recent.clear();
        self.round = None;
        self.is_counted_well = false;
    }

    /// What can be said now, in the words for the share and the number.
    pub(super) fn look(&mut self, now: Instant) -> Option<Sign> {
        while self.waiting.front().is_some_and(|sent| sent.answered || ANSWER_WITHIN <= now - sent.at) {
            let lost = self.waiting.pop_front().is_some_and(|sent| !sent.answered);
            match &mut self.round {
                Some(round) => {
                    round.settled += 1;
                    round.lost += u32::from(lost);
                }
                None => self.slow(lost),
            }
        }
        match self.round {
            Some(round) if round.settled == ROUND => Some(self.judge(round)),
            Some(_) => None,
            None => self.quiet(),
        }
    }

    fn slow(&mut self, lost: bool) {
        self.unsaid += 1;
        self.recent.push_back(lost);
        if RECENT < self.recent.len() {
            self.recent.pop_front();
        }
    }

    fn quiet(&mut self) -> Option<Sign> {
        let lost = self.recent.iter().filter(|lost| **lost).count();
        if self.ever_answered && RECENT_LOST_MAX <= lost && lost < self.recent.len() {
            self.forget();
            self.round = Some(Round::default());
            return None;
        }
        if self.unsaid < SAID_EVERY {
            return None;
        }
        self.unsaid = 0;
        let is_enough = self.is_counted_well || self.recent.len() == RECENT;
        Some(if is_enough && lost < self.recent.len() { Sign::Good } else { Sign::Unseen })
    }

    fn judge(&mut self, round: Round) -> Sign {
        self.forget();
        let permille = round.lost * 1000 / round.settled;
        if permille < GOOD_PERMILLE {
            self.is_counted_well = true;
            return Sign::Good;
        }
        if SILENT_PERMILLE < permille {
            return Sign::Unseen;
        }
        // It is counted anew as long as it is not well.
        self.round = Some(Round::default());
        if permille < BAD_PERMILLE {
            return Sign::Unseen;
        }
        let (whole, tenth) = (permille / 10, permille % 10);
        Sign::Bad(format!("{whole}.{tenth} % of {} echoes lost", round.settled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A meter, and the time.
    struct Bench(Meter, Instant);

    fn bench() -> Bench {
        Bench(Meter::default(), Instant::now())
    }

    /// Asks for so long at the meter's own pace; which questions are answered is said by their number. What it said,
    /// without repeating itself.
    fn said(Bench(meter, now): &mut Bench, seconds: u64, answers: impl Fn(u32) -> bool) -> Vec<String> {
        let end = *now + Duration::from_secs(seconds);
        let (mut asked, mut rows) = (0, Vec::<String>::new());
        while *now < end {
            if let Some(sequence) = meter.ask(*now) {
                asked += 1;
                if answers(asked) {
                    meter.answered(sequence, *now + Duration::from_millis(1));
                }
            }
            *now += meter.pace();
            let row = match meter.look(*now) {
                None => continue,
                Some(Sign::Good) => "well".to_owned(),
                Some(Sign::Bad(text)) => text,
                Some(Sign::Unseen) => "unseen".to_owned(),
                Some(Sign::More(_)) => "more".to_owned(),
            };
            if rows.last() != Some(&row) {
                rows.push(row);
            }
        }
        rows
    }

    #[test]
    fn a8_a_share_that_gets_lost_is_told_with_percent_and_number_within_a_minute() {
        let mut meter = bench();
        assert_eq!(said(&mut meter, 60, |_| true), ["unseen", "well"]);
        assert_eq!(said(&mut meter, 60, |asked| asked % 10 < 7), ["well", "30.0 % of 1000 echoes lost"]);
        let one_in_twenty = said(&mut meter, 100, |asked| !asked.is_multiple_of(20));
        assert_eq!(
            one_in_twenty,
            ["11.8 % of 1000 echoes lost", "5.0 % of 1000 echoes lost"],
            "what was begun is brought to its end"
        );
        assert_eq!(said(&mut meter, 100, |_| true).last().unwrap(), "well");
        assert_eq!(said(&mut meter, 100, |_| true), ["well"]);
    }

    #[test]
    fn a8_a_gateway_that_never_answered_or_fell_silent_is_not_bad() {
        let mut meter = bench();
        assert_eq!(said(&mut meter, 300, |_| false), ["unseen"]);
        assert_eq!(said(&mut meter, 60, |_| true), ["well"]);
        assert_eq!(said(&mut meter, 600, |_| false), ["unseen"]);
    }

    #[test]
    fn a8_single_losses_are_none_and_a_few_are_counted_before_anything_is_said() {
        let mut meter = bench();
        assert_eq!(said(&mut meter, 600, |asked| !asked.is_multiple_of(30)), ["unseen", "well"]);
        let mut meter = bench();
        assert_eq!(said(&mut meter, 60, |_| true), ["unseen", "well"]);
        // Some lost at once, and then none: a round is counted and finds nothing.
        assert_eq!(said(&mut meter, 120, |asked| !(3..6).contains(&asked)), ["well"]);
        // Between a fault and none nothing is said.
        let few = |asked: u32| 4 < asked && !asked.is_multiple_of(50);
        assert_eq!(said(&mut meter, 300, few), ["unseen"]);
        meter.0.forget();
        assert_eq!(said(&mut meter, 15, |_| true), ["unseen"], "another link is looked at anew");
    }

    #[test]
    fn an_answer_that_is_late_or_foreign_is_none() {
        let mut meter = Meter::default();
        let now = Instant::now();
        let sequence = meter.ask(now).unwrap();
        meter.answered(sequence, now + Duration::from_millis(1001));
        meter.answered(sequence + 1, now);
        assert!(!meter.ever_answered);
        meter.answered(sequence, now + Duration::from_millis(999));
        assert!(meter.ever_answered);
    }
}
