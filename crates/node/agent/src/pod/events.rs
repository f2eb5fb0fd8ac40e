//! What happens to a pod on this node, told to people as Events in the words of the kubelet. Told aside: no start waits
//! for it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use muster_base::task::{Kind, Tasks};
use muster_control::events::{Events, Note, Severity};
use tokio::sync::mpsc;

/// More are waiting only while the API is away; those beyond are dropped, for the status tells the state anyway.
const WAITING_MAX: usize = 256;
const API_LIMIT: Duration = Duration::from_secs(10);

/// Whom an event is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum About<'a> {
    Pod,
    Container(&'a str),
}

/// Something that happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) severity: Severity,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Happened {
    pub(super) fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Normal, reason, message: message.into() }
    }

    pub(super) fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, reason, message: message.into() }
    }

    /// A container that was not started, by the reason that its status shows.
    pub(super) fn failure(reason: &str, message: &str, image: &str) -> Self {
        match reason {
            "ErrImagePull" => Self::warning("Failed", format!("Failed to pull image {image:?}: {message}")),
            "ImagePullBackOff" => Self::normal("BackOff", format!("Back-off pulling image {image:?}")),
            "ErrImageNeverPull" => Self::warning("ErrImageNeverPull", message),
            "PostStartHookError" => {
                Self::warning("FailedPostStartHook", format!("PostStartHook failed: {message}"))
            }
            "CreatePodSandboxError" => {
                Self::warning("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {message}"))
            }
            _ => Self::warning("Failed", format!("Error: {message}")),
        }
    }
}

/// Takes what happened, and returns at once.
#[derive(Clone)]
pub struct Teller(mpsc::Sender<(ObjectReference, Happened)>);

impl Teller {
    /// Starts the task that writes them.
    pub fn start(events: Events, tasks: &Tasks) -> Self {
        let (sender, mut waiting) = mpsc::channel::<(ObjectReference, Happened)>(WAITING_MAX);
        let shutdown = tasks.shutdown_token();
        tasks.spawn(Kind::Service, "events of pods", async move {
            while let Some(Some((about, what))) = shutdown.run_until_cancelled(waiting.recv()).await {
                let note = Note { severity: what.severity, reason: what.reason, message: &what.message };
                if tokio::time::timeout(API_LIMIT, events.tell(&about, note)).await.is_err() {
                    tracing::debug!(reason = what.reason, "an event was not written in time");
                }
            }
        });
        Self(sender)
    }

    pub(super) fn tell(&self, pod: &Pod, about: About<'_>, what: Happened) {
        if let Err(error) = self.0.try_send((reference(pod, about), what)) {
            tracing::debug!(%error, "an event was dropped");
        }
    }
}

fn reference(pod: &Pod, about: About<'_>) -> ObjectReference {
    let field = |name: &str| {
        let initial = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let list =
            if initial.into_iter().any(|one| one.name == name) { "initContainers" } else { "containers" };
        format!("spec.{list}{{{name}}}")
    };
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        field_path: match about {
            About::Pod => None,
            About::Container(name) => Some(field(name)),
        },
        ..ObjectReference::default()
    }
}

#[cfg(test)]
impl Teller {
    /// What was told stands in the receiver.
    pub(super) fn heard() -> (Self, mpsc::Receiver<(ObjectReference, Happened)>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), receiver)
    }
}
