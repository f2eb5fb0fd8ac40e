//! Lets machines join: answers the certificate requests of those who show a token, and of agents that renew theirs.
//!
//! A request that is approved is the record that its token was used; the token itself goes when the machine has had the
//! time to fetch its certificate under it. A machine that nobody expected is made before its request is approved, so that no agent ever runs without its Machine.

mod plan;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use muster_api::join::{Invitation, TOKEN_NAMESPACE, TOKEN_PREFIX};
use muster_api::{Inventory, Machine, MachineRole, Site};
use muster_base::clock::{SharedClock, elapsed};
use muster_base::task::Tasks;
use muster_control::{
    Cause, Driver, Informer, Informers, Metrics, ObjectKey, Outcome, Pass, Queue, Sweep, is_conflict,
    is_not_found,
};
use serde::Deserialize;
use serde_json::json;

use crate::Config;
use plan::{Answer, World};

/// What is read of a CertificateSigningRequest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RequestView {
    #[serde(deserialize_with = "muster_control::slim_metadata")]
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: RequestSpec,
    pub(crate) status: RequestStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RequestSpec {
    /// PEM in base64.
    pub(crate) request: String,
    pub(crate) signer_name: String,
    pub(crate) username: String,
    pub(crate) groups: Vec<String>,
    pub(crate) usages: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RequestStatus {
    pub(crate) conditions: Vec<RequestCondition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RequestCondition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

muster_control::view!(RequestView: "certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", kube::core::ClusterResourceScope);

/// How long a token outlives the request that used it: under it the machine fetches its certificate.
const TOKEN_OUTLIVES: Duration = Duration::from_secs(90);

struct Join {
    client: Client,
    clock: SharedClock,
    requests: Informer<RequestView>,
    machines: Informer<Machine>,
    inventories: Informer<Inventory>,
    sites: Informer<Site>,
    roles: Informer<MachineRole>,
}

/// Starts answering; it ends with `tasks`. Only the leader may do so. `client` is the identity that approves.
pub fn start(
    client: &Client,
    informers: &Informers,
    clock: &SharedClock,
    tasks: &Tasks,
    metrics: &Metrics,
    config: &Config,
) {
    let own = Informers::new(client.clone(), tasks.clone());
    let join = Join {
        client: client.clone(),
        clock: SharedClock::clone(clock),
        requests: own.of(),
        machines: informers.of(),
        inventories: informers.of(),
        sites: informers.of(),
        roles: informers.of(),
    };
    let queue = Queue::new();
    let to = queue.clone();
    join.requests.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
    Sweep::new("join", config.sweep_every, metrics.clone()).over(&join.requests, &queue).start(tasks);
    // One worker: two requests with one token are never judged at once.
    Driver::new("join", metrics.clone()).start(tasks, &queue, join);
}

impl Join {
    async fn ready(&self) {
        self.requests.ready().await;
        self.machines.ready().await;
        self.inventories.ready().await;
        self.sites.ready().await;
        self.roles.ready().await;
    }

    fn answer_to(&self, request: &RequestView) -> Answer {
        let serial = plan::serial(request);
        let name = plan::wished(request).unwrap_or_default();
        let used = |other: &RequestView| {
            other.metadata.uid != request.metadata.uid
                && other.spec.username == request.spec.username
                && plan::is(other, "Approved")
        };
        let bears = |machine: &Machine| {
            !serial.is_empty() && crate::machine::identities(machine)[0].as_deref() == Some(serial)
        };
        let machine = self.machines.get(&ObjectKey::cluster(&name));
        let bearer = self.machines.filtered(bears).into_iter().min_by_key(|machine| machine.name_any());
        let inventory = self.inventories.get(&ObjectKey::cluster(&name));
        let invitation = Invitation::of_groups(&request.spec.groups).unwrap_or_default();
        let world = World {
            token_used: !self.requests.filtered(used).is_empty(),
            machine: machine.as_deref(),
            bearer: bearer.as_deref(),
            inventory: inventory.and_then(|found| found.status.clone()),
            site: self.sites.get(&ObjectKey::cluster(&invitation.site)).is_some(),
            role: self.roles.get(&ObjectKey::cluster(&invitation.role)).is_some(),
        };
        plan::plan(request, &world)
    }

    async fn create(&self, machine: &Machine) -> Result<(), kube::Error> {
        let api: Api<Machine> = Api::all(self.client.clone());
        match api.create(&PostParams::default(), machine).await {
            Err(error) if !is_conflict(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn say(
        &self,
        request: &RequestView,
        kind: &str,
        reason: &str,
        message: &str,
    ) -> Result<(), kube::Error> {
        let now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let condition = json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastUpdateTime": now, "lastTransitionTime": now,
        });
        let body = json!({
            "metadata": { "resourceVersion": request.metadata.resource_version },
            "status": { "conditions": [condition] },
        });
        let name = request.metadata.name.as_deref().unwrap_or_default();
        Api::<RequestView>::all(self.client.clone())
            .patch_subresource("approval", name, &PatchParams::default(), &Patch::Merge(body))
            .await?;
        let user = request.spec.username.as_str();
        tracing::info!(
            request = name,
            user,
            answer = kind,
            reason,
            message,
            "a request to join was answered"
        );
        Ok(())
    }

    /// The token of an approved request lets nobody else in.
    async fn end_token(&self, request: &RequestView) -> Result<Outcome, kube::Error> {
        let Some(id) = plan::token_id(request) else { return Ok(Outcome::IDLE) };
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), TOKEN_NAMESPACE);
        match secrets.delete(&format!("{TOKEN_PREFIX}{id}"), &DeleteParams::default()).await {
            Ok(_) => Ok(Outcome::ACTED),
            Err(error) if is_not_found(&error) => Ok(Outcome::IDLE),
            Err(error) => Err(error),
        }
    }
}

impl Pass for Join {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.ready().await;
        let Some(request) = self.requests.get(key) else { return Ok(Outcome::IDLE) };
        match self.answer_to(&request) {
            Answer::NotOurs => Ok(Outcome::IDLE),
            Answer::EndToken => {
                let asked = request.metadata.creation_timestamp.as_ref();
                let age = elapsed(asked.map_or(Timestamp::UNIX_EPOCH, |time| time.0), self.clock.now());
                if age < TOKEN_OUTLIVES {
                    return Ok(Outcome::IDLE.again_after(TOKEN_OUTLIVES - age));
                }
                self.end_token(&request).await
            }
            Answer::Deny { reason, message } => {
                self.say(&request, "Denied", reason, &message).await?;
                Ok(Outcome::ACTED)
            }
            Answer::Approve { create, message } => {
                if let Some(machine) = create {
                    self.create(&machine).await?;
                }
                self.say(&request, "Approved", "Joined", &message).await?;
                Ok(Outcome::ACTED)
            }
        }
    }
}
