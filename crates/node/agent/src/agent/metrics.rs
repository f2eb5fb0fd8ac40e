//! What the agent counts.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::containerd::Event;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: &'static str,
}

#[derive(Debug, Clone)]
pub(super) struct Metrics {
    service_events: Arc<Family<EventLabel, Counter>>,
}

impl Metrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let service_events = Family::<EventLabel, Counter>::default();
        registry.register(
            "muster_agent_containerd_events",
            "What the supervisor of containerd saw and did",
            service_events.clone(),
        );
        Self { service_events: Arc::new(service_events) }
    }

    /// Counts and logs an event of the supervisor.
    pub(super) fn service_event(&self, event: &Event) {
        let name = match event {
            Event::Exited { pid, words, .. } => {
                tracing::warn!(pid, words, "containerd exited");
                "exited"
            }
            Event::Restarted { restarts_in_window, .. } => {
                tracing::info!(restarts_in_window, "containerd restarted after it had exited");
                "restarted"
            }
            Event::RestartFailed { message, .. } => {
                tracing::warn!(message, "containerd did not restart");
                "restart_failed"
            }
            Event::GaveUp { restarts_in_window, .. } => {
                tracing::error!(
                    restarts_in_window,
                    "containerd keeps exiting and is left down until a restart is ordered"
                );
                "gave_up"
            }
        };
        self.service_events.get_or_create(&EventLabel { event: name }).inc();
    }
}
