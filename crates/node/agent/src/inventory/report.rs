//! Writes the facts into the machine's Inventory, which nobody else writes.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use muster_api::inventory::{InventorySpec, InventoryStatus};
use muster_api::{HardwareProfile, Inventory, Machine};
use muster_base::clock::{SharedClock, elapsed};
use muster_base::error::chain;
use muster_control::hardware::difference;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::speed::Speedometer;
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
    InventoryStatus { observed_at: None, ..status.clone() }
}

impl Reporter {
    /// Until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut told: Option<InventoryStatus> = None;
        let mut meter = Speedometer::default();
        loop {
            let now = self.clock.now();
            let mut facts = observe(&self.roots, now);
            facts.speed = meter.speed();
            self.compare(&mut facts).await;
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

    /// Notes what differs from the machine's profile. Where that cannot be read, nothing is said of it.
    async fn compare(&self, facts: &mut InventoryStatus) {
        match tokio::time::timeout(LIMIT, self.profile()).await {
            Ok(Ok(Some(profile))) => {
                let difference = difference(&profile.spec, facts);
                facts.missing = difference.missing;
                facts.surplus = difference.surplus;
            }
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the profile of this machine cannot be read"),
        }
    }

    async fn profile(&self) -> Result<Option<HardwareProfile>, kube::Error> {
        let machine = Api::<Machine>::all(self.client.clone()).get_opt(&self.machine).await?;
        let Some(name) = machine.map(|machine| machine.spec.profile).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        Api::<HardwareProfile>::all(self.client.clone()).get_opt(&name).await
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
            let mut status = serde_json::to_value(facts).map_err(kube::Error::SerdeError)?;
            // A merge keeps what it does not name.
            status["missing"] = json!(facts.missing);
            status["surplus"] = json!(facts.surplus);
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
