//! What budgets and pauses show.

use kube::ResourceExt as _;
use muster_api::Condition;
use muster_api::budget::DisruptionBudgetStatus;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::pause::{Pause, PauseStatus};

use super::Plan;
use super::desk::Desk;

impl Desk<'_> {
    /// Ends the planning.
    pub(super) fn close(mut self) -> Plan {
        for (budget, limit) in self.world.budgets.iter().zip(&self.limits) {
            let in_use = self.board.tallies.get(limit.domain).map_or(0, |tally| tally.down);
            let status = DisruptionBudgetStatus { allows: limit.max, in_use, waiting: limit.waiting };
            if budget.status.as_ref() != Some(&status) {
                self.plan.budgets.push((budget.name_any(), status));
            }
            let freezes = budget.spec.freeze.iter().flat_map(|freeze| [freeze.from, freeze.to]);
            let approval = budget.spec.destruction.iter().map(|approval| approval.until);
            let soonest = freezes.chain(approval).filter(|at| self.world.now < *at).min();
            if 0 < limit.waiting {
                self.plan.look_again_at = [self.plan.look_again_at, soonest].into_iter().flatten().min();
            }
        }
        for pause in self.world.pauses {
            let status = self.status_of(pause);
            if pause.status.as_ref() != Some(&status) {
                self.plan.pauses.push((pause.name_any(), status));
            }
        }
        self.plan
    }

    fn status_of(&self, pause: &Pause) -> PauseStatus {
        let (held, waiting) =
            self.paused.get(&format!("Pause/{}", pause.name_any())).copied().unwrap_or_default();
        let old = pause.status.clone().unwrap_or_default();
        let mut conditions = old.conditions;
        let unknown = pause.spec.site.as_ref().filter(|site| !self.world.sites.contains(*site));
        let (status, reason, message) = match unknown {
            Some(site) => (
                Status::False,
                "UnknownSite",
                format!("spec.site: there is no Site {site:?}; nothing is held until there is"),
            ),
            None => (Status::True, "Heeded", "nothing disruptive begins where it holds".to_owned()),
        };
        let accepted = Condition {
            r#type: ACCEPTED.to_owned(),
            status,
            reason: reason.to_owned(),
            message,
            last_transition_time: self.world.now,
            observed_generation: pause.metadata.generation,
        };
        condition::set(&mut conditions, accepted);
        PauseStatus { heeded_at: old.heeded_at.or(Some(self.world.now)), held, waiting, conditions }
    }
}
