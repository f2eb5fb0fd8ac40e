//! How far one step is, seen from what is observed.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::disruption::{DisruptionPhase, DisruptionSpec, Purpose};
use muster_api::machine::Phase;
use muster_api::order::{Arguments, Executor, OrderPhase, OrderSpec, OrderStatus, Refusal, Service, Verb};
use muster_api::problem::State;
use muster_api::role::{Check, MachineRoleSpec, Runtime};
use muster_api::workflow::{Action, Run, RunPhase, StepStatus};
use muster_api::{CORDONED_BY, Disruption, MACHINE_LABEL, Order};
use muster_base::clock::elapsed;

use super::hold;
use super::plan::{Effect, Enter, MachineChange, World};

/// How long a grant outlasts the deadlines of the steps.
const GRANT_MARGIN: Duration = Duration::from_secs(60);

/// Nothing is begun under a grant that has less left than this.
const GRANT_LEFT_MIN: Duration = Duration::from_secs(5);

/// What is to be said of a step under way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress {
    /// Something has to be done first.
    Do(Effect, String),
    /// Something has to happen first.
    Wait(String),
    /// It has done nothing, and may not begin now.
    Held(String),
    /// The attempt is over.
    Ended(RunPhase, String),
}

fn done(message: impl Into<String>) -> Progress {
    Progress::Ended(RunPhase::Succeeded, message.into())
}

fn failed(message: impl Into<String>) -> Progress {
    Progress::Ended(RunPhase::Failed, message.into())
}

/// When the attempt under way must have ended.
pub(crate) fn deadline(step: &StepStatus) -> Option<Timestamp> {
    step.started_at?.checked_add(step.step.deadline.0).ok()
}

/// When a step under way is to be looked at again although nothing changed.
pub(crate) fn look_again(step: &StepStatus, world: &World) -> Option<Duration> {
    match step.step.action {
        Action::Probation => {
            let status = world.machine.as_ref()?.status.as_ref()?;
            let until = status.since?.checked_add(world.role.as_ref()?.spec.probation.duration.0).ok()?;
            Some(elapsed(world.now, until)).filter(|left| !left.is_zero())
        }
        Action::Disrupt
        | Action::Release
        | Action::Cordon
        | Action::Uncordon
        | Action::Order
        | Action::Healthy => None,
    }
}

/// Says how far `step` of `run` is.
pub(crate) fn progress(run: &Run, step: &StepStatus, fence: i64, world: &World) -> Progress {
    let seen = match step.step.action {
        Action::Disrupt => disrupt(run, world),
        Action::Release => release(world),
        Action::Cordon => cordon(run, world),
        Action::Uncordon => uncordon(run, world),
        Action::Order => order(run, step, fence, world),
        Action::Probation => probation(run, step, fence, world),
        Action::Healthy => enter(world, Phase::Healthy, "back in service: every step is done", None),
    };
    let overdue = deadline(step).is_some_and(|deadline| deadline <= world.now);
    if let Some(held) = hold::held(step, &seen, overdue && !is_begun(run, step, world), world) {
        return held;
    }
    match seen {
        Progress::Ended(..) | Progress::Held(_) => seen,
        Progress::Do(..) | Progress::Wait(_) if overdue => late(run, step, &seen, world),
        Progress::Do(..) | Progress::Wait(_) => seen,
    }
}

/// Past its deadline: an order the agent has begun may or may not have taken effect.
fn late(run: &Run, step: &StepStatus, seen: &Progress, world: &World) -> Progress {
    let waited_for = match seen {
        Progress::Do(_, message)
        | Progress::Wait(message)
        | Progress::Held(message)
        | Progress::Ended(_, message) => message,
    };
    let text = format!("not done within {}: {waited_for}", step.step.deadline);
    if is_begun(run, step, world) { Progress::Ended(RunPhase::Ambiguous, text) } else { failed(text) }
}

/// Whether the agent has begun the order of this attempt and not answered it.
fn is_begun(run: &Run, step: &StepStatus, world: &World) -> bool {
    world.orders.get(&order_name(run, step)).is_some_and(|order| phase(order) == OrderPhase::Accepted)
}

