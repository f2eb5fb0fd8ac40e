//! The leave to take the machine out of service.

use std::time::Duration;

use kube::ResourceExt as _;
use muster_api::disruption::{Destruction, DisruptionPhase, DisruptionSpec, DisruptionStatus, Purpose};
use muster_api::machine::Phase;
use muster_api::workflow::{Run, WorkflowPurpose};
use muster_api::{Disruption, MACHINE_LABEL};
use muster_base::clock::elapsed;

use super::super::hold;
use super::super::plan::{Effect, World, destruction_name, grant_name};
use super::{Progress, done, enter, failed};

/// How long a grant outlasts the deadlines of the steps.
const GRANT_MARGIN: Duration = Duration::from_secs(60);
/// Nothing is begun under a grant that has less left than this.
const GRANT_LEFT_MIN: Duration = Duration::from_secs(5);
/// No grant is asked for longer.
const GRANT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether the run has its grant now.
pub(crate) fn is_granted(world: &World) -> bool {
    let phase = world.disruption.as_ref().map(|asked| asked.status.as_ref().map(|status| status.phase));
    phase.flatten() == Some(DisruptionPhase::Granted)
}

fn purpose(run: &Run, world: &World) -> Purpose {
    let purpose = world.workflow.as_ref().map(|workflow| workflow.spec.purpose);
    match purpose {
        Some(WorkflowPurpose::Provision) if run.spec.problem.is_empty() => Purpose::Provision,
        Some(WorkflowPurpose::Upgrade) => Purpose::Upgrade,
        Some(WorkflowPurpose::Drain) => Purpose::Drain,
        Some(WorkflowPurpose::Person) => Purpose::Person,
        Some(WorkflowPurpose::Provision | WorkflowPurpose::Repair) | None => Purpose::Repair,
    }
}

/// The leave to disturb; with `act`, that to destroy something on a machine in `phase`.
fn request(run: &Run, world: &World, act: Option<(Destruction, Phase)>) -> Effect {
    let steps = run.status.iter().flat_map(|status| &status.steps);
    let whole: Duration = steps.map(|step| super::super::plan::whole(&step.step)).sum();
    let until = world.now.checked_add((whole + GRANT_MARGIN).min(GRANT_MAX)).unwrap_or(world.now);
    let spec = DisruptionSpec {
        machine: run.spec.machine.clone(),
        purpose: purpose(run, world),
        act: act.map(|(act, _)| act),
        intends: if act.is_none() { super::intends(run) } else { None },
        phase: act.map(|(_, phase)| phase),
        run: run.name_any(),
        until,
        released: false,
    };
    let name = if act.is_some() { destruction_name(run) } else { grant_name(run) };
    let mut request = Disruption::new(&name, spec);
    request.labels_mut().insert(MACHINE_LABEL.to_owned(), run.spec.machine.clone());
    Effect::Disruption(Box::new(request))
}

pub(super) fn disrupt(run: &Run, world: &World) -> Progress {
    if run.spec.parent.is_some() {
        return if is_granted(world) {
            done("under the grant of the run it is a part of")
        } else {
            failed("the run it is a part of has no grant; let that one take it first")
        };
    }
    let Some(asked) = &world.disruption else {
        return Progress::Do(request(run, world, None), "asks for the disruption grant".to_owned());
    };
    let status = asked.status.clone().unwrap_or_default();
    match status.phase {
        DisruptionPhase::Granted => granted(run, asked, world),
        DisruptionPhase::Waiting | DisruptionPhase::Denied | DisruptionPhase::Released => refused(&status),
    }
}

/// Why nothing may begin under a request that is not granted.
fn refused(status: &DisruptionStatus) -> Progress {
    match (status.phase, status.reason.as_str()) {
        (DisruptionPhase::Denied, reason) => failed(format!("the grant was denied: {reason}")),
        (DisruptionPhase::Released, reason) => failed(format!("the grant is gone: {reason}")),
        (DisruptionPhase::Waiting | DisruptionPhase::Granted, "") => {
            Progress::Wait("the grant is asked for".to_owned())
        }
        (DisruptionPhase::Waiting | DisruptionPhase::Granted, reason) => {
            Progress::Wait(format!("no grant yet: {reason}"))
        }
    }
}

/// What has to come before an order that destroys: leave for it, given to this run and for a machine that does not serve.
pub(super) fn destroy(run: &Run, act: Destruction, world: &World) -> Option<Progress> {
    if run.spec.parent.is_some() {
        return Some(failed("nothing is destroyed by a run that is a part of another"));
    }
    let phase = world.machine.as_ref().and_then(|machine| machine.status.as_ref()).map(|status| status.phase);
    let Some(phase @ (Phase::Disrupted | Phase::Quarantined | Phase::Failed)) = phase else {
        let phase = phase.map_or("unknown", Phase::as_str);
        return Some(failed(format!(
            "the machine is {phase}: nothing is destroyed on one that is not Disrupted, Quarantined or Failed"
        )));
    };
    let Some(asked) = &world.destruction else {
        let asks = format!("asks for leave to {}", act.as_str());
        return Some(Progress::Do(request(run, world, Some((act, phase))), asks));
    };
    let status = asked.status.clone().unwrap_or_default();
    if status.phase != DisruptionPhase::Granted {
        return Some(refused(&status));
    }
    let same = (asked.spec.act, asked.spec.phase) == (Some(act), Some(phase));
    (!same).then(|| {
        failed(format!("the leave was given for a machine in another state than {}", phase.as_str()))
    })
}

/// A machine that serves is taken out of service; one that does not is as it is.
fn granted(run: &Run, asked: &Disruption, world: &World) -> Progress {
    let phase = world.machine.as_ref().and_then(|machine| machine.status.as_ref()).map(|status| status.phase);
    match phase {
        Some(Phase::Registered | Phase::Inspecting | Phase::Provisioning | Phase::Quarantined) => {
            return done("the grant is given; the machine does not serve");
        }
        Some(Phase::Probation | Phase::Healthy | Phase::Disrupted | Phase::Failed | Phase::Retired)
        | None => {}
    }
    let cause =
        if run.spec.problem.is_empty() { run.spec.workflow.clone() } else { run.spec.problem.clone() };
    let reason = format!("taken out of service under a grant, because of {cause}");
    let status = asked.status.clone().unwrap_or_default();
    let end = status.ends_at.unwrap_or(asked.spec.until);
    let entered = enter(world, Phase::Disrupted, &reason, Some(end));
    // What begins just before the end of a grant would outlive it; a grant that is held ends later.
    let short = elapsed(world.now, end) < GRANT_LEFT_MIN && !hold::is_held(&status, world);
    if short && matches!(entered, Progress::Do(..)) {
        return failed(format!("the grant runs out at {end}"));
    }
    entered
}

pub(super) fn release(run: &Run, world: &World) -> Progress {
    if run.spec.parent.is_some() {
        return done("the grant belongs to the run it is a part of");
    }
    if let Some(asked) = world.destruction.as_ref().filter(|asked| !asked.spec.released) {
        let gives = "gives the leave to destroy back".to_owned();
        return Progress::Do(Effect::Release(asked.name_any()), gives);
    }
    match &world.disruption {
        None => done("there was no grant"),
        Some(asked) if asked.spec.released => done("the grant is given back"),
        Some(asked) => Progress::Do(Effect::Release(asked.name_any()), "gives the grant back".to_owned()),
    }
}
