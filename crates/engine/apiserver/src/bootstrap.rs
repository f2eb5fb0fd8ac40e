//! What every cluster has from the start: namespaces, roles, priority classes, the way to the API itself.

mod documents;
mod events;
mod extension;
pub(crate) mod roles;
mod root_ca;

#[cfg(test)]
mod tests;

use muster_store::{CommitError, Expect, Key, Write};
use serde_json::{Value, json};

pub(crate) use events::start as start_event_expiry;

use crate::authz::Rule;
use crate::extend::aggregation;
use crate::object::{BuildError, Object};
use crate::rest::meta;
use crate::server::{ApiServer, Served};

/// Why the first objects cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The store does not take them.
    #[error("the first objects of the cluster cannot be written")]
    Commit(#[source] CommitError<Object>),
    /// One of them is malformed.
    #[error("the object {name} cannot be made")]
    Build {
        /// Its name.
        name: String,
        /// What is wrong.
        #[source]
        source: BuildError,
    },
    /// One of them is of a kind that is not served.
    #[error("the kind {kind} of {api_version} is not served")]
    Kind {
        /// API version.
        api_version: String,
        /// Kind.
        kind: String,
    },
}

/// Whether an object that is there already is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    /// It is: people may have changed it.
    Left,
    /// It is brought to the wanted state: nobody else owns it.
    Replaced,
}

/// Creates what is missing, in one commit.
pub(crate) async fn ensure(server: &ApiServer) -> Result<(), BootstrapError> {
    let mut documents: Vec<(Value, Existing)> = Vec::new();
    let left =
        documents::namespaces().into_iter().chain(roles::documents()).chain(documents::priority_classes());
    documents.extend(left.map(|document| (document, Existing::Left)));
    let config = &server.inner().config;
    documents.push((documents::service(config), Existing::Left));
    documents.push((documents::endpoint_slice(config), Existing::Replaced));
    documents.push((documents::endpoints(config), Existing::Replaced));
    let roots = documents::NAMESPACES.iter().map(|name| root_ca::document(server, name));
    documents.extend(roots.map(|document| (document, Existing::Replaced)));
    documents.extend(extension::documents(server).map(|document| (document, Existing::Replaced)));
    let local = aggregation::local::built_in(server);
    documents.extend(local.map(|document| (document, Existing::Left)));
    write(server, documents).await?;
    root_ca::start(server);
    Ok(())
}

async fn write(server: &ApiServer, documents: Vec<(Value, Existing)>) -> Result<(), BootstrapError> {
    let mut writes = Vec::new();
    for (document, existing) in documents {
        writes.extend(write_of(server, document, existing)?);
    }
    if writes.is_empty() {
        return Ok(());
    }
    server.store().commit(writes).await.map(|_| ()).map_err(BootstrapError::Commit)
}

fn write_of(
    server: &ApiServer,
    mut document: Value,
    existing: Existing,
) -> Result<Option<Write<Object>>, BootstrapError> {
    let served = served(server, &document)?;
    let name = meta::text(&document, "/metadata/name").to_owned();
    let key =
        Key::new(served.resource.to_string(), meta::text(&document, "/metadata/namespace"), name.as_str());
    let found = server.store().get(&key);
    crate::rest::codec::default(&served, &mut document);
    let now = server.inner().clock.now();
    let kept = document.get("status").cloned();
    meta::prepare_create(&served, &mut document, now)
        .map_err(|_| BootstrapError::Build { name: name.clone(), source: BuildError::NotAnObject })?;
    if let Some(status) = kept {
        document["status"] = status;
    }
    if let Some(entry) = &found {
        if existing == Existing::Left {
            return Ok(None);
        }
        let before = served.document(entry);
        for field in ["uid", "creationTimestamp", "generation"] {
            if let Some(value) = before["metadata"].get(field) {
                document["metadata"][field] = value.clone();
            }
        }
    }
    let value = Object::build(&document, &served.columns)
        .map_err(|source| BootstrapError::Build { name: name.clone(), source })?;
    if found.is_some_and(|entry| entry.value.same_content(&value)) {
        return Ok(None);
    }
    Ok(Some(Write::Put { key, value, expect: Expect::Any }))
}

fn served(server: &ApiServer, document: &Value) -> Result<std::sync::Arc<Served>, BootstrapError> {
    let (api_version, kind) = (meta::text(document, "/apiVersion"), meta::text(document, "/kind"));
    let registry = server.inner().registry.current();
    let found =
        registry.all().find(|one| one.kind.gvk.kind == kind && one.kind.gvk.api_version() == api_version);
    found
        .cloned()
        .ok_or_else(|| BootstrapError::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() })
}

/// The ClusterRole and ClusterRoleBinding of a part of Muster, `system:muster:NAME` both: its least privilege. It is bound to
/// the user of that name, and to the group: parts that there are many of have a user each.
pub fn component_role(name: &str, rules: &[Rule]) -> [Value; 2] {
    let full = format!("system:muster:{name}");
    let labels = json!({"kubernetes.io/bootstrapping": "muster"});
    let rbac = "rbac.authorization.k8s.io";
    let rules: Vec<Value> = rules.iter().map(Rule::document).collect();
    [
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole",
            "metadata": {"name": full, "labels": labels}, "rules": rules,
        }),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": full, "labels": labels},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": full},
            "subjects": [
                {"apiGroup": rbac, "kind": "User", "name": full},
                {"apiGroup": rbac, "kind": "Group", "name": full},
            ],
        }),
    ]
}

impl ApiServer {
    /// Creates objects that are missing, all or none; those that are there stay as they are.
    pub(crate) async fn ensure_objects(&self, documents: Vec<Value>) -> Result<(), BootstrapError> {
        write(self, documents.into_iter().map(|document| (document, Existing::Left)).collect()).await
    }

    /// Brings the roles of parts of Muster to the wanted state, see [`component_role`].
    pub async fn ensure_component_roles(&self, roles: &[(&str, Vec<Rule>)]) -> Result<(), BootstrapError> {
        let documents = roles.iter().flat_map(|(name, rules)| component_role(name, rules));
        write(self, documents.map(|document| (document, Existing::Replaced)).collect()).await
    }
}