fn disrupt(run: &Run, world: &World) -> Progress {
    let Some(asked) = &world.disruption else {
        let steps = run.status.iter().flat_map(|status| &status.steps);
        let whole: Duration = steps.map(|step| step.step.deadline.0 * step.step.attempts).sum();
        let until = world.now.checked_add(whole + GRANT_MARGIN).unwrap_or(world.now);
        let spec = DisruptionSpec {
            machine: run.spec.machine.clone(),
            purpose: Purpose::Repair,
            act: None,
            phase: None,
            run: run.name_any(),
            until,
            released: false,
        };
        let mut request = Disruption::new(&run.name_any(), spec);
        request.labels_mut().insert(MACHINE_LABEL.to_owned(), run.spec.machine.clone());
        return Progress::Do(
            Effect::Disruption(Box::new(request)),
            "asks for the disruption grant".to_owned(),
        );
    };
    let status = asked.status.clone().unwrap_or_default();
    match status.phase {
        DisruptionPhase::Waiting => Progress::Wait(match status.reason.as_str() {
            "" => "the grant is asked for".to_owned(),
            reason => format!("no grant yet: {reason}"),
        }),
        DisruptionPhase::Denied => failed(format!("the grant was denied: {}", status.reason)),
        DisruptionPhase::Released => failed(format!("the grant is gone: {}", status.reason)),
        DisruptionPhase::Granted => {
            let cause = if run.spec.problem.is_empty() {
                run.spec.workflow.clone()
            } else {
                run.spec.problem.clone()
            };
            let reason = format!("taken out of service under a grant, because of {cause}");
            let end = status.ends_at.unwrap_or(asked.spec.until);
            let entered = enter(world, Phase::Disrupted, &reason, Some(end));
            // What begins just before the end of a grant would outlive it; a grant that is held ends later.
            let short = elapsed(world.now, end) < GRANT_LEFT_MIN && !hold::is_held(&status, world);
            if short && matches!(entered, Progress::Do(..)) {
                return failed(format!("the grant runs out at {end}"));
            }
            entered
        }
    }
}

fn enter(world: &World, wanted: Phase, reason: &str, deadline: Option<Timestamp>) -> Progress {
    let phase = world.machine.as_ref().and_then(|machine| machine.status.as_ref()).map(|status| status.phase);
    match phase {
        Some(phase) if phase == wanted => done(format!("machine is {}", wanted.as_str())),
        Some(phase) if phase.may_become(wanted) => {
            let enter = Enter { phase: wanted, reason: reason.to_owned(), deadline };
            let change = MachineChange { enter: Some(enter), ..MachineChange::default() };
            Progress::Do(Effect::Machine(change), format!("the machine becomes {}", wanted.as_str()))
        }
        Some(phase) => failed(format!("a machine cannot go from {} to {}", phase.as_str(), wanted.as_str())),
        None => failed("the machine is not there any more"),
    }
}

fn release(world: &World) -> Progress {
    match &world.disruption {
        None => done("there was no grant"),
        Some(asked) if asked.spec.released => done("the grant is given back"),
        Some(_) => Progress::Do(Effect::Release, "gives the grant back".to_owned()),
    }
}

fn cordoned_by(world: &World) -> Option<&str> {
    world.node.as_ref()?.metadata.annotations.as_ref()?.get(CORDONED_BY).map(String::as_str)
}

fn cordon(run: &Run, world: &World) -> Progress {
    let Some(node) = &world.node else { return done("the machine is no node") };
    match (node.spec.unschedulable, cordoned_by(world)) {
        (true, Some(owner)) if owner == run.name_any() => done("node is cordoned"),
        (true, owner) => done(format!("node was cordoned already by {}", owner.unwrap_or("somebody else"))),
        (false, _) => Progress::Do(Effect::Cordon, "cordons the node".to_owned()),
    }
}

/// Only what this run had cordoned is let go.
fn uncordon(run: &Run, world: &World) -> Progress {
    match cordoned_by(world) {
        Some(owner) if owner == run.name_any() => {
            Progress::Do(Effect::Uncordon, "uncordons the node".to_owned())
        }
        Some(owner) => done(format!("node stays cordoned by {owner}")),
        None => match &world.node {
            Some(node) if node.spec.unschedulable => done("node stays cordoned by somebody else"),
            Some(_) => done("node takes pods again"),
            None => done("the machine is no node"),
        },
    }
}

