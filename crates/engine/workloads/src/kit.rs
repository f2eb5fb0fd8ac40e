//! What every controller here works with: requests under its own identity, events, time.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use muster_base::clock::SharedClock;
use muster_control::events::{Events, Note};
use muster_control::rest::{PatchKind, Removal, Rest, path};
use muster_control::{is_conflict, is_not_found};
use serde_json::Value;

/// A resource as the API addresses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group_version: &'static str,
    pub(crate) plural: &'static str,
}

pub(crate) const PODS: Resource = Resource { group_version: "v1", plural: "pods" };
pub(crate) const NODES: Resource = Resource { group_version: "v1", plural: "nodes" };
pub(crate) const NAMESPACES: Resource = Resource { group_version: "v1", plural: "namespaces" };
pub(crate) const ACCOUNTS: Resource = Resource { group_version: "v1", plural: "serviceaccounts" };
pub(crate) const CONFIG_MAPS: Resource = Resource { group_version: "v1", plural: "configmaps" };
pub(crate) const DEPLOYMENTS: Resource = Resource { group_version: "apps/v1", plural: "deployments" };
pub(crate) const REPLICA_SETS: Resource = Resource { group_version: "apps/v1", plural: "replicasets" };
pub(crate) const DAEMON_SETS: Resource = Resource { group_version: "apps/v1", plural: "daemonsets" };
pub(crate) const SLICES: Resource =
    Resource { group_version: "discovery.k8s.io/v1", plural: "endpointslices" };
pub(crate) const BUDGETS: Resource = Resource { group_version: "policy/v1", plural: "poddisruptionbudgets" };

pub(crate) const SIGNING_REQUESTS: Resource =
    Resource { group_version: "certificates.k8s.io/v1", plural: "certificatesigningrequests" };

/// A write that the API did not take.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{resource} in {namespace:?} could not be created")]
    Create { resource: &'static str, namespace: String, source: kube::Error },
    #[error("{path} could not be read")]
    Read { path: String, source: kube::Error },
    #[error("{path} could not be changed")]
    Change { path: String, source: kube::Error },
    #[error("{path} could not be deleted")]
    Delete { path: String, source: kube::Error },
}

impl WriteError {
    fn cause(&self) -> &kube::Error {
        match self {
            WriteError::Create { source, .. }
            | WriteError::Read { source, .. }
            | WriteError::Change { source, .. }
            | WriteError::Delete { source, .. } => source,
        }
    }

    pub(crate) fn is_conflict(&self) -> bool {
        is_conflict(self.cause())
    }

    pub(crate) fn is_not_found(&self) -> bool {
        is_not_found(self.cause())
    }

    /// Whether the API refuses because the namespace is being deleted.
    pub(crate) fn is_namespace_ending(&self) -> bool {
        let kube::Error::Api(status) = self.cause() else { return false };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// The API's own words.
    pub(crate) fn words(&self) -> String {
        let cause = self.cause();
        if let kube::Error::Api(status) = cause {
            status.message.clone()
        } else {
            muster_base::error::chain(cause)
        }
    }
}

#[derive(Clone)]
pub(crate) struct Kit {
    pub(crate) rest: Rest,
    pub(crate) events: Events,
    pub(crate) clock: SharedClock,
}

impl Kit {
    pub(crate) fn new(client: Client, component: &str, clock: SharedClock) -> Kit {
        let events = Events::new(client.clone(), component, clock.clone());
        Kit { rest: Rest::new(client), events, clock }
    }

    pub(crate) async fn create(
        &self,
        resource: Resource,
        namespace: &str,
        body: &Value,
    ) -> Result<Value, WriteError> {
        let path = path(resource.group_version, namespace, resource.plural, "");
        self.rest.create(&path, body).await.map_err(|source| WriteError::Create {
            resource: resource.plural,
            namespace: namespace.to_owned(),
            source,
        })
    }

    pub(crate) async fn read(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Value, WriteError> {
        let path = path(resource.group_version, namespace, resource.plural, name);
        self.rest.get(&path).await.map_err(|source| WriteError::Read { path, source })
    }

    /// `name` may name a subresource: `web/status`.
    pub(crate) async fn patch(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        kind: PatchKind,
        body: &Value,
    ) -> Result<Value, WriteError> {
        let path = path(resource.group_version, namespace, resource.plural, name);
        self.rest.patch(&path, kind, body).await.map_err(|source| WriteError::Change { path, source })
    }

    /// What is gone already, or is another object by now, counts as deleted.
    pub(crate) async fn delete(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        removal: &Removal<'_>,
    ) -> Result<(), WriteError> {
        let path = path(resource.group_version, namespace, resource.plural, name);
        match self.rest.delete(&path, removal).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) || (is_conflict(&error) && removal.uid.is_some()) => Ok(()),
            Err(source) => Err(WriteError::Delete { path, source }),
        }
    }

    pub(crate) async fn tell(&self, about: &ObjectReference, note: Note<'_>) {
        self.events.tell(about, note).await;
    }
}

/// A reference for events.
pub(crate) fn reference<S, T>(
    api_version: &str,
    kind: &str,
    object: &crate::view::Object<S, T>,
) -> ObjectReference {
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(kind.to_owned()),
        namespace: object.metadata.namespace.clone(),
        name: object.metadata.name.clone(),
        uid: object.metadata.uid.clone(),
        resource_version: object.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}
