//! From single signs to a state: suspect at the first bad sign, open after enough of them, clear after a quiet time.
//!
//! Several rules may speak of one fault of one part: any of them opens it, and all that spoke must be quiet to clear it.

pub(crate) mod cases;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_api::problem::{EVIDENCE_KEPT, Evidence, ProblemStatus, State};
use muster_base::clock::elapsed;

use crate::rule::{Opens, Rule, Sign};

/// More openings than this within the window, and it comes and goes.
const OPENINGS_MAX: usize = 3;
const OPENINGS_WINDOW: Duration = Duration::from_secs(3600);
/// What comes and goes must be quiet so many times longer, and so long at least.
const FLAPPING_QUIET_TIMES: u32 = 10;
const FLAPPING_QUIET_MIN: Duration = Duration::from_secs(600);

/// The moment of a sign.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time.
    pub now: Timestamp,
    /// Boot in which it is seen.
    pub boot_id: &'a str,
    /// Planned maintenance: signs count, and open nothing.
    pub held: bool,
}

/// What one rule heard.
#[derive(Clone, Debug)]
struct Voice {
    rule: Arc<Rule>,
    /// It said something bad in this episode.
    spoke: bool,
    bad_in_a_row: u32,
    recent: VecDeque<Timestamp>,
    good_since: Option<Timestamp>,
    unseen_since: Option<Timestamp>,
}

impl Voice {
    fn new(rule: Arc<Rule>, spoke: bool) -> Self {
        let recent = VecDeque::new();
        Self { rule, spoke, bad_in_a_row: 0, recent, good_since: None, unseen_since: None }
    }

    fn bad(&mut self, times: u64, now: Timestamp) {
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        self.spoke = true;
        (self.good_since, self.unseen_since) = (None, None);
        self.bad_in_a_row = self.bad_in_a_row.saturating_add(times);
        if let Opens::Within { count, .. } = self.rule.opens {
            self.recent.extend((0..times.min(count)).map(|_| now));
            while self.recent.len() > usize::try_from(count).unwrap_or(usize::MAX) {
                self.recent.pop_front();
            }
        }
    }

    fn good(&mut self, now: Timestamp) {
        self.bad_in_a_row = 0;
        self.unseen_since = None;
        self.good_since.get_or_insert(now);
    }

    fn unseen(&mut self, now: Timestamp) {
        self.good_since = None;
        self.unseen_since.get_or_insert(now);
    }

    fn opens(&mut self, now: Timestamp) -> bool {
        match self.rule.opens {
            Opens::InARow(wanted) => wanted <= self.bad_in_a_row,
            Opens::Within { count, window } => {
                self.recent.retain(|at| elapsed(*at, now) <= window);
                usize::try_from(count).is_ok_and(|count| count <= self.recent.len())
            }
        }
    }
}

/// What is made of the signs of one fault of one part.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    status: Option<ProblemStatus>,
    voices: Vec<Voice>,
    openings: VecDeque<Timestamp>,
}

impl Diagnosis {
    /// Begins where the filed problem stands: a restart neither clears nor reopens. `rule` is the one that had found it.
    pub fn filed(rule: Arc<Rule>, filed: ProblemStatus) -> Self {
        let openings = filed.opened_at.into_iter().collect();
        Self { status: Some(filed), voices: vec![Voice::new(rule, true)], openings }
    }

    /// What should stand in the problem; `None` where there never was one.
    pub fn status(&self) -> Option<&ProblemStatus> {
        self.status.as_ref()
    }

