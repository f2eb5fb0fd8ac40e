//! Who may do what: RBAC over the stored roles and bindings, with a part of its own for nodes.

mod bound;
mod escalate;
mod index;
mod node;
mod review;
mod rules;

#[cfg(test)]
mod tests;

use muster_store::Store;

pub use escalate::Grant;
pub use index::{RbacIndex, Subject};
pub(crate) use node::node_of;
pub use review::{Review, ReviewSubject};
pub use rules::Rule;

use crate::authn::Identity;
use crate::object::{Follow, Object};
use crate::request::RequestInfo;
use crate::status::{About, Refusal};

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";

/// What is asked for, as authorization sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `create`, …
    pub verb: String,
    /// API group.
    pub group: String,
    /// Version, which no rule looks at.
    pub version: String,
    /// Plural name; empty for paths that are no resource.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace; empty at the cluster scope.
    pub namespace: String,
    /// Object name.
    pub name: String,
    /// Path, for what is no resource.
    pub path: String,
}

impl Attributes {
    /// The attributes of a request.
    pub(crate) fn of(info: &RequestInfo) -> Self {
        let resource = info.resource.clone().unwrap_or_default();
        Self {
            verb: info.verb.clone(),
            group: resource.group,
            version: resource.version,
            resource: resource.resource,
            subresource: resource.subresource,
            namespace: resource.namespace,
            name: resource.name,
            path: if info.resource.is_some() { String::new() } else { info.path.clone() },
        }
    }

    /// `pods` or `pods/log`.
    pub fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// The answer, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow(String),
    /// No; the reason is often empty, as upstream.
    Deny(String),
}

/// The authorizer.
pub struct Authorizer {
    store: Store<Object>,
    index: Follow<RbacIndex>,
}

const RESOURCES: &[&str] = &[
    "clusterroles.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
];

impl Authorizer {
    /// An authorizer over the roles and bindings in `store`.
    pub fn new(store: Store<Object>) -> Self {
        let index = Follow::new(store.clone(), RESOURCES, RbacIndex::default());
        Self { store, index }
    }

    /// Decides.
    pub fn decide(&self, who: &Identity, what: &Attributes) -> Decision {
        if who.groups.iter().any(|group| group == MASTERS) {
            return Decision::Allow(String::new());
        }
        let node_reason = match node::decide(&self.store, who, what) {
            Some(Decision::Allow(reason)) => return Decision::Allow(reason),
            Some(Decision::Deny(reason)) => reason,
            None => String::new(),
        };
        match self.index.current().find(who, what) {
            Some(reason) => Decision::Allow(reason),
            None => Decision::Deny(node_reason),
        }
    }

    /// Refuses what is not allowed, in upstream's words.
    pub fn require(&self, who: &Identity, what: &Attributes) -> Result<(), Refusal> {
        match self.decide(who, what) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) => Err(refusal(who, what, &reason)),
        }
    }

    /// The rules that a user holds in a namespace.
    pub fn rules(&self, who: &Identity, namespace: &str) -> Vec<Rule> {
        if who.groups.iter().any(|group| group == MASTERS) {
            return vec![Rule::everything(), Rule::every_path()];
        }
        self.index.current().rules(who, namespace)
    }

    /// The index as it stands.
    pub fn index(&self) -> std::sync::Arc<RbacIndex> {
        self.index.current()
    }
}

fn refusal(who: &Identity, what: &Attributes, reason: &str) -> Refusal {
    let user = format!("User \"{}\"", who.user);
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if what.resource.is_empty() {
        let about = About { group: "", resource: "" };
        let why = format!("{user} cannot {} path \"{}\"{because}", what.verb, what.path);
        return Refusal::forbidden(about, "", &why);
    }
    let scope = if what.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", what.namespace)
    };
    let why = format!(
        "{user} cannot {} resource \"{}\" in API group \"{}\" {scope}{because}",
        what.verb,
        what.full_resource(),
        what.group
    );
    Refusal::forbidden(About { group: &what.group, resource: &what.resource }, &what.name, &why)
}
