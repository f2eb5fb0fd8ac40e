//! Which run a machine needs now. Its name derives from its cause, so that one cause starts one run.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::machine::Phase;
use muster_api::problem::State;
use muster_api::workflow::{Run, RunSpec, WorkflowPurpose};
use muster_api::{Condition, MACHINE_LABEL, Machine, Problem, Workflow};
use muster_base::clock::elapsed;

/// What is known beyond the machine itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World<'a> {
    /// Whether its facts were read.
    pub(crate) inventory: bool,
    /// Its problems.
    pub(crate) problems: &'a [Arc<Problem>],
    /// All workflows.
    pub(crate) workflows: &'a [Arc<Workflow>],
    /// The time.
    pub(crate) now: Timestamp,
}

/// How long nobody may begin anything on the machine, if so.
pub(crate) fn hands_off(machine: &Machine, now: Timestamp) -> Option<Duration> {
    let until = machine.spec.hands_off.as_ref()?.until;
    Some(elapsed(now, until)).filter(|left| !left.is_zero())
}

/// The run that should be there, if any.
pub(crate) fn plan(machine: &Machine, world: &World<'_>) -> Option<Run> {
    let status = machine.status.as_ref()?;
    if !is_accepted(&status.conditions) || !status.run.is_empty() {
        return None;
    }
    match status.phase {
        // A repair says why it waits by itself: the ledger gives it no grant.
        Phase::Inspecting if hands_off(machine, world.now).is_some() => None,
        Phase::Inspecting if world.inventory => provision(machine, world),
        Phase::Healthy => repair(machine, world),
        Phase::Registered
        | Phase::Inspecting
        | Phase::Provisioning
        | Phase::Probation
        | Phase::Disrupted
        | Phase::Failed
        | Phase::Quarantined
        | Phase::Retired => None,
    }
}

fn is_accepted(conditions: &[Condition]) -> bool {
    condition::find(conditions, ACCEPTED).is_some_and(|verdict| verdict.status == Status::True)
}

fn runnable<'a>(world: &World<'a>, wanted: impl Fn(&Workflow) -> bool) -> Option<&'a Arc<Workflow>> {
    let good =
        |workflow: &Workflow| workflow.status.as_ref().is_some_and(|status| is_accepted(&status.conditions));
    world.workflows.iter().filter(|workflow| wanted(workflow) && good(workflow)).min_by_key(|w| w.name_any())
}

/// One installation per inspection: the moment it began is part of the name.
fn provision(machine: &Machine, world: &World<'_>) -> Option<Run> {
    let workflow = runnable(world, |workflow| workflow.spec.purpose == WorkflowPurpose::Provision)?;
    let since = machine.status.as_ref()?.since?;
    let name = format!("provision-{}-{}", machine.name_any(), since.as_second());
    Some(run(&name, machine, RunSpec { workflow: workflow.name_any(), ..RunSpec::default() }))
}

/// One repair per episode of a problem; the oldest open problem first.
fn repair(machine: &Machine, world: &World<'_>) -> Option<Run> {
    let boot_id = machine.status.as_ref().map(|status| status.boot_id.as_str()).unwrap_or_default();
    let mut open: Vec<&Arc<Problem>> =
        world.problems.iter().filter(|problem| calls_for_repair(problem, boot_id)).collect();
    open.sort_by_key(|problem| (problem.status.as_ref().and_then(|s| s.opened_at), problem.name_any()));
    open.into_iter().find_map(|problem| {
        let workflow = runnable(world, |workflow| {
            workflow.spec.purpose == WorkflowPurpose::Repair
                && workflow.spec.heals.contains(&problem.spec.class)
        })?;
        let episode = problem.status.as_ref().map_or(0, |status| status.episode);
        let name = format!("repair-{}-{episode}", problem.name_any());
        let spec = RunSpec {
            workflow: workflow.name_any(),
            problem: problem.name_any(),
            episode: Some(episode),
            ..RunSpec::default()
        };
        Some(run(&name, machine, spec))
    })
}

/// Open, accepted, not explained by another problem, and seen in this boot.
fn calls_for_repair(problem: &Problem, boot_id: &str) -> bool {
    problem.status.as_ref().is_some_and(|status| {
        let this_boot = status.boot_id.is_empty() || boot_id.is_empty() || status.boot_id == boot_id;
        status.state == State::Open
            && status.parent.is_empty()
            && this_boot
            && is_accepted(&status.conditions)
    })
}

fn run(name: &str, machine: &Machine, spec: RunSpec) -> Run {
    let mut run = Run::new(name, RunSpec { machine: machine.name_any(), ..spec });
    run.labels_mut().insert(MACHINE_LABEL.to_owned(), machine.name_any());
    run
}

#[cfg(test)]
mod tests {
    use muster_api::machine::{HandsOff, MachineSpec, MachineStatus};
    use muster_api::problem::{ProblemSpec, ProblemStatus};
    use muster_api::workflow::WorkflowStatus;