fn phase(order: &Order) -> OrderPhase {
    order.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

fn order_name(run: &Run, step: &StepStatus) -> String {
    format!("{}.{}.{}", run.name_any(), step.step.name, step.attempt)
}

fn order(run: &Run, step: &StepStatus, fence: i64, world: &World) -> Progress {
    let Some(template) = &step.step.order else { return failed("the step has no order") };
    let role = world.role.as_ref().map(|role| role.spec.clone()).unwrap_or_default();
    if role.runtime == Runtime::None && template.arguments.service == Some(Service::Containerd) {
        return done("the role needs no container runtime");
    }
    let arguments = complete(template.verb, template.arguments.clone(), &role);
    obey(run, step, fence, &order_name(run, step), template.verb, arguments, world)
}

/// What the role adds to the arguments of a verb.
fn complete(verb: Verb, mut arguments: Arguments, role: &MachineRoleSpec) -> Arguments {
    match verb {
        Verb::CheckKernel => arguments.features.extend(role.kernel_features.iter().cloned()),
        Verb::EnsureSysctls => arguments.sysctls.extend(role.sysctls.clone()),
        Verb::RegisterNode => {
            arguments.labels.extend(role.node_labels.clone());
            arguments.taints.extend(role.node_taints.iter().cloned());
        }
        Verb::StartService
        | Verb::RestartService
        | Verb::CheckContainerStart
        | Verb::PowerOn
        | Verb::PowerOff
        | Verb::Shutdown
        | Verb::PowerCycle
        | Verb::Reset
        | Verb::SetBootDevice
        | Verb::InsertMedia
        | Verb::EjectMedia
        | Verb::IdentifyLed => {}
    }
    arguments
}

/// Issues the order once and says what became of it.
fn obey(
    run: &Run,
    step: &StepStatus,
    fence: i64,
    name: &str,
    verb: Verb,
    arguments: Arguments,
    world: &World,
) -> Progress {
    let Some(order) = world.orders.get(name) else {
        if let Some(first) = hold::before_order(run, step, verb, world) {
            return first;
        }
        let spec = OrderSpec {
            machine: run.spec.machine.clone(),
            verb,
            arguments,
            generation: fence,
            run: run.name_any(),
            step: step.step.name.clone(),
            attempt: step.attempt,
            expires_at: deadline(step),
        };
        let mut order = Order::new(name, spec);
        order.labels_mut().insert(MACHINE_LABEL.to_owned(), run.spec.machine.clone());
        return Progress::Do(Effect::Order(Box::new(order)), format!("orders {}", verb.as_str()));
    };
    let OrderStatus { message, refusal, uncertain, .. } = order.status.clone().unwrap_or_default();
    let actor = match verb.executor() {
        Executor::Agent => "the agent",
        Executor::Bmc => "the management controller's actor",
    };
    match phase(order) {
        OrderPhase::Pending => {
            Progress::Wait(format!("{} was ordered; {actor} has not begun", verb.as_str()))
        }
        OrderPhase::Accepted => Progress::Wait(format!("{} is under way", verb.as_str())),
        OrderPhase::Done => done(message),
        OrderPhase::Refused if refusal == Some(Refusal::Held) => Progress::Held(format!("held: {message}")),
        OrderPhase::Refused => failed(format!("{actor} refused {}: {message}", verb.as_str())),
        OrderPhase::Failed if uncertain => Progress::Ended(RunPhase::Ambiguous, message),
        OrderPhase::Failed => failed(message),
    }
}

fn probation(run: &Run, step: &StepStatus, fence: i64, world: &World) -> Progress {
    let Some(role) = &world.role else { return failed("the role of the machine is not there any more") };
    let entered = enter(world, Phase::Probation, "proves itself before it serves", deadline(step));
    if !matches!(entered, Progress::Ended(RunPhase::Succeeded, _)) {
        return entered;
    }
    let mut proofs = Vec::new();
    for check in &role.spec.probation.checks {
        let (verb, suffix) = match check {
            Check::ContainerStart => (Verb::CheckContainerStart, "container-start"),
        };
        let name = format!("{}.{suffix}", order_name(run, step));
        match obey(run, step, fence, &name, verb, Arguments::default(), world) {
            Progress::Ended(RunPhase::Succeeded, message) => proofs.push(message),
            unfinished @ (Progress::Do(..) | Progress::Wait(_) | Progress::Held(_) | Progress::Ended(..)) => {
                return unfinished;
            }
        }
    }
    let open = world.problems.iter().find(|problem| {
        problem.status.as_ref().is_some_and(|status| matches!(status.state, State::Open | State::Suspect))
    });
    if let Some(problem) = open {
        return Progress::Wait(format!("problem {} is not clear yet", problem.name_any()));
    }
    let since =
        world.machine.as_ref().and_then(|machine| machine.status.as_ref()).and_then(|status| status.since);
    let passed = since.map_or(Duration::ZERO, |since| elapsed(since, world.now));
    let wanted = role.spec.probation.duration;
    if passed < wanted.0 {
        return Progress::Wait(format!("watched for {wanted}"));
    }
    proofs.push(format!("no problem for {wanted}"));
    done(proofs.join("; "))
}
