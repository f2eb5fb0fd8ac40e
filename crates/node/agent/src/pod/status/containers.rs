//! The status of each container.

use k8s_openapi::api::core::v1::{
    Container, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus as ApiStatus, PodSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{ContainerState, ContainerStatus, View};

fn waiting(reason: &str, message: Option<String>) -> ApiState {
    ApiState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..ApiState::default()
    }
}

fn full_id(id: &str) -> String {
    format!("containerd://{id}")
}

fn terminated(status: &ContainerStatus) -> ApiState {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let reason = given(&status.reason)
        .unwrap_or_else(|| if status.exit_code == 0 { "Completed" } else { "Error" }.to_owned());
    ApiState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(full_id(&status.id)),
            exit_code: status.exit_code,
            finished_at: status.finished.map(Time),
            message: given(&status.message),
            reason: Some(reason),
            signal: None,
            started_at: status.started.map(Time),
        }),
        ..ApiState::default()
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// All init containers have done their part.
pub(super) fn initialized(view: &View<'_>, spec: &PodSpec) -> bool {
    let began = |container: &Container| !view.lives(&container.name).is_empty();
    if spec.containers.iter().any(began) {
        return true;
    }
    spec.init_containers.iter().flatten().all(|container| {
        let last = view.lives(&container.name).into_iter().next();
        last.is_some_and(|last| {
            if is_sidecar(container) {
                last.state == ContainerState::Running && view.probes.started(&last.id)
            } else {
                last.state == ContainerState::Exited && last.exit_code == 0
            }
        })
    })
}

/// What the API said about it before, for what the runtime has forgotten.
fn before(view: &View<'_>, name: &str) -> Option<ApiStatus> {
    let old = view.old()?;
    let all = old.container_statuses.iter().flatten().chain(old.init_container_statuses.iter().flatten());
    all.into_iter().find(|status| status.name == name).cloned()
}

fn state(view: &View<'_>, container: &Container, last: Option<&ContainerStatus>, idle: &str) -> ApiState {
    if let Some(until) = view.backing_off.get(&container.name) {
        let rest = muster_base::clock::elapsed(view.now, *until).as_secs().div_ceil(10) * 10;
        let message = format!("back-off {rest}s restarting failed container={}", container.name);
        return waiting("CrashLoopBackOff", Some(message));
    }
    let failure = view.failures.get(&container.name);
    match (last.map(|last| (last, last.state)), failure) {
        (Some((last, ContainerState::Running)), _) => ApiState {
            running: Some(ContainerStateRunning { started_at: last.started.map(Time) }),
            ..ApiState::default()
        },
        (_, Some(failure)) => waiting(failure.reason, Some(failure.message.clone())),
        (Some((last, ContainerState::Exited | ContainerState::Unknown)), None) => terminated(last),
        (Some((_, ContainerState::Created)), None) => waiting("ContainerCreating", None),
        (None, None) => waiting(idle, None),
    }
}

fn last_state(view: &View<'_>, name: &str, shown: &ApiState, lives: &[&ContainerStatus]) -> Option<ApiState> {
    let newest_is_shown = shown.terminated.is_some() || shown.running.is_some();
    let earlier =
        lives.iter().skip(usize::from(newest_is_shown)).find(|life| life.state == ContainerState::Exited);
    if let Some(earlier) = earlier {
        return Some(terminated(earlier));
    }
    let old = before(view, name)?;
    let was = old.state.filter(|state| state.terminated.is_some() && lives.is_empty());
    was.or(old.last_state)
}

fn assemble(view: &View<'_>, container: &Container, idle: &str) -> ApiStatus {
    let lives = view.lives(&container.name);
    let last = lives.first().copied();
    let state = state(view, container, last, idle);
    let old = before(view, &container.name);
    // A sandbox that was removed took its dead containers along: what the API knew of them stays true.
    let state = match &old {
        Some(old) if lives.is_empty() && view.world.sandboxes.is_empty() && ended(view, old) => {
            old.state.clone().unwrap_or(state)
        }
        Some(_) | None => state,
    };
    let running = state.running.is_some();
    let started = running && last.is_some_and(|last| view.probes.started(&last.id));
    let count = last.map_or_else(
        || old.as_ref().map_or(0, |old| old.restart_count),
        |last| i32::try_from(last.attempt).unwrap_or(i32::MAX),
    );
    ApiStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: last
            .map(|last| last.image_ref.clone())
            .or_else(|| old.as_ref().map(|old| old.image_id.clone()))
            .unwrap_or_default(),
        container_id: last
            .map(|last| full_id(&last.id))
            .or_else(|| old.as_ref().and_then(|old| old.container_id.clone())),
        last_state: last_state(view, &container.name, &state, &lives),
        ready: running && last.is_some_and(|last| view.probes.ready(&last.id)),
        restart_count: count,
        started: Some(started),
        state: Some(state),
        ..ApiStatus::default()
    }
}

/// Its last word in the API was an end, and nothing will start it again.
fn ended(view: &View<'_>, old: &ApiStatus) -> bool {
    let final_phase = matches!(view.old().and_then(|old| old.phase.as_deref()), Some("Succeeded" | "Failed"));
    let over = final_phase || view.pod.metadata.deletion_timestamp.is_some();
    over && old.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

pub(super) fn main(view: &View<'_>, container: &Container, initialized: bool) -> ApiStatus {
    assemble(view, container, if initialized { "ContainerCreating" } else { "PodInitializing" })
}

pub(super) fn init(view: &View<'_>, container: &Container) -> ApiStatus {
    let mut status = assemble(view, container, "PodInitializing");
    if !is_sidecar(container) {
        let end = status.state.as_ref().and_then(|state| state.terminated.as_ref());
        status.ready = end.is_some_and(|end| end.exit_code == 0);
    }
    status
}
