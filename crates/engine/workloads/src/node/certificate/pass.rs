//! Carries out what is decided about a request.

use std::time::Duration;

use muster_control::rest::{PatchKind, Removal};
use muster_control::{Cause, Informer, ObjectKey, Outcome, Pass, Queue};
use serde_json::json;

use super::plan::{Plan, plan};
use super::{Request, Signer};
use crate::kit::{Kit, SIGNING_REQUESTS, WriteError};
use crate::view::certificate::{SigningRequest, encoded};

pub(crate) struct Certificates {
    kit: Kit,
    signer: Signer,
    requests: Informer<SigningRequest>,
}

impl Certificates {
    pub(crate) fn new(
        kit: Kit,
        signer: Signer,
        requests: &Informer<SigningRequest>,
        queue: &Queue<ObjectKey>,
    ) -> Self {
        let to = queue.clone();
        requests.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
        Self { kit, signer, requests: requests.clone() }
    }

    async fn sign(&self, request: &SigningRequest) -> Result<Outcome, WriteError> {
        let now = self.kit.clock.now();
        let asked = Request {
            pem: request.spec.request_pem(),
            signer: request.spec.signer_name.clone(),
            lifetime: request.spec.expiration_seconds.map(Duration::from_secs),
        };
        let status = match self.signer.sign(&asked, now) {
            Ok(certificate) => json!({ "certificate": encoded(&certificate) }),
            Err(message) => {
                let mut conditions = request.status.raw_conditions();
                conditions.push(json!({
                    "type": "Failed", "status": "True", "reason": "SignerRefused", "message": message,
                    "lastUpdateTime": now.to_string(), "lastTransitionTime": now.to_string(),
                }));
                json!({ "conditions": conditions })
            }
        };
        let body = json!({ "metadata": { "uid": request.metadata.uid }, "status": status });
        let name = format!("{}/status", request.metadata.name.as_deref().unwrap_or_default());
        self.kit.patch(SIGNING_REQUESTS, "", &name, PatchKind::Merge, &body).await?;
        Ok(Outcome::ACTED)
    }
}

impl Pass for Certificates {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, WriteError> {
        let Some(request) = self.requests.get(key) else { return Ok(Outcome::IDLE) };
        match plan(&request, self.kit.clock.now()) {
            Plan::Sign => self.sign(&request).await,
            Plan::Keep(wait) => Ok(Outcome::IDLE.again_after(wait)),
            Plan::Delete => {
                let removal = Removal { uid: request.metadata.uid.as_deref(), ..Removal::default() };
                self.kit.delete(SIGNING_REQUESTS, "", &key.name, &removal).await?;
                Ok(Outcome::ACTED)
            }
        }
    }
}
