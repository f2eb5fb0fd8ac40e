//! Writes the facts into the machine's Inventory, which nobody else writes.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use muster_api::Inventory;
use muster_api::inventory::{InventorySpec, InventoryStatus};
use muster_base::clock::{SharedClock, elapsed};
use muster_base::error::chain;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Roots, observe};

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("inventory {machine}: the API refuses it")]
    Api {
        machine: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("inventory {machine}: no answer within {} s", LIMIT.as_secs())]
    TimedOut { machine: String },
}

const LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(2);
/// Facts are repeated this often although they did not change: stale facts are no facts.
const REPEAT: Duration = Duration::from_secs(600);

/// Keeps one machine's Inventory true.
pub struct Reporter {
    pub client: Client,
    pub clock: SharedClock,
    pub machine: String,
    pub roots: Roots,
}

/// The facts without their time.
fn timeless(status: &InventoryStatus) -> InventoryStatus {
    InventoryStatus { observed_at: None, missing: Vec::new(), surplus: Vec::new(), ..status.clone() }
}

impl Reporter {
    /// Until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut told: Option<InventoryStatus> = None;
        loop {
            let now = self.clock.now();
            let facts = observe(&self.roots, now);
            let fresh = told.as_ref().is_some_and(|told| {
                timeless(told) == timeless(&facts)
                    && elapsed(told.observed_at.unwrap_or(Timestamp::UNIX_EPOCH), now) < REPEAT
            });
            let mut wait = LOOK_EVERY;
            if !fresh {
                match self.write(&facts).await {
                    Ok(()) => told = Some(facts),
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "the inventory was not written");
                        wait = RETRY;
                    }
                }
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn write(&self, facts: &InventoryStatus) -> Result<(), ReportError> {
        let api: Api<Inventory> = Api::all(self.client.clone());
        let write = async {
            if api.get_opt(&self.machine).await?.is_none() {
                let empty = Inventory::new(&self.machine, InventorySpec {});
                match api.create(&PostParams::default(), &empty).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    Err(error) => return Err(error),
                }
            }
            // What a profile makes of the facts belongs to somebody else.
            let mut status = serde_json::to_value(facts).map_err(kube::Error::SerdeError)?;
            if let Some(fields) = status.as_object_mut() {
                fields.retain(|name, _| name != "missing" && name != "surplus");
            }
            let patch = Patch::Merge(json!({ "status": status }));
            api.patch_status(&self.machine, &PatchParams::default(), &patch).await.map(|_| ())
        };
        match tokio::time::timeout(LIMIT, write).await {
            Ok(written) => written.map_err(|source| ReportError::Api {
                machine: self.machine.clone(),
                source: Box::new(source),
            }),
            Err(_) => Err(ReportError::TimedOut { machine: self.machine.clone() }),
        }
    }
}
