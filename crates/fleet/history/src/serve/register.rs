//! Making the history known to the API server: the webhook's configuration, the aggregated API, the Service in front of it;
//! and learning whose client certificates vouch for users.

use std::sync::Arc;
use std::time::Duration;

use muster_control::rest::{Removal, Rest};
use muster_control::{Acted, Cause, Driver, Outcome, Pass, Queue, is_not_found};
use serde_json::{Value, json};

use super::caller::Proxy;
use super::tls::{Keys, TlsError};
use super::{ADMIT, GROUP, Parts, Service, VERSION};
use crate::config::Reach;
use crate::kinds::Kind;

/// Where the Service and the front proxy's settings stand.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "muster-history";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const SERVICES: &str = "/api/v1/namespaces/kube-system/services";
const PROXY: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
/// Somebody may have taken one of them away.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A write does not wait longer for the history.
const NOTE_WITHIN_SECONDS: u32 = 2;

/// Names and addresses that the API server may expect in the certificate.
pub(super) fn server_names(reach: &Reach) -> Vec<String> {
    match reach {
        Reach::Address { host, .. } => vec![host.clone(), format!("{NAME}.{NAMESPACE}.svc")],
        Reach::Service { namespace, name, .. } => vec![format!("{name}.{namespace}.svc")],
    }
}

