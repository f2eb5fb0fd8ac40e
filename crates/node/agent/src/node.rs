//! The node in the API: its object, its heartbeat, and whether it is ready.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use muster_base::clock::{SharedClock, elapsed};
use muster_base::error::chain;
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::runtime::{Runtime, RuntimeStatus};

pub mod join;
mod lease;
mod object;

pub use object::{Facts, Registration};

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("node {name}: cannot {step}")]
    Api {
        name: String,
        step: &'static str,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("node {name}: no answer within {} s: {step}", LIMIT.as_secs())]
    TimedOut { name: String, step: &'static str },
}

const LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The status is repeated this often although nothing changed.
const REPEAT: Duration = Duration::from_secs(300);
/// A runtime that hangs takes no traffic from the containers it had started: the doctor files it within seconds and the
/// node is cordoned. Only a silence that no repair has ended makes the node unready and takes its pods out of Services;
/// upstream waits about two minutes.
const SILENCE: Duration = Duration::from_secs(60);

/// Keeps the node registered and tells how it is.
pub struct Keeper {
    pub client: Client,
    pub runtime: Arc<dyn Runtime>,
    pub clock: SharedClock,
    pub facts: Facts,
    registration: Mutex<Option<Registration>>,
}

/// What is said about the node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    ready: bool,
    reason: String,
    message: String,
}

impl Word {
    fn of(answer: Result<RuntimeStatus, String>) -> Self {
        let (runtime, network) = match answer {
            Err(message) => return Self::not("ContainerRuntimeSilent", message),
            Ok(status) => (status.runtime, status.network),
        };
        if !runtime.ready {
            return Self::not("ContainerRuntimeNotReady", format!("{}: {}", runtime.reason, runtime.message));
        }
        if !network.ready {
            return Self::not("NetworkNotReady", format!("{}: {}", network.reason, network.message));
        }
        Self {
            ready: true,
            reason: "KubeletReady".to_owned(),
            message: "the container runtime and its network are ready".to_owned(),
        }
    }

    fn not(reason: &str, message: String) -> Self {
        Self { ready: false, reason: reason.to_owned(), message }
    }
}

async fn within<T>(
    name: &str,
    step: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, NodeError> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(answer) => {
            answer.map_err(|source| NodeError::Api { name: name.to_owned(), step, source: Box::new(source) })
        }
        Err(_) => Err(NodeError::TimedOut { name: name.to_owned(), step }),
    }
}

impl Keeper {
    pub fn new(client: Client, runtime: Arc<dyn Runtime>, clock: SharedClock, facts: Facts) -> Self {
        Self { client, runtime, clock, facts, registration: Mutex::new(None) }
    }

    fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Creates the Node, or brings the labels and taints of an existing one up to date. What others put on it stays.
    ///
    /// # Errors
    /// The API does not answer or refuses.
    pub async fn register(&self, registration: &Registration) -> Result<(), NodeError> {
        let name = self.facts.name.clone();
        let node = object::node(&self.facts, registration);
        let found = within(&name, "read it", self.api().get_opt(&name)).await?;
        let known = found.is_some();
        match found {
            None => {
                within(&name, "create it", self.api().create(&PostParams::default(), &node)).await?;
                tracing::info!(node = name, "node registered");
            }
            Some(found) => {
                if let Some(patch) = object::difference(&found, &node) {
                    let patch = Patch::Merge(patch);
                    within(
                        &name,
                        "bring it up to date",
                        self.api().patch(&name, &PatchParams::default(), &patch),
                    )
                    .await?;
                }
            }
        }
        *self.registration.lock() = Some(registration.clone());
        let answer = self.runtime.status().await;
        if known && answer.is_err() {
            // What was said of the node stands until the runtime has been silent for long enough.
            return Ok(());
        }
        self.tell(&Word::of(answer.map_err(|error| error.to_string())), self.clock.now()).await
    }

    /// Takes up a node that was registered in an earlier life. False if there is none: then only an order registers it.
    ///
    /// # Errors
    /// The API does not answer or refuses.
    pub async fn resume(&self) -> Result<bool, NodeError> {
        let name = &self.facts.name;
        if within(name, "read it", self.api().get_opt(name)).await?.is_none() {
            return Ok(false);
        }
        self.register(&Registration::default()).await.map(|()| true)
    }

