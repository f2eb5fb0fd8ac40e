//! Controller machinery over kube-rs: shared informers, keyed queues, the pass driver, the sweep, leader leases.
//!
//! A controller is a [`Pass`]: a function of one key that reads the world, plans, does and reports. It is called when
//! something it watches changed, when it asked to be called again, and by the sweep. Only the [`Driver`] retries.

mod driver;
pub mod events;
pub mod expression;
mod informer;
pub mod install;
mod lease;
pub mod matching;
mod metrics;
mod queue;
pub mod rest;
mod sweep;
mod view;

pub use driver::{Acted, Driver, Next, Outcome, Pass};
pub use informer::{Change, Index, Informer, Informers, Selection, Watched};
pub use lease::{Leadership, LeaseConfig, lead};
pub use matching::hardware;
pub use metrics::Metrics;
pub use queue::{Cause, Queue};
pub use sweep::Sweep;
pub use view::slim_metadata;

use std::fmt;

/// Names one object of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Namespace; empty for a cluster-scoped kind.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of a cluster-scoped object.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self { namespace: String::new(), name: name.into() }
    }

    /// The key of a namespaced object.
    pub fn namespaced(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of `object`.
    pub fn of<K: kube::Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// An error for the log: what the API itself said, where it said something, else the whole chain.
pub fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() {
            return text + &status.message;
        }
        if error.source().is_none() {
            return text + &error.to_string();
        }
        text += &format!("{error}: ");
        next = error.source();
    }
    text
}

/// Whether the API answered that the object was not there.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the API answered that the object was there already, or had changed in between.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
