//! Which run a machine needs now, and why it gets none. A run's name derives from its cause, so that one cause starts
//! one run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::condition::{self, Status};
use muster_api::inventory::InventoryStatus;
use muster_api::machine::{MachineStatus, Phase};
use muster_api::problem::State;
use muster_api::problem::canary::{self, CANARY, is_canary};
use muster_api::repair::RungAction;
use muster_api::role::MachineRoleSpec;
use muster_api::workflow::{Run, RunSpec, WorkflowPurpose};
use muster_api::{Condition, MACHINE_LABEL, Machine, Problem, RepairPolicy, Workflow};
use muster_base::clock::elapsed;

use crate::builtin;
use crate::repair::ladder::{self, Case, Next};
use crate::repair::policy::{self, is_accepted};
use crate::repair::rates::Book;
use crate::repair::shield::{Held, Kind};

/// Condition of a machine that tells what is done about its problems, or why nothing is.
pub const REPAIR: &str = "Repair";

/// What is known beyond the machine itself.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Its facts, where they were read.
    pub inventory: Option<&'a InventoryStatus>,
    /// What it is to carry.
    pub role: Option<&'a MachineRoleSpec>,
    /// Its problems.
    pub problems: &'a [Arc<Problem>],
    /// Problems of many machines.
    pub parents: &'a [Arc<Problem>],
    /// Problems that may be tried although they are held, with what holds them.
    pub tries: &'a BTreeMap<String, String>,
    /// All workflows.
    pub workflows: &'a [Arc<Workflow>],
    /// All repair policies.
    pub policies: &'a [Arc<RepairPolicy>],
    /// What was tried before.
    pub book: &'a Book,
    /// The time.
    pub now: Timestamp,
}

/// What a machine calls for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The run that should be there.
    pub run: Option<Run>,
    /// The condition of the machine, where it differs.
    pub told: Option<Condition>,
    /// The run that answered a made-up fault and is not needed any more.
    pub spent: Option<String>,
    /// When time alone may change that.
    pub look_again: Option<Duration>,
}

impl Plan {
    /// Whether there is nothing to do and nothing to wait for.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    fn of(run: Option<Run>) -> Self {
        Self { run, ..Self::default() }
    }
}

/// How long nobody may begin anything on the machine, if so.
pub(crate) fn hands_off(machine: &Machine, now: Timestamp) -> Option<Duration> {
    let until = machine.spec.hands_off.as_ref()?.until;
    Some(elapsed(now, until)).filter(|left| !left.is_zero())
}

/// Decides what is to be started.
pub fn plan(machine: &Machine, world: &World<'_>) -> Plan {
    let Some(status) = machine.status.as_ref() else { return Plan::default() };
    if !is_accepted(&status.conditions) || !status.run.is_empty() {
        return Plan::default();
    }
    match status.phase {
        // A repair says why it waits by itself: the ledger gives it no grant.
        Phase::Inspecting => match hands_off(machine, world.now) {
            Some(left) => Plan { look_again: Some(left), ..Plan::default() },
            None if world.inventory.is_some() => Plan::of(provision(machine, world)),
            None => Plan::default(),
        },
        Phase::Healthy | Phase::Failed => repair(machine, world),
        Phase::Registered
        | Phase::Provisioning
        | Phase::Probation
        | Phase::Disrupted
        | Phase::Quarantined
        | Phase::Retired => Plan::default(),
    }
}

/// Whether a plan is to repair that problem; to give it to a person is no repair.
pub fn is_repair_of(plan: &Plan, problem: &str) -> bool {
    let rung =
        plan.run.as_ref().filter(|run| run.spec.problem == problem).and_then(|run| run.spec.repair.as_ref());
    rung.is_some_and(|rung| rung.action != RungAction::Quarantine && !rung.confirm)
}

fn runnable(workflows: &[Arc<Workflow>]) -> Vec<&Arc<Workflow>> {
    let good =
        |workflow: &Workflow| workflow.status.as_ref().is_some_and(|status| is_accepted(&status.conditions));
    workflows.iter().filter(|workflow| good(workflow)).collect()
}

/// One installation per inspection: the moment it began is part of the name.
fn provision(machine: &Machine, world: &World<'_>) -> Option<Run> {
    let all = runnable(world.workflows);
    let installs = all.iter().filter(|workflow| workflow.spec.purpose == WorkflowPurpose::Provision);
    let workflow = installs.min_by_key(|workflow| workflow.name_any())?;
    let since = machine.status.as_ref()?.since?;
    let name = format!("provision-{}-{}", machine.name_any(), since.as_second());
    Some(run(&name, machine, RunSpec { workflow: workflow.name_any(), ..RunSpec::default() }))
}

