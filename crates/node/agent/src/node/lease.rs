//! The heartbeat: a Lease in `kube-node-lease`, renewed every ten seconds, as the kubelet's.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::{NodeError, within};

type Object = k8s_openapi::api::coordination::v1::Lease;

pub(super) const EVERY: Duration = Duration::from_secs(10);
const LASTS_SECONDS: i32 = 40;

pub(super) struct Lease {
    api: Api<Object>,
    node: String,
}

impl Lease {
    pub(super) fn new(client: Client, node: String) -> Self {
        Self { api: Api::namespaced(client, "kube-node-lease"), node }
    }

    pub(super) async fn renew(&self, now: Timestamp) -> Result<(), NodeError> {
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(now);
        let spec =
            json!({"holderIdentity": self.node, "leaseDurationSeconds": LASTS_SECONDS, "renewTime": time});
        let patch = Patch::Merge(json!({ "spec": spec }));
        let parameters = PatchParams::default();
        let patched = self.api.patch(&self.node, &parameters, &patch);
        match within(&self.node, "renew its lease", patched).await {
            Err(NodeError::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.code == 404) =>
            {
                let object: Object =
                    serde_json::from_value(json!({"metadata": {"name": self.node}, "spec": spec}))
                        .expect("a lease made of these fields");
                within(&self.node, "create its lease", self.api.create(&PostParams::default(), &object))
                    .await
                    .map(|_| ())
            }
            other => other.map(|_| ()),
        }
    }
}
