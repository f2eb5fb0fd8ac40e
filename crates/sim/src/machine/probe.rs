//! What the doctor of an imagined machine sees, with the time it takes to see it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use muster_agent::runtime::{Runtime as _, RuntimeErrorKind};
use muster_api::probe::{Readings, RuntimeReading, RuntimeState};
use muster_doctor::{ReadingsError, Source};

use super::Machine;

/// As long as a doctor waits for its agent.
const AGENT_SILENCE: Duration = Duration::from_secs(4);
/// As long as an agent waits for its runtime.
const RUNTIME_SILENCE: Duration = Duration::from_secs(2);

pub(super) struct Probe(pub(super) Arc<Machine>);

impl Source for Probe {
    fn readings(&self) -> BoxFuture<'_, Result<Readings, ReadingsError>> {
        Box::pin(async move {
            if !self.0.is_alive() {
                tokio::time::sleep(AGENT_SILENCE).await;
                return Err(ReadingsError::TooLate(AGENT_SILENCE));
            }
            let boot_id = self.0.boot_id();
            Ok(Readings { boot_id, runtime: self.runtime().await, disks: Vec::new() })
        })
    }
}

impl Probe {
    /// Nothing is said of a runtime that was never started.
    async fn runtime(&self) -> Option<RuntimeReading> {
        if !self.0.started.load(Ordering::Relaxed) {
            return None;
        }
        let answer = self.0.runtime.version().await;
        let (state, detail, took) = match answer {
            Ok(version) => {
                (RuntimeState::Answers, format!("{} {}", version.name, version.version), Duration::ZERO)
            }
            Err(error) if error.kind == RuntimeErrorKind::TimedOut => {
                (RuntimeState::Hung, error.to_string(), RUNTIME_SILENCE)
            }
            Err(error) => (RuntimeState::Gone, error.to_string(), Duration::ZERO),
        };
        tokio::time::sleep(took).await;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Some(RuntimeReading { state, detail, took_ms })
    }
}
