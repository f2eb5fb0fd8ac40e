//! Events: what a controller tells people about an object (`kubectl describe`, `kubectl get events`).
//!
//! One Event per object, reason and message, counted up when it happens again, so that a loop does not flood.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use muster_base::clock::SharedClock;
use muster_base::error::chain;
use serde_json::json;

use crate::rest::{PatchKind, Rest, path};
use crate::{is_conflict, is_not_found};

/// How a person should take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As intended.
    Normal,
    /// Worth a look.
    Warning,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// How a person should take it.
    pub severity: Severity,
    /// One word in CamelCase.
    pub reason: &'a str,
    /// A sentence.
    pub message: &'a str,
}

/// Writes events in the name of one component. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    rest: Rest,
    component: String,
    clock: SharedClock,
}

impl Events {
    /// Events of `component`, written with its own client.
    pub fn new(client: Client, component: impl Into<String>, clock: SharedClock) -> Self {
        Self { rest: Rest::new(client), component: component.into(), clock }
    }

    /// Tells it. That an event could not be written is logged and changes nothing else.
    pub async fn tell(&self, about: &ObjectReference, note: Note<'_>) {
        if let Err(error) = self.try_tell(about, note).await {
            // The namespace of a deleted object may be gone or closing: nobody will miss the event.
            let expected = is_not_found(&error) || matches!(&error, kube::Error::Api(s) if s.code == 403);
            let error = chain(&error);
            if expected {
                tracing::debug!(reason = note.reason, error, "an event could not be written");
            } else {
                tracing::info!(reason = note.reason, error, "an event could not be written");
            }
        }
    }

    async fn try_tell(&self, about: &ObjectReference, note: Note<'_>) -> Result<(), kube::Error> {
        let namespace = about.namespace.as_deref().filter(|ns| !ns.is_empty()).unwrap_or("default");
        let name = name(about, note);
        let now = self.clock.now();
        let body = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": about,
            "type": format!("{:?}", note.severity), "reason": note.reason, "message": note.message,
            "source": {"component": self.component},
            "reportingComponent": self.component, "reportingInstance": "",
            "firstTimestamp": seconds(now), "lastTimestamp": seconds(now), "count": 1,
        });
        match self.rest.create(&path("v1", namespace, "events", ""), &body).await {
            Ok(_) => return Ok(()),
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(error),
        }
        let path = path("v1", namespace, "events", &name);
        let before = self.rest.get(&path).await?;
        let count = before["count"].as_i64().unwrap_or(1).saturating_add(1);
        let patch = json!({"count": count, "lastTimestamp": seconds(now)});
        self.rest.patch(&path, PatchKind::Merge, &patch).await.map(|_| ())
    }
}

/// The API's own times have no fraction of a second.
fn seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn name(about: &ObjectReference, note: Note<'_>) -> String {
    let mut hasher = DefaultHasher::new();
    (&about.kind, &about.uid, note.reason, note.message).hash(&mut hasher);
    format!("{}.{:016x}", about.name.as_deref().unwrap_or_default(), hasher.finish())
}
