//! Every version of every object, as the store saw them: nothing is sampled, nothing can be missed.

use k8s_openapi::serde::de::DeserializeOwned;
use muster_apiserver::Object;
use muster_store::{Change, Revision, Store};

/// A kind whose versions can be read back.
pub trait Watched: DeserializeOwned + kube::Resource<DynamicType = ()> {}

impl<K: DeserializeOwned + kube::Resource<DynamicType = ()>> Watched for K {}

/// The name of a kind in the store.
pub(crate) fn resource<K: Watched>() -> String {
    let (plural, group) = (K::plural(&()), K::group(&()));
    if group.is_empty() { plural.into_owned() } else { format!("{plural}.{group}") }
}

/// One version of one object.
#[derive(Clone, Debug)]
pub struct Seen<K> {
    /// When, in the order of the whole store.
    pub revision: u64,
    /// What happened; a deletion shows the last version.
    pub change: Change,
    /// The version.
    pub object: K,
}

pub(crate) fn read<K: Watched>(object: &Object, revision: u64) -> K {
    let document = object.stored_document(revision);
    serde_json::from_value(document.clone())
        .unwrap_or_else(|error| panic!("{} in the store cannot be read: {error}: {document}", K::kind(&())))
}

/// Every version since the beginning.
pub(crate) fn all<K: Watched>(store: &Store<Object>) -> Vec<Seen<K>> {
    let mut watch = store.watch(&resource::<K>(), Revision::ZERO).expect("the ring keeps everything");
    let mut seen = Vec::new();
    while let Some(event) = watch.try_next().expect("the ring keeps everything") {
        let revision = event.revision.get();
        seen.push(Seen { revision, change: event.change, object: read(&event.entry.value, revision) });
    }
    seen
}
