//! Looks up objects of an informer by something other than their key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use muster_control::{Informer, ObjectKey, Watched};
use parking_lot::Mutex;

type Keys = HashMap<String, HashSet<ObjectKey>>;

/// Objects by one derived value, kept current by the informer.
pub(crate) struct Index<K> {
    informer: Informer<K>,
    keys: Arc<Mutex<Keys>>,
}

impl<K: Watched> Index<K> {
    /// `value_of` gives what an object is found by; `None` leaves it out.
    pub(crate) fn over(informer: &Informer<K>, value_of: fn(&K) -> Option<String>) -> Index<K> {
        let keys: Arc<Mutex<Keys>> = Arc::default();
        let shared = Arc::clone(&keys);
        informer.on_change(move |change| {
            let old = change.old.as_deref().and_then(value_of);
            let new = change.new.as_deref().and_then(value_of);
            let mut keys = shared.lock();
            if let Some(old) = old.filter(|old| Some(old) != new.as_ref())
                && let Some(set) = keys.get_mut(&old)
            {
                set.remove(&change.key);
                if set.is_empty() {
                    keys.remove(&old);
                }
            }
            if let Some(new) = new {
                keys.entry(new).or_default().insert(change.key.clone());
            }
        });
        Index { informer: informer.clone(), keys }
    }

    pub(crate) fn get(&self, value: &str) -> Vec<Arc<K>> {
        let keys: Vec<ObjectKey> = self.keys.lock().get(value).into_iter().flatten().cloned().collect();
        keys.iter().filter_map(|key| self.informer.get(key)).collect()
    }
}