    /// Whether anything of it may still change by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.status.as_ref().is_none_or(|status| status.state == State::Clear)
    }

    /// Whether a rule of that detector ever spoke of it.
    pub(crate) fn heard_of(&self, source: &str) -> impl Iterator<Item = &Arc<Rule>> {
        self.voices.iter().map(|voice| &voice.rule).filter(move |rule| rule.source == source)
    }

    /// Since when nobody who found it can look at it.
    pub(crate) fn unseen_since(&self) -> Option<Timestamp> {
        let spoke = || self.voices.iter().filter(|voice| voice.spoke);
        if spoke().any(|voice| voice.unseen_since.is_none()) {
            return None;
        }
        spoke().filter_map(|voice| voice.unseen_since).max()
    }

    /// Takes a sign in; whether the state changed by it.
    pub fn take(&mut self, rule: &Arc<Rule>, sign: &Sign, moment: Moment<'_>) -> bool {
        let before = self.status.as_ref().map(|status| (status.state, status.episode));
        match sign {
            Sign::Bad(text) => self.bad(rule, 1, Some(text), moment),
            Sign::More(times) => self.bad(rule, *times, None, moment),
            Sign::Good => self.good(rule, moment.now),
            Sign::Unseen => {
                if let Some(voice) = self.voice(rule) {
                    voice.unseen(moment.now);
                }
            }
        }
        before != self.status.as_ref().map(|status| (status.state, status.episode))
    }

    fn voice(&mut self, rule: &Arc<Rule>) -> Option<&mut Voice> {
        self.voices.iter_mut().find(|voice| voice.rule.name == rule.name)
    }

    fn bad(&mut self, rule: &Arc<Rule>, times: u64, text: Option<&String>, moment: Moment<'_>) {
        let now = moment.now;
        if self.voice(rule).is_none() {
            self.voices.push(Voice::new(Arc::clone(rule), false));
        }
        let enough = self.voice(rule).is_some_and(|voice| {
            voice.bad(times, now);
            voice.opens(now)
        });
        self.openings.retain(|at| elapsed(*at, now) <= OPENINGS_WINDOW);
        let comes_and_goes = OPENINGS_MAX <= self.openings.len();
        let status = self.status.get_or_insert_default();
        if status.state == State::Clear || status.first_seen.is_none() {
            begin(status, now);
        } else if status.state == State::Unknown {
            // It was never seen to be gone.
            status.state = if status.opened_at.is_some() { State::Open } else { State::Suspect };
        }
        status.count = status.count.saturating_add(times);
        status.last_seen = Some(now);
        moment.boot_id.clone_into(&mut status.boot_id);
        match text {
            Some(text) => {
                status.evidence.insert(0, Evidence { at: now, text: text.clone() });
                status.evidence.truncate(EVIDENCE_KEPT);
                status.rule.clone_from(&rule.name);
            }
            None => status.suppressed = status.suppressed.saturating_add(times),
        }
        if status.state == State::Suspect && enough && !moment.held {
            status.state = State::Open;
            status.opened_at = Some(now);
            status.episode += 1;
            status.flapping = comes_and_goes;
            self.openings.push_back(now);
        }
    }

    fn good(&mut self, rule: &Arc<Rule>, now: Timestamp) {
        let Some(voice) = self.voice(rule) else { return };
        voice.good(now);
        let Some(status) = &mut self.status else { return };
        if status.state == State::Clear {
            return;
        }
        let quiet = |voice: &Voice| {
            let wanted = if status.flapping {
                (voice.rule.quiet * FLAPPING_QUIET_TIMES).max(FLAPPING_QUIET_MIN)
            } else {
                voice.rule.quiet
            };
            voice.good_since.is_some_and(|since| wanted <= elapsed(since, now))
        };
        if self.voices.iter().filter(|voice| voice.spoke).all(quiet) {
            status.state = State::Clear;
            status.cleared_at = Some(now);
            for voice in &mut self.voices {
                *voice = Voice::new(Arc::clone(&voice.rule), false);
            }
        }
    }
}

/// A new episode, of which only bad signs are known yet.
fn begin(status: &mut ProblemStatus, now: Timestamp) {
    let episode = status.episode;
    *status = ProblemStatus {
        episode,
        first_seen: Some(now),
        conditions: std::mem::take(&mut status.conditions),
        parent: std::mem::take(&mut status.parent),
        ..ProblemStatus::default()
    };
}

#[cfg(test)]
mod tests;
