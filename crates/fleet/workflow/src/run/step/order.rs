//! Orders to the agent and to the management controller's actor.

use kube::ResourceExt as _;
use muster_api::machine::Phase;
use muster_api::order::{Arguments, Executor, OrderPhase, OrderSpec, Refusal, Service, Verb};
use muster_api::role::{Check, MachineRoleSpec, Runtime};
use muster_api::workflow::{Run, RunPhase, StepStatus};
use muster_api::{MACHINE_LABEL, Order};

use super::super::hold;
use super::super::plan::{Effect, World, cause_gone};
use super::{Progress, done, failed, grant, is_granted};

fn phase(order: &Order) -> OrderPhase {
    order.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

fn order_name(run: &Run, step: &StepStatus) -> String {
    format!("{}.{}.{}", run.name_any(), step.step.name, step.attempt)
}

/// The verb of a check and the end of its order's name.
const fn of_check(check: Check) -> (Verb, &'static str) {
    match check {
        Check::ContainerStart => (Verb::CheckContainerStart, "container-start"),
    }
}

/// The names of the orders that an attempt may have.
pub fn order_names(run: &Run, step: &StepStatus, role: Option<&MachineRoleSpec>) -> Vec<String> {
    let name = order_name(run, step);
    let checks = role.into_iter().flat_map(|role| &role.probation.checks);
    let mut names: Vec<String> = checks.map(|check| format!("{name}.{}", of_check(*check).1)).collect();
    names.push(name);
    names
}

/// Whether an order of this attempt was begun and not answered.
pub(super) fn is_begun(run: &Run, step: &StepStatus, world: &World) -> bool {
    world.orders.get(&order_name(run, step)).is_some_and(|order| phase(order) == OrderPhase::Accepted)
}

fn serves(world: &World) -> bool {
    let phase = world.machine.as_ref().and_then(|machine| machine.status.as_ref()).map(|status| status.phase);
    matches!(phase, Some(Phase::Healthy | Phase::Probation))
}

pub(super) fn order(run: &Run, step: &StepStatus, fence: i64, world: &World) -> Progress {
    let Some(template) = &step.step.order else { return failed("the step has no order") };
    let role = world.role.as_ref().map(|role| role.spec.clone()).unwrap_or_default();
    let arguments = complete(template.verb, template.arguments.clone(), &role);
    if let Some(what) = nothing(template.verb, &arguments) {
        return done(format!("the role has no {what}"));
    }
    let has_image = role.image.is_some() || !arguments.media.is_empty();
    if template.verb == Verb::Reimage && !has_image {
        return failed("the role names no image to install the machine from: set its spec.image");
    }
    if crate::template::disturbs(&step.step) && serves(world) && !is_granted(world) {
        return failed(format!(
            "{} takes a machine out of service that serves, and there is no grant: let a step of action disrupt come before",
            template.verb.as_str()
        ));
    }
    if let Some(act) = template.verb.destroys()
        && !world.orders.contains_key(&order_name(run, step))
    {
        // The leave may have been waited for long.
        if let Some(gone) = cause_gone(run, world) {
            return failed(format!("{gone}: nothing was destroyed"));
        }
        if let Some(first) = grant::destroy(run, act, world) {
            return first;
        }
    }
    if role.runtime == Runtime::None && template.arguments.service == Some(Service::Containerd) {
        return done("the role needs no container runtime");
    }
    obey(run, step, fence, &order_name(run, step), template.verb, arguments, world)
}

/// What the role adds to the arguments of a verb.
fn complete(verb: Verb, mut arguments: Arguments, role: &MachineRoleSpec) -> Arguments {
    match verb {
        Verb::CheckKernel => arguments.features.extend(role.kernel_features.iter().cloned()),
        Verb::EnsurePackages => arguments.packages.extend(role.packages.iter().cloned()),
        Verb::EnsureFiles => arguments.files.extend(role.files.iter().cloned()),
        Verb::EnsureSysctls => arguments.sysctls.extend(role.sysctls.clone()),
        Verb::EnsureServices => arguments.services.extend(role.services.iter().cloned()),
        Verb::RegisterNode => {
            arguments.labels.extend(role.node_labels.clone());
            arguments.taints.extend(role.node_taints.iter().cloned());
        }
        Verb::Reimage if arguments.media.is_empty() => {
            arguments.media = role.image.as_ref().map(|image| image.media.clone()).unwrap_or_default();
        }
        Verb::StartService
        | Verb::RestartService
        | Verb::CheckContainerStart
        | Verb::CleanUp
        | Verb::ResetDevice
        | Verb::Reboot
        | Verb::Reimage
        | Verb::PowerOn
        | Verb::PowerOff
        | Verb::Shutdown
        | Verb::PowerCycle
        | Verb::Reset
        | Verb::SetBootDevice
        | Verb::InsertMedia
        | Verb::EjectMedia
        | Verb::IdentifyLed
        | Verb::EraseDisks => {}
    }
    arguments
}

/// What there is none of, where that leaves the verb nothing to do: no order is given then.
fn nothing(verb: Verb, arguments: &Arguments) -> Option<&'static str> {
    let lists = [
        (Verb::EnsurePackages, arguments.packages.is_empty(), "packages"),
        (Verb::EnsureFiles, arguments.files.is_empty(), "files"),
        (Verb::EnsureServices, arguments.services.is_empty(), "services"),
    ];
    lists.into_iter().find(|(of, is_empty, _)| *of == verb && *is_empty).map(|(.., what)| what)
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
            expires_at: step.due_at,
        };
        let mut order = Order::new(name, spec);
        order.labels_mut().insert(MACHINE_LABEL.to_owned(), run.spec.machine.clone());
        return Progress::Do(Effect::Order(Box::new(order)), format!("orders {}", verb.as_str()));
    };
    let status = order.status.clone().unwrap_or_default();
    let actor = match verb.executor() {
        Executor::Agent => "the agent",
        Executor::Bmc => "the management controller's actor",
    };
    match status.phase {
        OrderPhase::Pending => {
            Progress::Wait(format!("{} was ordered; {actor} has not begun", verb.as_str()))
        }
        OrderPhase::Accepted => {
            let since = status.started_at.or(step.running_since).or(step.started_at).unwrap_or(world.now);
            Progress::Under(since, format!("{} is under way", verb.as_str()))
        }
        OrderPhase::Done => done(status.message),
        OrderPhase::Refused if status.refusal == Some(Refusal::Held) => {
            Progress::Held(format!("held: {}", status.message))
        }
        OrderPhase::Refused => failed(format!("{actor} refused {}: {}", verb.as_str(), status.message)),
        OrderPhase::Failed if status.uncertain => Progress::Ended(RunPhase::Ambiguous, status.message),
        OrderPhase::Failed => failed(status.message),
    }
}

/// Has the checks of the role done, one after the other; their messages where all passed.
pub(super) fn checks(
    run: &Run,
    step: &StepStatus,
    fence: i64,
    world: &World,
) -> Result<Vec<String>, Progress> {
    let Some(role) = &world.role else {
        return Err(failed("the role of the machine is not there any more"));
    };
    let mut proofs = Vec::new();
    for check in &role.spec.probation.checks {
        let (verb, suffix) = of_check(*check);
        let name = format!("{}.{suffix}", order_name(run, step));
        match obey(run, step, fence, &name, verb, Arguments::default(), world) {
            Progress::Ended(RunPhase::Succeeded, message) => proofs.push(message),
            unfinished @ (Progress::Do(..)
            | Progress::Wait(_)
            | Progress::Under(..)
            | Progress::Late(_)
            | Progress::Held(_)
            | Progress::Told(_)
            | Progress::Refused(_)
            | Progress::Ended(..)) => return Err(unfinished),
        }
    }
    Ok(proofs)
}
