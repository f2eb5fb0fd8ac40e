//! Orders: what the workflow tells this machine to do. A closed list of verbs, fenced by generation, each effect at most once
//! per key, everything written down before and after.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use muster_api::Order;
use muster_api::order::{self, OUTPUT_BYTES_MAX, OrderPhase, OrderSpec, OrderStatus, Refusal};
use muster_base::clock::SharedClock;
use muster_base::error::chain;
use muster_brake::{Act, AskError, Brake, Hold};
use tokio_util::sync::CancellationToken;

mod erase;
mod execute;
mod files;
mod kernel;
mod ledger;
mod mend;
mod note;
mod packages;
pub(crate) mod program;
mod role;
mod services;
mod sysctl;

pub use erase::Disks;
pub use execute::{Executor, Outcome};
pub use ledger::{Entry, Key, Ledger, LedgerError, Verdict};
pub use mend::MendHands;
pub use role::RoleHands;
pub use services::ServiceRestoreError;

/// Carries orders out. [`Executor`] does so on this machine; a simulation does so on an imagined one.
pub trait Execute: Send + Sync + 'static {
    /// Does what the order says.
    fn execute<'a>(&'a self, order: &'a OrderSpec) -> BoxFuture<'a, Outcome>;
}

/// Listens for the orders of one machine and carries them out one after the other.
pub struct Desk {
    client: Client,
    clock: SharedClock,
    machine: String,
    /// Identity of this boot.
    boot_id: String,
    ledger: tokio::sync::Mutex<Ledger>,
    executor: Arc<dyn Execute>,
    brake: Brake,
}

const API_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("order {order}: cannot write its status")]
    Status {
        order: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("order {order}: its status was not taken within {} s", API_LIMIT.as_secs())]
    TimedOut { order: String },
    #[error("order {order} is not begun")]
    Ask {
        order: String,
        #[source]
        source: AskError,
    },
    #[error("order {order}")]
    Ledger {
        order: String,
        #[source]
        source: LedgerError,
    },
}

fn name(order: &Order) -> String {
    order.metadata.name.clone().unwrap_or_default()
}

/// Brings the kernel settings back that orders had changed, as noted in `note`.
pub(crate) fn restore_sysctls(proc: &std::path::Path, note: &std::path::Path) -> std::io::Result<()> {
    sysctl::restore(proc, note)
}