    /// Heartbeat and condition until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut said: Option<(Word, Timestamp)> = None;
        let mut heard = self.clock.now();
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if self.registration.lock().is_none() {
                continue;
            }
            let answer = self.runtime.status().await;
            let now = self.clock.now();
            if answer.is_ok() {
                heard = now;
            } else if elapsed(heard, now) < SILENCE {
                continue;
            }
            let word = Word::of(answer.map_err(|error| error.to_string()));
            if said.as_ref().is_some_and(|(before, at)| *before == word && elapsed(*at, now) < REPEAT) {
                continue;
            }
            match self.tell(&word, now).await {
                Ok(()) => {
                    tracing::info!(
                        node = self.facts.name,
                        ready = word.ready,
                        reason = word.reason,
                        "node status"
                    );
                    said = Some((word, now));
                }
                Err(error) => tracing::debug!(error = chain(&error), "node status not written"),
            }
        }
    }

    /// Renews the lease that says the agent lives.
    pub async fn beat(self: Arc<Self>, shutdown: CancellationToken) {
        let lease = lease::Lease::new(self.client.clone(), self.facts.name.clone());
        loop {
            if self.registration.lock().is_some()
                && let Err(error) = lease.renew(self.clock.now()).await
            {
                tracing::debug!(error = chain(&error), "heartbeat not written");
            }
            let wait = if self.registration.lock().is_some() { lease::EVERY } else { LOOK_EVERY };
            if shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn tell(&self, word: &Word, now: Timestamp) -> Result<(), NodeError> {
        let name = &self.facts.name;
        let found = within(name, "read it", self.api().get_opt(name)).await?;
        let registration = self.registration.lock().clone();
        let Some(found) = found else {
            // Somebody deleted it: an agent that lives is a node.
            let node = object::node(&self.facts, &registration.unwrap_or_default());
            within(name, "create it", self.api().create(&PostParams::default(), &node)).await?;
            return Ok(());
        };
        let old = found.status.unwrap_or_default().conditions.unwrap_or_default();
        let conditions = conditions(&old, word, now);
        let version = self.runtime.version().await.ok();
        let mut status = object::status(&self.facts, version.as_ref());
        status["conditions"] = json!(conditions);
        let patch = Patch::Merge(json!({ "status": status }));
        within(name, "write its status", self.api().patch_status(name, &PatchParams::default(), &patch))
            .await?;
        Ok(())
    }
}

/// Ready, and the pressures this agent does not see yet; conditions of others stay.
fn conditions(old: &[NodeCondition], word: &Word, now: Timestamp) -> Vec<NodeCondition> {
    let time = |at| Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        let before = old.iter().find(|condition| condition.type_ == kind && condition.status == status);
        NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: time(now),
            last_transition_time: before
                .and_then(|before| before.last_transition_time.clone())
                .or_else(|| time(now)),
        }
    };
    let ready = if word.ready { "True" } else { "False" };
    let ours = [condition("Ready", ready, &word.reason, &word.message)];
    let foreign = old.iter().filter(|condition| condition.type_ != "Ready").cloned();
    ours.iter().cloned().chain(foreign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Readiness;

    fn readiness(ready: bool) -> Readiness {
        Readiness { ready, reason: "R".to_owned(), message: "m".to_owned() }
    }

    #[test]
    fn the_node_is_ready_when_runtime_and_network_are_and_says_which_is_not() {
        let word = |runtime, network| {
            Word::of(Ok(RuntimeStatus { runtime: readiness(runtime), network: readiness(network) }))
        };
        assert!(word(true, true).ready);
        assert_eq!(word(true, false), Word::not("NetworkNotReady", "R: m".to_owned()));
        assert_eq!(word(false, false), Word::not("ContainerRuntimeNotReady", "R: m".to_owned()));
        assert_eq!(Word::of(Err("x".to_owned())), Word::not("ContainerRuntimeSilent", "x".to_owned()));
    }

    #[test]
    fn the_time_of_the_last_change_moves_only_with_the_status() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let word = Word::not("A", String::new());
        let first = conditions(&[], &word, at(1));
        let second = conditions(&first, &Word::not("B", String::new()), at(2));
        assert_eq!(second[0].last_transition_time.as_ref().unwrap().0, at(1));
        assert_eq!((second[0].reason.as_deref(), second.len()), (Some("B"), 1));
    }
}
