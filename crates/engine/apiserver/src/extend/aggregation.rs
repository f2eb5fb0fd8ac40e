//! APIs of other servers under this one's address (`apiregistration.k8s.io`): requests are authorized here, then handed
//! on with the name of who asks.

mod health;
pub(crate) mod local;
mod proxy;
mod remote;

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_schema::Resource;
use muster_store::Store;
use parking_lot::Mutex;

pub(crate) use health::start;
pub(crate) use proxy::hand_on;
pub(crate) use remote::Remote;

use crate::object::{Follow, Object};
use crate::server::{ApiServer, Registry};
use remote::Remotes;

/// Where the registrations are stored.
pub(crate) const RESOURCE: &str = "apiservices.apiregistration.k8s.io";

/// What discovery adds to the registry, and the registry it was added to.
struct Merged {
    base: Arc<Registry>,
    found: Arc<BTreeMap<String, Vec<Resource>>>,
    registry: Arc<Registry>,
}

/// The servers behind this one.
pub(crate) struct Aggregates {
    remotes: Follow<Remotes>,
    /// What each of them said it serves, by group version; empty where it has said nothing yet.
    found: Mutex<Arc<BTreeMap<String, Vec<Resource>>>>,
    merged: Mutex<Option<Merged>>,
}

impl Aggregates {
    pub(crate) fn new(store: &Store<Object>) -> Self {
        Self {
            remotes: Follow::new(store.clone(), &[RESOURCE], Remotes::default()),
            found: Mutex::default(),
            merged: Mutex::default(),
        }
    }
}

/// The server behind which a path is, if it is behind one.
pub(crate) fn behind(server: &ApiServer, path: &str) -> Option<Arc<Remote>> {
    let below = path.strip_prefix("/openapi/v3").unwrap_or(path).strip_prefix("/apis/")?;
    let mut parts = below.split('/');
    let (group, version) = (parts.next()?, parts.next()?);
    server.inner().aggregates.remotes.current().find(group, version)
}

/// Everything that is served, here and behind: for discovery.
pub(crate) fn discovered(server: &ApiServer) -> Arc<Registry> {
    let inner = server.inner();
    let base = inner.registry.current();
    let found = Arc::clone(&inner.aggregates.found.lock());
    if found.is_empty() {
        return base;
    }
    let mut merged = inner.aggregates.merged.lock();
    if let Some(known) = &*merged
        && Arc::ptr_eq(&known.base, &base)
        && Arc::ptr_eq(&known.found, &found)
    {
        return Arc::clone(&known.registry);
    }
    let registry = Arc::new(base.with_aggregated(&found));
    *merged = Some(Merged { base, found, registry: Arc::clone(&registry) });
    registry
}
