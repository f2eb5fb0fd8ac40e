//! What a round of the ledger reads and writes.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt as _};
use muster_api::disruption::ledger::{LEDGER, LedgerSpec};
use muster_api::{Disruption, DisruptionBudget, Ledger, Machine, Pause, Run, Site};
use muster_base::clock::SharedClock;
use muster_control::{Informer, ObjectKey, is_conflict, is_not_found};
use serde::de::DeserializeOwned;

/// Whether a write against a version was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Taken,
    /// Somebody else wrote in between, or it is not there any more; nothing changed.
    Stale,
}

/// The books behind a round. What is watched may be behind; everything else is read at that moment.
pub(crate) trait Books: Send + Sync {
    type Error: Send;

    fn now(&self) -> Timestamp;
    fn watched_machines(&self) -> Vec<Arc<Machine>>;
    fn watched_run(&self, name: &str) -> Option<Arc<Run>>;
    fn watched_sites(&self) -> BTreeSet<String>;

    fn ledger(&self) -> impl Future<Output = Result<Ledger, Self::Error>> + Send;
    fn requests(&self) -> impl Future<Output = Result<Vec<Disruption>, Self::Error>> + Send;
    fn budgets(&self) -> impl Future<Output = Result<Vec<DisruptionBudget>, Self::Error>> + Send;
    fn pauses(&self) -> impl Future<Output = Result<Vec<Pause>, Self::Error>> + Send;
    fn machine(&self, name: &str) -> impl Future<Output = Result<Option<Machine>, Self::Error>> + Send;
    fn run(&self, name: &str) -> impl Future<Output = Result<Option<Run>, Self::Error>> + Send;

    fn write_ledger(&self, ledger: &Ledger) -> impl Future<Output = Result<Written, Self::Error>> + Send;
    fn write_request(
        &self,
        request: &Disruption,
    ) -> impl Future<Output = Result<Written, Self::Error>> + Send;
    fn write_budget(
        &self,
        budget: &DisruptionBudget,
    ) -> impl Future<Output = Result<Written, Self::Error>> + Send;
    fn write_pause(&self, pause: &Pause) -> impl Future<Output = Result<Written, Self::Error>> + Send;
    fn forget(&self, request: &Disruption) -> impl Future<Output = Result<Written, Self::Error>> + Send;
}

/// The books in the API.
pub(super) struct ApiBooks {
    pub(super) client: Client,
    pub(super) clock: SharedClock,
    pub(super) machines: Informer<Machine>,
    pub(super) runs: Informer<Run>,
    pub(super) sites: Informer<Site>,
}

fn judged<T>(written: Result<T, kube::Error>) -> Result<Written, kube::Error> {
    match written {
        Ok(_) => Ok(Written::Taken),
        Err(error) if is_conflict(&error) || is_not_found(&error) => Ok(Written::Stale),
        Err(error) => Err(error),
    }
}

impl ApiBooks {
    fn api<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    async fn all<K>(&self) -> Result<Vec<K>, kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        Ok(self.api::<K>().list(&ListParams::default()).await?.items)
    }

    async fn write_status<K>(&self, object: &K) -> Result<Written, kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
    {
        judged(self.api::<K>().replace_status(&object.name_any(), &PostParams::default(), object).await)
    }
}

impl Books for ApiBooks {
    type Error = kube::Error;

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn watched_machines(&self) -> Vec<Arc<Machine>> {
        self.machines.list()
    }

    fn watched_run(&self, name: &str) -> Option<Arc<Run>> {
        self.runs.get(&ObjectKey::cluster(name))
    }

    fn watched_sites(&self) -> BTreeSet<String> {
        self.sites.list().iter().map(|site| site.name_any()).collect()
    }

    async fn ledger(&self) -> Result<Ledger, kube::Error> {
        let api = self.api::<Ledger>();
        if let Some(ledger) = api.get_opt(LEDGER).await? {
            return Ok(ledger);
        }
        match api.create(&PostParams::default(), &Ledger::new(LEDGER, LedgerSpec {})).await {
            Err(error) if is_conflict(&error) => api.get(LEDGER).await,
            other => other,
        }
    }

    async fn requests(&self) -> Result<Vec<Disruption>, kube::Error> {
        self.all().await
    }

    async fn budgets(&self) -> Result<Vec<DisruptionBudget>, kube::Error> {
        self.all().await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, kube::Error> {
        self.all().await
    }

    async fn machine(&self, name: &str) -> Result<Option<Machine>, kube::Error> {
        self.api().get_opt(name).await
    }

    async fn run(&self, name: &str) -> Result<Option<Run>, kube::Error> {
        self.api().get_opt(name).await
    }

    async fn write_ledger(&self, ledger: &Ledger) -> Result<Written, kube::Error> {
        self.write_status(ledger).await
    }

    async fn write_request(&self, request: &Disruption) -> Result<Written, kube::Error> {
        self.write_status(request).await
    }

    async fn write_budget(&self, budget: &DisruptionBudget) -> Result<Written, kube::Error> {
        self.write_status(budget).await
    }

    async fn write_pause(&self, pause: &Pause) -> Result<Written, kube::Error> {
        self.write_status(pause).await
    }

    async fn forget(&self, request: &Disruption) -> Result<Written, kube::Error> {
        let seen = Preconditions {
            uid: request.metadata.uid.clone(),
            resource_version: request.metadata.resource_version.clone(),
        };
        let params = DeleteParams { preconditions: Some(seen), ..DeleteParams::default() };
        judged(self.api::<Disruption>().delete(&request.name_any(), &params).await)
    }
}
