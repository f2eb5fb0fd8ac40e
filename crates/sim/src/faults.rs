//! What may go wrong between a component and the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;

/// What happens to watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watches {
    /// They are served.
    #[default]
    Intact,
    /// Those under way end, new ones are refused. Lists are served.
    Denied,
    /// As if denied for one kind, by its plural name; all that are under way end once.
    DeniedOf(&'static str),
}

/// How often what goes wrong, as probabilities of single requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// The request never arrives.
    pub lost_request: f64,
    /// The request is carried out, and the answer never arrives.
    pub lost_reply: f64,
    /// A replacement is answered with a conflict, as if somebody had been faster.
    pub conflict: f64,
    /// The answer takes up to eight seconds.
    pub slow: f64,
}

impl Rates {
    /// A bad day: a few percent of everything.
    pub const BAD_DAY: Self = Self { lost_request: 0.03, lost_reply: 0.03, conflict: 0.03, slow: 0.05 };
}

/// A slow answer takes so long at most.
pub(crate) const SLOW_MAX: Duration = Duration::from_secs(8);

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Through,
    LostRequest,
    LostReply,
    Conflict,
}

/// What a request is, as far as faults are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    Read,
    Watch,
    Replace,
    Write,
}

#[derive(Default)]
struct State {
    watches: Watches,
    rates: Rates,
    cut: CancellationToken,
    crash_after: Option<u64>,
}

/// The faults on the way of one component; switched while it runs.
pub struct Faults {
    dice: Dice,
    state: Mutex<State>,
    writes: AtomicU64,
    crash: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Faults {
    pub(crate) fn new(seed: u64, component: &str) -> Self {
        Self {
            dice: Dice::new(seed, component),
            state: Mutex::default(),
            writes: AtomicU64::new(0),
            crash: Mutex::default(),
        }
    }

    pub(crate) fn on_crash(&self, crash: Arc<dyn Fn() + Send + Sync>) {
        *self.crash.lock() = Some(crash);
    }

    /// Sets what happens to watches from now on.
    pub fn set_watches(&self, watches: Watches) {
        let mut state = self.state.lock();
        state.watches = watches;
        if watches != Watches::Intact {
            std::mem::take(&mut state.cut).cancel();
        }
    }

    /// Ends every watch under way once; they may be taken up again.
    pub fn cut_watches(&self) {
        std::mem::take(&mut self.state.lock().cut).cancel();
    }

    /// Sets how often what goes wrong from now on.
    pub fn set_rates(&self, rates: Rates) {
        self.state.lock().rates = rates;
    }

    /// Successful writes since the last [`Faults::crash_after`].
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Counts from here, and has the controllers die with the `writes`th successful write, before its answer arrives;
    /// `None` never.
    pub fn crash_after(&self, writes: Option<u64>) {
        self.state.lock().crash_after = writes;
        self.writes.store(0, Ordering::Relaxed);
    }

    pub(crate) fn watches(&self) -> (Watches, CancellationToken) {
        let state = self.state.lock();
        (state.watches, state.cut.clone())
    }

    pub(crate) fn throw(&self, traffic: Traffic) -> (Fate, Duration) {
        let rates = self.state.lock().rates;
        let slow = self.dice.happens(rates.slow);
        let delay = if slow { self.dice.between(Duration::ZERO, SLOW_MAX) } else { Duration::ZERO };
        let fate = if self.dice.happens(rates.lost_request) {
            Fate::LostRequest
        } else if traffic != Traffic::Watch && self.dice.happens(rates.lost_reply) {
            Fate::LostReply
        } else if traffic == Traffic::Replace && self.dice.happens(rates.conflict) {
            Fate::Conflict
        } else {
            Fate::Through
        };
        (fate, delay)
    }

    /// Counts a write that took effect; true if its writer is dead by now.
    pub(crate) fn wrote(&self) -> bool {
        let count = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        let mut state = self.state.lock();
        if state.crash_after != Some(count) {
            return false;
        }
        state.crash_after = None;
        drop(state);
        let crash = self.crash.lock().clone();
        match crash {
            Some(crash) => {
                crash();
                true
            }
            None => false,
        }
    }
}
