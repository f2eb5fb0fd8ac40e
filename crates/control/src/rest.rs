//! Plain requests with JSON bodies, for controllers that write parts of objects they only know as views.

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

/// How a patch body is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 7396.
    Merge,
    /// Kubernetes' own: lists with keys are merged by them.
    Strategic,
}

impl PatchKind {
    fn content_type(self) -> &'static str {
        match self {
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The garbage collector removes them afterwards.
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}

/// What is to be deleted, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal<'a> {
    /// Only the object of this uid, not a namesake.
    pub uid: Option<&'a str>,
    /// Only in this version.
    pub resource_version: Option<&'a str>,
    /// `None` leaves it to the kind's default.
    pub propagation: Option<Propagation>,
    /// `None` leaves it to the object.
    pub grace_seconds: Option<u32>,
}

/// The path of a resource: `group_version` as in `apiVersion`; an empty namespace for a cluster-scoped kind, an empty
/// name for the collection, a name such as `web/status` for a subresource.
pub fn path(group_version: &str, namespace: &str, plural: &str, name: &str) -> String {
    let root = if group_version.contains('/') { "apis" } else { "api" };
    let mut path = format!("/{root}/{group_version}");
    if !namespace.is_empty() {
        path.push_str("/namespaces/");
        path.push_str(namespace);
    }
    for part in [plural, name].iter().filter(|part| !part.is_empty()) {
        path.push('/');
        path.push_str(part);
    }
    path
}

/// A client for such requests. Cheap to clone. It sets no time limit: the pass driver does.
#[derive(Clone)]
pub struct Rest(Client);

impl Rest {
    /// Over `client`, under its identity.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Reads an object or a list.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn get(&self, path: &str) -> Result<Value, kube::Error> {
        self.send(Method::GET, path, None, None).await
    }

    /// Creates an object.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn create(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        self.send(Method::POST, path, Some("application/json"), Some(body)).await
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn replace(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        self.send(Method::PUT, path, Some("application/json"), Some(body)).await
    }

    /// Changes a part of an object.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn patch(&self, path: &str, kind: PatchKind, body: &Value) -> Result<Value, kube::Error> {
        self.send(Method::PATCH, path, Some(kind.content_type()), Some(body)).await
    }

    /// Deletes an object, or a collection.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn delete(&self, path: &str, removal: &Removal<'_>) -> Result<Value, kube::Error> {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(uid) = removal.uid {
            body["preconditions"]["uid"] = json!(uid);
        }
        if let Some(version) = removal.resource_version {
            body["preconditions"]["resourceVersion"] = json!(version);
        }
        if let Some(propagation) = removal.propagation {
            body["propagationPolicy"] = json!(format!("{propagation:?}"));
        }
        if let Some(seconds) = removal.grace_seconds {
            body["gracePeriodSeconds"] = json!(seconds);
        }
        self.send(Method::DELETE, path, Some("application/json"), Some(&body)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let bytes = body.map(serde_json::to_vec).transpose().map_err(kube::Error::SerdeError)?;
        let mut request = Request::builder().method(method).uri(path);
        if let Some(content_type) = content_type {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        let request = request.body(bytes.unwrap_or_default()).map_err(kube::Error::HttpError)?;
        self.0.request(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_group_scope_and_subresource() {
        let rows = [
            (path("v1", "", "nodes", ""), "/api/v1/nodes"),
            (path("v1", "a", "pods", "p/status"), "/api/v1/namespaces/a/pods/p/status"),
            (path("apps/v1", "a", "replicasets", ""), "/apis/apps/v1/namespaces/a/replicasets"),
        ];
        for (got, expected) in rows {
            assert_eq!(got, expected);
        }
    }
}