    use super::*;
    use crate::builtin;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_100).unwrap()
    }

    fn verdict(status: Status) -> Vec<Condition> {
        vec![Condition {
            r#type: ACCEPTED.into(),
            status,
            reason: "Test".into(),
            message: String::new(),
            last_transition_time: Timestamp::UNIX_EPOCH,
            observed_generation: None,
        }]
    }

    fn machine(phase: Phase) -> Machine {
        let mut machine = Machine::new("m1", MachineSpec { site: "a".into(), ..MachineSpec::default() });
        machine.status = Some(MachineStatus {
            phase,
            since: Some(Timestamp::from_second(1_800_000_000).unwrap()),
            boot_id: "boot-2".into(),
            conditions: verdict(Status::True),
            ..MachineStatus::default()
        });
        machine
    }

    fn problem(class: &str, state: State, boot_id: &str) -> Arc<Problem> {
        let spec = ProblemSpec { machine: "m1".into(), class: class.into(), ..ProblemSpec::default() };
        let mut problem = Problem::new(&muster_api::problem::name("m1", class, ""), spec);
        problem.status = Some(ProblemStatus {
            state,
            episode: 3,
            boot_id: boot_id.into(),
            conditions: verdict(Status::True),
            ..ProblemStatus::default()
        });
        Arc::new(problem)
    }

    fn workflows(accepted: Status) -> Vec<Arc<Workflow>> {
        [builtin::install_role(), builtin::restart_runtime()]
            .into_iter()
            .map(|mut workflow| {
                workflow.status = Some(WorkflowStatus { conditions: verdict(accepted) });
                Arc::new(workflow)
            })
            .collect()
    }

    fn planned(machine: &Machine, problems: &[Arc<Problem>], workflows: &[Arc<Workflow>]) -> Option<String> {
        plan(machine, &World { inventory: true, problems, workflows, now: now() }).map(|run| run.name_any())
    }

    #[test]
    fn an_inspected_machine_is_provisioned_once_its_facts_are_there() {
        let machine = machine(Phase::Inspecting);
        let workflows = workflows(Status::True);
        assert_eq!(planned(&machine, &[], &workflows).as_deref(), Some("provision-m1-1800000000"));
        let unread = World { inventory: false, problems: &[], workflows: &workflows, now: now() };
        assert_eq!(plan(&machine, &unread), None);
    }

    #[test]
    fn a_machine_to_be_left_alone_is_not_provisioned_before_the_time_is_over() {
        let mut machine = machine(Phase::Inspecting);
        let until = |seconds| HandsOff {
            until: now() + jiff::SignedDuration::from_secs(seconds),
            by: "me".into(),
            reason: "cabling".into(),
        };
        machine.spec.hands_off = Some(until(60));
        assert_eq!(planned(&machine, &[], &workflows(Status::True)), None);
        assert_eq!(hands_off(&machine, now()), Some(Duration::from_secs(60)));
        machine.spec.hands_off = Some(until(0));
        assert!(planned(&machine, &[], &workflows(Status::True)).is_some());
        assert_eq!(hands_off(&machine, now()), None);
    }

    #[test]
    fn an_open_problem_of_this_boot_is_repaired_once_per_episode() {
        let machine = machine(Phase::Healthy);
        let workflows = workflows(Status::True);
        let open = [problem("runtime.hung", State::Open, "boot-2")];
        assert_eq!(planned(&machine, &open, &workflows).as_deref(), Some("repair-m1.runtime.hung-3"));
        for held in [
            problem("runtime.hung", State::Suspect, "boot-2"),
            problem("runtime.hung", State::Clear, "boot-2"),
            problem("runtime.hung", State::Unknown, "boot-2"),
            problem("runtime.hung", State::Open, "boot-1"),
            problem("disk.media_error", State::Open, "boot-2"),
        ] {
            assert_eq!(planned(&machine, &[held], &workflows), None);
        }
    }

    #[test]
    fn nothing_starts_on_a_machine_in_hand_not_accepted_or_in_another_phase() {
        let workflows = workflows(Status::True);
        let open = [problem("runtime.hung", State::Open, "boot-2")];
        let mut in_hand = machine(Phase::Healthy);
        in_hand.status.as_mut().unwrap().run = "other".into();
        let mut refused = machine(Phase::Healthy);
        refused.status.as_mut().unwrap().conditions = verdict(Status::False);
        for machine in [in_hand, refused, machine(Phase::Failed), machine(Phase::Probation)] {
            assert_eq!(planned(&machine, &open, &workflows), None);
        }
    }

    #[test]
    fn a_workflow_that_was_refused_is_not_run() {
        let open = [problem("runtime.hung", State::Open, "boot-2")];
        assert_eq!(planned(&machine(Phase::Healthy), &open, &workflows(Status::False)), None);
    }
}
