//! The few facts of a Pod that decide what to do next.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// Whether anything may still be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    No,
    /// Its phase is final: it keeps its dead containers, nothing runs.
    Ended,
    /// Deleted, or unknown to the API.
    Forgotten,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Init,
    /// An init container that is restarted for ever: started in order, not waited for.
    Sidecar,
    Main,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub role: Role,
    pub image: String,
    /// The API's restart count: a new container's attempt number never falls below it.
    pub attempts_known: u32,
    pub held_until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    pub restart: RestartPolicy,
    pub ending: Ending,
    /// `activeDeadlineSeconds`, counted from the pod's start.
    pub expires: Option<Timestamp>,
    /// Init containers in their order, then the others.
    pub containers: Vec<Wanted>,
}

impl Desired {
    /// A pod the API does not know: nothing is wanted.
    pub fn forgotten() -> Self {
        Self {
            restart: RestartPolicy::Never,
            ending: Ending::Forgotten,
            expires: None,
            containers: Vec::new(),
        }
    }

    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = &Wanted> {
        self.containers.iter().filter(move |wanted| wanted.role == role)
    }

    /// Reads a Pod. `held` are the containers whose last start failed, and until when they wait.
    pub fn of_pod(pod: &Pod, held: &BTreeMap<String, Timestamp>) -> Self {
        let Some(spec) = &pod.spec else { return Self::forgotten() };
        let status = pod.status.clone().unwrap_or_default();
        let known: BTreeMap<String, u32> = [status.container_statuses, status.init_container_statuses]
            .into_iter()
            .flatten()
            .flatten()
            .filter(|container| container.last_state.is_some() || container.container_id.is_some())
            .map(|container| (container.name, u32::try_from(container.restart_count).unwrap_or(0) + 1))
            .collect();
        let wanted = |container: &Container, role: Role| Wanted {
            name: container.name.clone(),
            role,
            image: container.image.clone().unwrap_or_default(),
            attempts_known: known.get(&container.name).copied().unwrap_or(0),
            held_until: held.get(&container.name).copied(),
        };
        let init = spec.init_containers.iter().flatten().map(|container| {
            let role = if container.restart_policy.as_deref() == Some("Always") {
                Role::Sidecar
            } else {
                Role::Init
            };
            wanted(container, role)
        });
        let main = spec.containers.iter().map(|container| wanted(container, Role::Main));
        let ending = match status.phase.as_deref() {
            _ if pod.metadata.deletion_timestamp.is_some() => Ending::Forgotten,
            Some("Succeeded" | "Failed") => Ending::Ended,
            _ => Ending::No,
        };
        let expires = spec
            .active_deadline_seconds
            .zip(status.start_time)
            .map(|(s, start)| start.0 + SignedDuration::from_secs(s));
        let restart = match spec.restart_policy.as_deref() {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        };
        Self { restart, ending, expires, containers: init.chain(main).collect() }
    }
}