/// At most so many bytes, cut at a character.
fn bounded(text: &str) -> String {
    let mut end = text.len().min(OUTPUT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl Desk {
    pub fn new(
        client: Client,
        clock: SharedClock,
        (machine, boot_id): (String, String),
        ledger: Ledger,
        executor: Arc<dyn Execute>,
    ) -> Self {
        let brake = Brake::new(client.clone(), SharedClock::clone(&clock));
        Self { client, clock, machine, boot_id, ledger: tokio::sync::Mutex::new(ledger), executor, brake }
    }

    /// Until `shutdown`. An order in progress is finished first.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let api: Api<Order> = Api::all(self.client.clone());
        let config = watcher::Config::default().fields(&format!("spec.machine={}", self.machine));
        let mut orders = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
        while let Some(Some(event)) = shutdown.run_until_cancelled(orders.next()).await {
            match event {
                Ok(order) => self.see_through(&order, &shutdown).await,
                Err(error) => tracing::debug!(%error, "the watch of orders was interrupted"),
            }
        }
    }

    /// Handles one order until it is answered. Its effect happens once; only the answer is repeated.
    async fn see_through(&self, order: &Order, shutdown: &CancellationToken) {
        while let Err(error) = self.handle(order).await {
            tracing::warn!(order = name(order), error = chain(&error), "an order could not be answered");
            let is_ours = matches!(error, OrderError::Ledger { .. });
            if is_ours || shutdown.run_until_cancelled(tokio::time::sleep(ANSWER_AGAIN)).await.is_none() {
                return;
            }
        }
    }

    /// Carries out one order, answers it from the record, or refuses it.
    ///
    /// # Errors
    /// The record cannot be written or nobody says whether the machine is to be left alone (then nothing was done), or the
    /// API does not take the answer (then it is given again when the order is seen again).
    pub async fn handle(&self, order: &Order) -> Result<(), OrderError> {
        let done = order.status.as_ref().is_some_and(|status| status.phase.is_final());
        // The field selector is the API's promise; this is ours.
        let ours = order.spec.machine == self.machine && order.spec.verb.executor() == order::Executor::Agent;
        if done || !ours {
            return Ok(());
        }
        let failed = |source| OrderError::Ledger { order: name(order), source };
        let mut ledger = self.ledger.lock().await;
        let now = self.clock.now();
        match ledger.judge(&Key::of(order), order.spec.generation) {
            Verdict::Stale { highest } => {
                let message = format!(
                    "generation {} is older than {highest}, which this machine has seen",
                    order.spec.generation
                );
                self.answer(order, status(OrderPhase::Refused, message, String::new(), None, Some(now))).await
            }
            Verdict::Known(Entry { status: Some(answer), .. }) => self.answer(order, answer).await,
            Verdict::Known(Entry { begun, boot_id, status: None }) => {
                let answer = if order.spec.verb == order::Verb::Reboot {
                    match mend::boot::seen(&boot_id, &self.boot_id) {
                        Some(message) => {
                            status(OrderPhase::Done, message, String::new(), Some(begun), Some(now))
                        }
                        // The machine has not ended yet. If it never does, the step's deadline says so.
                        None => return Ok(()),
                    }
                } else {
                    let message = "the agent died while at it: whether it took effect is not known";
                    status(OrderPhase::Failed, message.to_owned(), String::new(), Some(begun), Some(now))
                };
                ledger.end(&Key::of(order), answer.clone()).map_err(failed)?;
                self.answer(order, answer).await
            }
            Verdict::New if order.spec.expires_at.is_some_and(|end| end <= now) => {
                let message = "it expired before this machine could begin".to_owned();
                self.answer(order, status(OrderPhase::Refused, message, String::new(), None, Some(now))).await
            }
            Verdict::New => {
                if let Some(hold) = self.hold(order).await? {
                    return self.answer(order, held(&hold, now)).await;
                }
                let begin = Entry { begun: now, boot_id: self.boot_id.clone(), status: None };
                ledger.begin(&Key::of(order), order.spec.generation, begin).map_err(failed)?;
                let answer = self.carry_out(order, now).await?;
                if answer.phase == OrderPhase::Accepted {
                    return self.answer(order, answer).await;
                }
                ledger.end(&Key::of(order), answer.clone()).map_err(failed)?;
                self.answer(order, answer).await
            }
        }
    }

    /// What holds the order back at this moment. Asked last, so that a pause holds within a second.
    async fn hold(&self, order: &Order) -> Result<Option<Hold>, OrderError> {
        let asked = self.brake.ask(&self.machine, Act::of(order.spec.verb)).await;
        asked.map_err(|source| OrderError::Ask { order: name(order), source })
    }

    async fn carry_out(&self, order: &Order, begun: Timestamp) -> Result<OrderStatus, OrderError> {
        let (verb, run, step, attempt) =
            (order.spec.verb.as_str(), &order.spec.run, &order.spec.step, order.spec.attempt);
        tracing::info!(order = name(order), verb, run, step, attempt, "order accepted");
        let accepted = status(OrderPhase::Accepted, String::new(), String::new(), Some(begun), None);
        // Told meanwhile: between the last look at the pauses and the act lies nothing that may take long.
        let (told, outcome) = tokio::join!(self.answer(order, accepted), self.executor.execute(&order.spec));
        if let Err(error) = told {
            tracing::debug!(error = chain(&error), "the acceptance could not be told");
        }
        let phase = outcome.phase();
        let ended = phase.is_final().then(|| self.clock.now());
        tracing::info!(
            order = name(order),
            verb,
            run,
            step,
            attempt,
            phase = phase.as_str(),
            message = outcome.message(),
            "order carried out"
        );
        Ok(status(phase, bounded(outcome.message()), bounded(outcome.output()), Some(begun), ended))
    }

    async fn answer(&self, order: &Order, status: OrderStatus) -> Result<(), OrderError> {
        let api: Api<Order> = Api::all(self.client.clone());
        let order = name(order);
        let patch = Patch::Merge(serde_json::json!({ "status": status }));
        let parameters = PatchParams::default();
        match tokio::time::timeout(API_LIMIT, api.patch_status(&order, &parameters, &patch)).await {
            Ok(Ok(_)) => Ok(()),
            // Deleted meanwhile: nobody waits for the answer.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(()),
            Ok(Err(source)) => Err(OrderError::Status { order, source: Box::new(source) }),
            Err(_) => Err(OrderError::TimedOut { order }),
        }
    }
}

fn status(
    phase: OrderPhase,
    message: String,
    output: String,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
) -> OrderStatus {
    OrderStatus { phase, message, output, started_at, ended_at, ..OrderStatus::default() }
}

fn held(hold: &Hold, now: Timestamp) -> OrderStatus {
    let refused = status(OrderPhase::Refused, hold.to_string(), String::new(), None, Some(now));
    OrderStatus { refusal: Some(Refusal::Held), ..refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_at_a_character() {
        let long = "é".repeat(3000);
        assert_eq!(bounded(&long).len(), 4096);
        let odd = format!("a{long}");
        assert_eq!(bounded(&odd).len(), 4095);
        assert_eq!(bounded("short"), "short");
    }
}