/// What is to be looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum What {
    FrontProxy,
    Webhook,
    Service,
    Aggregation,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FrontProxy => "front proxy",
            Self::Webhook => "webhook",
            Self::Service => "service",
            Self::Aggregation => "aggregated API",
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error("the API server refuses")]
    Api(#[from] Box<kube::Error>),
    #[error("the front proxy's settings")]
    Tls(#[from] TlsError),
    #[error("{PROXY} has no requestheader-client-ca-file: this API server has no front proxy")]
    NoProxy,
}

struct Register {
    rest: Rest,
    reach: Reach,
    keys: Arc<Keys>,
    service: Arc<Service>,
}

/// Takes the webhook's configuration away: where it points to nobody listens any more.
///
/// # Errors
/// The API server refuses.
pub async fn withdraw(client: &kube::Client) -> Result<(), kube::Error> {
    let one = format!("{WEBHOOKS}/{NAME}");
    match Rest::new(client.clone()).delete(&one, &Removal::default()).await {
        Err(error) if !is_not_found(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

pub(super) fn start(parts: &Parts<'_>, reach: Reach, keys: Arc<Keys>, service: Arc<Service>) {
    let queue = Queue::new();
    for what in [What::FrontProxy, What::Webhook, What::Service, What::Aggregation] {
        queue.add(what, Cause::Watch);
    }
    let pass = Register { rest: Rest::new(parts.client.clone()), reach, keys, service };
    Driver::new("history", parts.metrics.clone()).workers(2).start(parts.tasks, &queue, pass);
}

impl Pass for Register {
    type Key = What;
    type Error = RegisterError;

    async fn pass(&self, what: &What) -> Result<Outcome, RegisterError> {
        let acted = match what {
            What::FrontProxy => self.front_proxy().await?,
            What::Webhook => self.ensure(WEBHOOKS, NAME, &self.webhook()).await?,
            What::Service => match &self.reach {
                Reach::Address { host, .. } => self.ensure(SERVICES, NAME, &service(host)).await?,
                Reach::Service { .. } => Acted::Nothing,
            },
            What::Aggregation => {
                self.ensure(API_SERVICES, &format!("{VERSION}.{GROUP}"), &self.aggregation()).await?
            }
        };
        Ok(Outcome { acted, ..Outcome::IDLE }.again_after(LOOK_EVERY))
    }
}

impl Register {
    /// Creates the object, or changes what differs.
    async fn ensure(&self, path: &str, name: &str, wanted: &Value) -> Result<Acted, RegisterError> {
        let one = format!("{path}/{name}");
        match self.rest.get(&one).await {
            Ok(there) if holds(&there, wanted) => Ok(Acted::Nothing),
            Ok(there) => {
                let mut body = wanted.clone();
                body["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
                self.rest.replace(&one, &body).await.map_err(Box::new)?;
                Ok(Acted::Something)
            }
            Err(error) if is_not_found(&error) => {
                self.rest.create(path, wanted).await.map_err(Box::new)?;
                Ok(Acted::Something)
            }
            Err(error) => Err(Box::new(error).into()),
        }
    }

    async fn front_proxy(&self) -> Result<Acted, RegisterError> {
        let settings = self.rest.get(PROXY).await.map_err(Box::new)?;
        let text = |key: &str| settings["data"][key].as_str().unwrap_or("");
        let list = |key: &str| serde_json::from_str::<Vec<String>>(text(key)).unwrap_or_default();
        let authority = text("requestheader-client-ca-file");
        if authority.is_empty() {
            return Err(RegisterError::NoProxy);
        }
        self.keys.trust(authority)?;
        self.service.callers.trust(Proxy {
            names: list("requestheader-allowed-names"),
            user_headers: list("requestheader-username-headers"),
            group_headers: list("requestheader-group-headers"),
        });
        Ok(Acted::Nothing)
    }

    fn bundle(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(self.keys.authority_pem())
    }

    fn webhook(&self) -> Value {
        let client = match &self.reach {
            Reach::Address { host, port } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                json!({"url": format!("https://{host}:{port}{ADMIT}"), "caBundle": self.bundle()})
            }
            Reach::Service { namespace, name, port } => json!({
                "service": {"namespace": namespace, "name": name, "port": port, "path": ADMIT},
                "caBundle": self.bundle(),
            }),
        };
        let resources: Vec<String> = Kind::ALL
            .into_iter()
            .flat_map(|kind| [kind.plural().to_owned(), format!("{}/status", kind.plural())])
            .collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": NAME},
            "webhooks": [{
                "name": "note.history.muster.dev",
                "clientConfig": client,
                "rules": [{
                    "apiGroups": [muster_api::GROUP], "apiVersions": ["*"], "resources": resources,
                    "operations": ["CREATE", "UPDATE", "DELETE"], "scope": "*",
                }],
                "failurePolicy": "Ignore",
                "matchPolicy": "Equivalent",
                "sideEffects": "NoneOnDryRun",
                "timeoutSeconds": NOTE_WITHIN_SECONDS,
                "admissionReviewVersions": ["v1"],
            }],
        })
    }

    fn aggregation(&self) -> Value {
        let (namespace, name, port) = match &self.reach {
            Reach::Address { port, .. } => (NAMESPACE, NAME, *port),
            Reach::Service { namespace, name, port } => (namespace.as_str(), name.as_str(), *port),
        };
        json!({
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": format!("{VERSION}.{GROUP}")},
            "spec": {
                "group": GROUP, "version": VERSION, "groupPriorityMinimum": 1000, "versionPriority": 15,
                "service": {"namespace": namespace, "name": name, "port": port},
                "caBundle": self.bundle(),
            },
        })
    }
}

/// A name for a place outside of the cluster's network.
fn service(host: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": host}})
}

/// Whether everything that is wanted stands; what the API server added besides does not count.
fn holds(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| there.get(key).is_some_and(|there| holds(there, value)))
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len()
                && there.iter().zip(wanted).all(|(there, wanted)| holds(there, wanted))
        }
        _ => there == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_added_is_no_difference() {
        let wanted = json!({"a": [{"b": 1}], "c": "d"});
        assert!(holds(&json!({"a": [{"b": 1, "default": true}], "c": "d", "status": {}}), &wanted));
        assert!(!holds(&json!({"a": [{"b": 2}], "c": "d"}), &wanted));
        assert!(!holds(&json!({"a": [{"b": 1}, {}], "c": "d"}), &wanted));
    }
}
