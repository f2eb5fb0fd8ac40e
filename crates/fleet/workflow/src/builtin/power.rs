//! Switching a machine by its management controller, for a person who asks.
//!
//! A machine that serves is taken out of service under a grant first, and proves itself before it serves again. One that
//! does not serve needs none: those are the `-idle` ones, which the controller's actor refuses for a machine that serves.

use muster_api::Workflow;
use muster_api::order::Verb;
use muster_api::workflow::{Action, Step, WorkflowPurpose, WorkflowSpec};

use super::{order, probation, step};

/// Name of the workflow that turns a machine on.
pub const ON: &str = "power-on";
/// Name of the workflow that turns a machine off and leaves it out of service.
pub const OFF: &str = "power-off";
/// Name of the workflow that turns a machine off and on and returns it to service.
pub const CYCLE: &str = "power-cycle";
/// Name of the workflow that resets a machine and returns it to service.
pub const RESET: &str = "power-reset";

/// The name of the workflow that does the same to a machine that does not serve.
pub fn idle(workflow: &str) -> String {
    if workflow == ON { workflow.to_owned() } else { format!("{workflow}-idle") }
}

fn workflow(name: &str, steps: Vec<Step>, finally: Vec<Step>) -> Workflow {
    let spec = WorkflowSpec { purpose: WorkflowPurpose::Repair, steps, finally, ..WorkflowSpec::default() };
    Workflow::new(name, spec)
}

/// A person repeats what failed; what nobody can tell is not repeated by anyone.
fn act(verb: Verb) -> Step {
    order("power", verb, None, 120, 1)
}

fn out_of_service(verb: Verb) -> Vec<Step> {
    vec![step("grant", Action::Disrupt, 3600), step("cordon", Action::Cordon, 60), act(verb)]
}

fn and_back(name: &str, verb: Verb) -> Workflow {
    let mut steps = out_of_service(verb);
    steps.extend([probation(), step("uncordon", Action::Uncordon, 60), step("healthy", Action::Healthy, 60)]);
    workflow(name, steps, vec![step("release", Action::Release, 60)])
}

/// All of them.
pub fn all() -> Vec<Workflow> {
    let idle_one = |name: &str, verb| workflow(&idle(name), vec![act(verb)], Vec::new());
    vec![
        workflow(ON, vec![act(Verb::PowerOn)], Vec::new()),
        workflow(OFF, out_of_service(Verb::PowerOff), vec![step("release", Action::Release, 60)]),
        and_back(CYCLE, Verb::PowerCycle),
        and_back(RESET, Verb::Reset),
        idle_one(OFF, Verb::PowerOff),
        idle_one(CYCLE, Verb::PowerCycle),
        idle_one(RESET, Verb::Reset),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_takes_power_away_has_a_grant_before_it_or_is_for_idle_machines() {
        for workflow in all() {
            let name = workflow.metadata.name.unwrap();
            crate::template::check(&workflow.spec).unwrap();
            let first = workflow.spec.steps[0].action;
            assert!(first == Action::Disrupt || name == ON || name.ends_with("-idle"), "{name}");
            let released = workflow.spec.finally.iter().any(|step| step.action == Action::Release);
            assert_eq!(first == Action::Disrupt, released, "{name}");
        }
    }
}
