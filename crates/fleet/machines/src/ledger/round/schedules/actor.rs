//! A run as far as the ledger sees one: it asks last whether it may, begins within half a second or asks again, and ends.

use kube::ResourceExt as _;
use muster_api::disruption::DisruptionPhase;
use muster_api::machine::Phase;
use muster_api::workflow::RunPhase;
use muster_brake::{ASKED_WITHIN, Act, holds};

use super::Chance;
use super::store::Shared;
use crate::ledger::plan;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    /// It was told at that time that it may begin.
    May(jiff::Timestamp),
    Disturbs,
    /// The machine is settled; the grant is still to be given back.
    Settled,
    Over,
}

pub(super) struct Actor {
    request: String,
    machine: String,
    has_run: bool,
    state: State,
}

impl Actor {
    pub(super) fn new(request: &str, machine: &str, has_run: bool) -> Self {
        Self { request: request.to_owned(), machine: machine.to_owned(), has_run, state: State::Waits }
    }

    pub(super) fn step(&mut self, store: &Shared, chance: &mut Chance) {
        self.state = match self.state {
            // Dies, or is gone altogether, without a word to the ledger.
            State::Waits | State::Disturbs if self.has_run && !store.calm() && chance.one_in(25) => {
                if chance.one_in(2) {
                    store.remove_run(&self.request);
                } else {
                    store.end_run(&self.request, RunPhase::Failed);
                }
                State::Over
            }
            State::Waits => self.asks(store),
            State::May(at) => self.begins(store, at),
            State::Disturbs => {
                let phase = if !store.calm() && chance.one_in(5) { Phase::Failed } else { Phase::Healthy };
                store.change_phase(&self.machine, phase);
                State::Settled
            }
            State::Settled => {
                store.give_back(&self.request);
                State::Over
            }
            State::Over => {
                store.end_run(&self.request, RunPhase::Succeeded);
                State::Over
            }
        };
    }

    /// The last look: everything is read at this moment, as [`muster_brake::Brake`] and the workflow manager do.
    fn asks(&self, store: &Shared) -> State {
        let Some(request) = store.request(&self.request) else { return State::Over };
        let status = request.status.clone().unwrap_or_default();
        match status.phase {
            DisruptionPhase::Denied | DisruptionPhase::Released => State::Over,
            DisruptionPhase::Waiting => State::Waits,
            DisruptionPhase::Granted => {
                let machine = store.machine(&self.machine);
                let now = store.now();
                let held = holds(machine.as_ref(), store.pauses(), now).on(Act::Disrupts).is_some();
                let margin = now.checked_add(jiff::SignedDuration::from_secs(5)).unwrap();
                let ends = plan::end(&request, now) <= margin;
                if held || status.held_since.is_some() || ends { State::Waits } else { State::May(now) }
            }
        }
    }

    fn begins(&self, store: &Shared, asked: jiff::Timestamp) -> State {
        let now = store.now();
        if ASKED_WITHIN < muster_base::clock::elapsed(asked, now) {
            return State::Waits;
        }
        let Some(machine) = store.machine(&self.machine) else { return State::Over };
        store.judge().begins(&machine.name_any(), &machine.spec.site, now);
        store.change_phase(&self.machine, Phase::Disrupted);
        State::Disturbs
    }
}
