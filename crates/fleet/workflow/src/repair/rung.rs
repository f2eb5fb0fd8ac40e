//! A workflow as a rung of a repair policy runs it: confirmed first where the policy wants that, verified by the
//! policy's own expression after probation, and over by the rung's deadline.

use jiff::Timestamp;
use muster_api::GoDuration;
use muster_api::repair::RepairRef;
use muster_api::workflow::{Action, RunStatus, Step, StepStatus, WorkflowSpec};
use std::time::Duration;

/// Name of the step in which a person confirms.
pub(crate) const CONFIRMED: &str = "confirmed";
/// Name of the step that verifies.
pub(crate) const VERIFIED: &str = "verified";
/// How long a person may take to confirm.
const CONFIRM_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// How long what is verified may take to hold.
const VERIFY_WITHIN: Duration = Duration::from_secs(300);

/// The workflow with the steps that the rung adds.
pub(crate) fn adapted(workflow: &WorkflowSpec, rung: Option<&RepairRef>) -> WorkflowSpec {
    let mut spec = workflow.clone();
    let Some(rung) = rung else { return spec };
    if !rung.verify.is_empty() {
        verify(&mut spec.steps, &rung.verify);
    }
    if rung.confirm {
        for step in spec.steps.iter_mut().filter(|step| step.after.as_ref().is_some_and(Vec::is_empty)) {
            step.after = Some(vec![CONFIRMED.to_owned()]);
        }
        spec.steps.insert(0, Step::new(CONFIRMED, Action::Approve, GoDuration(CONFIRM_WITHIN)));
    }
    spec
}

/// After probation; at the end where there is none.
fn verify(steps: &mut Vec<Step>, expression: &str) {
    let mut step = Step::new(VERIFIED, Action::Wait, GoDuration(VERIFY_WITHIN));
    expression.clone_into(&mut step.expression);
    let Some(place) = steps.iter().rposition(|step| step.action == Action::Probation) else {
        steps.push(step);
        return;
    };
    let probation = steps[place].name.clone();
    for later in steps.iter_mut().skip(place + 1) {
        if later.after.as_ref().is_some_and(|after| after.contains(&probation)) {
            later.after.get_or_insert_default().push(VERIFIED.to_owned());
        }
    }
    step.after = Some(vec![probation]);
    steps.insert(place + 1, step);
}

/// When the rung must be over: its deadline from the grant, and from the begin where it needs none. The time a grant
/// takes is not its own.
pub(crate) fn deadline(rung: &RepairRef, status: &RunStatus, steps: &[StepStatus]) -> Option<Timestamp> {
    let leave = steps.iter().find(|step| step.step.action == Action::Disrupt);
    let from = match leave {
        Some(leave) => leave.ended_at?,
        None => status.started_at?,
    };
    from.checked_add(rung.deadline.0).ok()
}

#[cfg(test)]
mod tests {
    use muster_api::repair::RungAction;

    use super::*;
    use crate::builtin::repairs;

    fn rung(confirm: bool, verify: &str) -> RepairRef {
        let (deadline, success_after) = [900, 3600].map(|time| GoDuration(Duration::from_secs(time))).into();
        let rung = RepairRef::new(("p", "runtime.hung"), RungAction::RestartService, deadline, success_after);
        RepairRef { confirm, verify: verify.into(), ..rung }
    }

    fn names(confirm: bool, verify: &str) -> Vec<String> {
        let spec = adapted(&repairs::restart_runtime().spec, Some(&rung(confirm, verify)));
        crate::template::check(&spec).unwrap();
        spec.steps.into_iter().map(|step| step.name).collect()
    }

    #[test]
    fn a_rung_confirms_first_and_verifies_after_probation() {
        let plain = ["grant", "cordon", "restart-runtime", "probation", "uncordon", "healthy"];
        assert_eq!(names(false, ""), plain);
        assert_eq!(
            names(true, "true"),
            [
                "confirmed",
                "grant",
                "cordon",
                "restart-runtime",
                "probation",
                "verified",
                "uncordon",
                "healthy"
            ]
        );
    }

    #[test]
    fn steps_that_name_their_predecessors_come_after_what_the_rung_adds() {
        let mut workflow = repairs::restart_runtime().spec;
        workflow.steps[0].after = Some(Vec::new());
        workflow.steps[4].after = Some(vec!["probation".into()]);
        let spec = adapted(&workflow, Some(&rung(true, "true")));
        let after = |name: &str| spec.steps.iter().find(|step| step.name == name).unwrap().after.clone();
        assert_eq!(after("grant"), Some(vec!["confirmed".to_owned()]));
        assert_eq!(after("uncordon"), Some(vec!["probation".to_owned(), "verified".to_owned()]));
    }

    #[test]
    fn a_rung_is_late_by_its_own_time_and_not_by_that_of_its_grant() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let status = RunStatus { started_at: Some(at(0)), ..RunStatus::default() };
        let mut steps: Vec<StepStatus> =
            repairs::restart_runtime().spec.steps.into_iter().map(StepStatus::pending).collect();
        assert_eq!(deadline(&rung(false, ""), &status, &steps), None);
        steps[0].ended_at = Some(at(5000));
        assert_eq!(deadline(&rung(false, ""), &status, &steps), Some(at(5900)));
        assert_eq!(deadline(&rung(false, ""), &status, &steps[1..]), Some(at(900)));
    }
}
