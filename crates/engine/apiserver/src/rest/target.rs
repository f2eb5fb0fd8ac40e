//! What a request is about: a kind, and a place in it.

use std::sync::Arc;

use muster_store::Key;

use crate::server::Served;
use crate::status::Refusal;

/// A kind, a namespace, and perhaps an object and its subresource.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) served: Arc<Served>,
    /// Empty for kinds that are cluster-scoped, and for all namespaces.
    pub(crate) namespace: String,
    /// Empty for the collection.
    pub(crate) name: String,
    pub(crate) subresource: String,
}

impl Target {
    pub(crate) fn new(served: &Arc<Served>, namespace: &str, name: &str, subresource: &str) -> Self {
        let namespace = if served.namespaced() { namespace } else { "" };
        Self {
            served: Arc::clone(served),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// The object's key in the store.
    pub(crate) fn key(&self) -> Key {
        self.key_of(&self.name)
    }

    pub(crate) fn key_of(&self, name: &str) -> Key {
        Key::new(Arc::clone(&self.served.resource), self.namespace.as_str(), name)
    }

    pub(crate) fn not_found(&self) -> Refusal {
        Refusal::not_found(self.served.about(), &self.name)
    }
}
