//! What nothing may break, whatever happens.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::Order;
use muster_api::disruption::DisruptionPhase;
use muster_api::machine::Phase;
use muster_api::problem::State;
use muster_base::clock::elapsed;

use crate::hands;
use crate::store::Store;

/// Kept of one kind of breach.
const KEPT: usize = 20;
/// A cause that has been gone for so long is an old one: what was under way by then has ended.
const OLD: Duration = Duration::from_secs(900);

/// What was broken.
#[derive(Default)]
pub(super) struct Judge {
    obeyed: HashSet<String>,
    pub(super) disruptive: u64,
    pub(super) broken: Vec<String>,
    looked: Option<Timestamp>,
}

impl Judge {
    fn breaks(&mut self, text: String) {
        if self.broken.len() < KEPT {
            self.broken.push(text);
        }
    }

    /// Right before an order is obeyed.
    pub(super) fn obeys(&mut self, store: &Store, order: &Order, now: Timestamp) {
        let name = order.name_any();
        if !self.obeyed.insert(name.clone()) {
            self.breaks(format!("order {name} was obeyed twice at {now}"));
        }
        let Some(action) = hands::act(order.spec.verb) else { return };
        let number = store.number(&order.spec.machine);
        let machine = &store.machines[number];
        let phase = machine.status.as_ref().map(|status| status.phase).unwrap_or_default();
        if phase != Phase::Disrupted {
            let (machine, phase) = (&order.spec.machine, phase.as_str());
            self.breaks(format!("{} of {machine} while it was {phase} at {now}", action.as_str()));
        }
        let granted = store.requests.iter().any(|request| {
            let status = request.status.as_ref().map(|status| status.phase);
            request.spec.run == order.spec.run && status == Some(DisruptionPhase::Granted)
        });
        if !granted {
            self.breaks(format!("{} of {} without a grant at {now}", action.as_str(), order.spec.machine));
        }
        let allowed = store.requests.iter().any(|request| {
            let status = request.status.as_ref().map(|status| status.phase);
            let same = request.spec.run == order.spec.run && request.spec.act == order.spec.verb.destroys();
            same && status == Some(DisruptionPhase::Granted)
        });
        if order.spec.verb.destroys().is_some() && !allowed {
            self.breaks(format!("{} of {} without leave to destroy", action.as_str(), order.spec.machine));
        }
        let problem = store.runs.get(&order.spec.run).map(|run| run.spec.problem.clone()).unwrap_or_default();
        let stale = store.problem(number, &problem).and_then(|problem| {
            let status = problem.status.as_ref()?;
            status.cleared_at.filter(|at| status.state == State::Clear && OLD < elapsed(*at, now))
        });
        if let Some(cleared) = stale {
            let machine = &order.spec.machine;
            self.breaks(format!("{} of {machine} at {now}, cleared at {cleared}", action.as_str()));
        }
    }

    /// At rest. No domain has more machines under grants than it may; looked at whenever a minute has passed.
    pub(super) fn look(&mut self, store: &Store, now: Timestamp) {
        if self.looked.is_some_and(|looked| elapsed(looked, now) < Duration::from_secs(60)) {
            return;
        }
        self.looked = Some(now);
        for request in &store.requests {
            let Some(status) = request.status.as_ref().filter(|s| s.phase == DisruptionPhase::Granted) else {
                continue;
            };
            let machine = &store.machines[store.number(&request.spec.machine)];
            let here = |other: &&muster_api::Disruption| {
                let granted = other.status.as_ref().map(|status| status.phase);
                let place = &store.machines[store.number(&other.spec.machine)].spec;
                let disturbs = other.spec.act.is_none() && granted == Some(DisruptionPhase::Granted);
                disturbs && place.rack == machine.spec.rack
            };
            let racked = store.machines.iter().filter(|other| other.spec.rack == machine.spec.rack).count();
            let granted = store.requests.iter().filter(here).count();
            // One in twenty of a rack, at least one: what holds where no budget speaks.
            if (racked / 20).max(1) < granted {
                let rack = &machine.spec.rack;
                self.breaks(format!("{granted} of {racked} machines of rack {rack} under grants at {now}"));
            }
            let end = status.ends_at.unwrap_or(request.spec.until);
            if Duration::from_secs(60) < elapsed(end, now) {
                let name = request.name_any();
                self.breaks(format!("grant {name} outlives its end, {end}, at {now}"));
            }
        }
    }

    /// When all is over: nothing is left lying.
    pub(super) fn close(&mut self, store: &Store) {
        let at = |run: &muster_api::Run| {
            let steps = run.status.iter().flat_map(|status| &status.steps);
            let last = steps.rev().find(|step| step.started_at.is_some());
            last.map(|step| format!("{}: {}", step.step.name, step.message)).unwrap_or_default()
        };
        let open: Vec<String> = store
            .runs
            .values()
            .filter(|run| !run.status.as_ref().is_some_and(|status| status.phase.is_final()))
            .map(|run| format!("{} has no end, at {}", run.name_any(), at(run)))
            .collect();
        for run in open {
            self.breaks(format!("run {run}"));
        }
    }
}
