//! The leave to take the machine out of service.

use std::time::Duration;

use kube::ResourceExt as _;
use muster_api::disruption::{DisruptionPhase, DisruptionSpec, Purpose};
use muster_api::machine::Phase;
use muster_api::workflow::{Run, WorkflowPurpose};
use muster_api::{Disruption, MACHINE_LABEL};
use muster_base::clock::elapsed;

use super::super::hold;
use super::super::plan::{Effect, World, grant_name};
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

fn request(run: &Run, world: &World) -> Effect {
    let steps = run.status.iter().flat_map(|status| &status.steps);
    let whole: Duration = steps.map(|step| super::super::plan::whole(&step.step)).sum();
    let until = world.now.checked_add((whole + GRANT_MARGIN).min(GRANT_MAX)).unwrap_or(world.now);
    let spec = DisruptionSpec {
        machine: run.spec.machine.clone(),
        purpose: purpose(run, world),
        act: None,
        phase: None,
        run: run.name_any(),
        until,
        released: false,
    };
    let mut request = Disruption::new(&grant_name(run), spec);
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
        return Progress::Do(request(run, world), "asks for the disruption grant".to_owned());
    };
    let status = asked.status.clone().unwrap_or_default();
    match status.phase {
        DisruptionPhase::Waiting => Progress::Wait(match status.reason.as_str() {
            "" => "the grant is asked for".to_owned(),
            reason => format!("no grant yet: {reason}"),
        }),
        DisruptionPhase::Denied => failed(format!("the grant was denied: {}", status.reason)),
        DisruptionPhase::Released => failed(format!("the grant is gone: {}", status.reason)),
        DisruptionPhase::Granted => granted(run, asked, world),
    }
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
    match &world.disruption {
        None => done("there was no grant"),
        Some(asked) if asked.spec.released => done("the grant is given back"),
        Some(asked) => Progress::Do(Effect::Release(asked.name_any()), "gives the grant back".to_owned()),
    }
}