/// The oldest open problem that something can be done about; else why nothing is done about the first.
fn repair(machine: &Machine, world: &World<'_>) -> Plan {
    let is_open =
        |problem: &Problem| problem.status.as_ref().is_some_and(|status| status.state == State::Open);
    let real = world.problems.iter().filter(|problem| !is_canary(&problem.spec));
    let mut open: Vec<&Arc<Problem>> = real.filter(|problem| is_open(problem)).collect();
    let phase = machine.status.as_ref().map(|status| status.phase);
    let told_before =
        machine.status.as_ref().is_some_and(|s| condition::find(&s.conditions, REPAIR).is_some());
    if open.is_empty() && phase == Some(Phase::Healthy) && !told_before {
        return Plan::default();
    }
    open.sort_by_key(|problem| {
        (problem.status.as_ref().and_then(|status| status.opened_at), problem.name_any())
    });
    let workflows = runnable(world.workflows);
    let mut plan = Plan::default();
    let mut why: Option<(String, Held)> = None;
    for problem in &open {
        match next(machine, problem, &workflows, world) {
            Next::Start(run) => {
                let because = run.spec.repair.as_ref().map(|rung| rung.why.clone()).unwrap_or_default();
                let text = match because.as_str() {
                    "" => format!("run {}", run.name_any()),
                    because => format!("run {} ({because})", run.name_any()),
                };
                return Plan { run: Some(*run), ..told(machine, Status::True, "Started", &text, world.now) };
            }
            Next::Held(held) => {
                if let Some(until) = held.until {
                    let left = elapsed(world.now, until);
                    plan.look_again = Some(plan.look_again.map_or(left, |sooner| sooner.min(left)));
                }
                why.get_or_insert_with(|| (problem.name_any(), held));
            }
        }
    }
    let look_again = plan.look_again;
    match why {
        Some((problem, held)) => {
            let text = format!("{problem}: {}", held.text);
            Plan { look_again, ..told(machine, Status::False, held.reason, &text, world.now) }
        }
        None if phase == Some(Phase::Failed) => Plan::of(back_to_service(machine, world, &workflows)),
        None => told(machine, Status::False, "NoProblem", "no problem is open", world.now),
    }
}

fn next(machine: &Machine, problem: &Problem, workflows: &[&Arc<Workflow>], world: &World<'_>) -> Next {
    let class = &problem.spec.class;
    let Some(policy) = policy::of(world.policies, class, &machine.spec.site) else {
        let text = format!("no RepairPolicy is for {class} here");
        return Next::Held(Held { reason: "NoPolicy", text, until: None });
    };
    let text = |of: fn(&InventoryStatus) -> &str| world.inventory.map(of).unwrap_or_default();
    ladder::next(&Case {
        machine,
        problem,
        policy,
        tried: world.book.tried(&problem.name_any()),
        rates: world.book.rates(),
        kind: Kind {
            model: text(|facts| &facts.model),
            image: text(|facts| &facts.image),
            firmware: text(|facts| &facts.firmware),
        },
        parents: world.parents,
        tried_of: world.tries.get(&problem.name_any()).map(String::as_str),
        workflows,
        has_image: world.role.is_some_and(|role| role.image.is_some()),
        now: world.now,
    })
}

/// What is to be done for a fault that was made up: the run that answers it, or the end of that run. A real fault comes
/// first.
pub(super) fn answer(plan: &mut Plan, machine: &Machine, problem: &Problem, run: Option<&Run>) {
    let serves = |status: &MachineStatus| status.phase == Phase::Healthy && status.run.is_empty();
    let is_free = plan.run.is_none() && machine.status.as_ref().is_some_and(serves);
    let status = problem.status.clone().unwrap_or_default();
    let has_ended = |run: &&Run| run.status.as_ref().is_some_and(|status| status.phase.is_final());
    match (status.state, run) {
        (State::Open, None) if is_free => {
            let spec = RunSpec { workflow: CANARY.to_owned(), ..RunSpec::answering(problem) };
            plan.run = Some(self::run(&canary::answer(problem), machine, spec));
        }
        (State::Clear, run) => plan.spent = run.filter(has_ended).map(|run| run.name_any()),
        (State::Open | State::Suspect | State::Unknown, _) => {}
    }
}

/// The condition that tells `text`, where it does not stand so yet.
fn told(machine: &Machine, status: Status, reason: &str, text: &str, now: Timestamp) -> Plan {
    let conditions = machine.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let stands = condition::find(conditions, REPAIR).is_some_and(|there| {
        (there.status, there.reason.as_str(), there.message.as_str()) == (status, reason, text)
    });
    let wanted = Condition {
        r#type: REPAIR.to_owned(),
        status,
        reason: reason.to_owned(),
        message: text.to_owned(),
        last_transition_time: now,
        observed_generation: machine.metadata.generation,
    };
    Plan { told: (!stands).then_some(wanted), ..Plan::default() }
}

/// A machine that failed in a repair and has no problem any more proves itself once; if it cannot, a person looks.
fn back_to_service(machine: &Machine, world: &World<'_>, workflows: &[&Arc<Workflow>]) -> Option<Run> {
    let status = machine.status.as_ref()?;
    let since = status.since?;
    let by = &status.transitions.last().filter(|last| last.to == Phase::Failed)?.run;
    let (name, workflow) = if by.starts_with("repair-") {
        ("return", builtin::repairs::RETURN)
    } else if by.starts_with("return-") {
        ("quarantine", builtin::repairs::QUARANTINE)
    } else {
        return None;
    };
    // What is known of it may be old: a problem that is suspected or unknown is waited for.
    let unclear = |problem: &Arc<Problem>| {
        problem.status.as_ref().is_some_and(|status| matches!(status.state, State::Suspect | State::Unknown))
    };
    if world.problems.iter().any(unclear) {
        return None;
    }
    workflows.iter().find(|one| one.name_any() == workflow)?;
    let name = format!("{name}-{}-{}", machine.name_any(), since.as_second());
    Some(run(&name, machine, RunSpec { workflow: workflow.to_owned(), ..RunSpec::default() }))
}

fn run(name: &str, machine: &Machine, spec: RunSpec) -> Run {
    let mut run = Run::new(name, RunSpec { machine: machine.name_any(), ..spec });
    run.labels_mut().insert(MACHINE_LABEL.to_owned(), machine.name_any());
    run
}

#[cfg(test)]
mod tests;
