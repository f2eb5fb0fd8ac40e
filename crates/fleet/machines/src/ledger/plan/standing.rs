//! Whether a machine serves, as far as budgets are concerned.

use muster_api::Machine;
use muster_api::machine::{MachineStatus, Phase};

/// What a machine is to the budgets of its failure domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not in service yet, or no more: counted on neither side.
    Outside,
    /// It serves.
    Up,
    /// It should serve and does not.
    Down,
}

/// A newcomer takes nothing from service, whatever becomes of it; where its story is not known it counts as down.
pub(crate) fn standing(machine: &Machine) -> Standing {
    let Some(status) = &machine.status else { return Standing::Outside };
    match status.phase {
        Phase::Retired => Standing::Outside,
        Phase::Healthy => Standing::Up,
        Phase::Registered | Phase::Inspecting | Phase::Provisioning => {
            if has_served(status) {
                Standing::Down
            } else {
                Standing::Outside
            }
        }
        Phase::Probation | Phase::Disrupted | Phase::Failed | Phase::Quarantined => {
            let whole_story = status.transitions.first().is_some_and(|first| first.from.is_none());
            if whole_story && !has_served(status) { Standing::Outside } else { Standing::Down }
        }
    }
}

fn has_served(status: &MachineStatus) -> bool {
    status.transitions.iter().any(|transition| matches!(transition.to, Phase::Healthy | Phase::Disrupted))
}
