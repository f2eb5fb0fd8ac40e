//! Finding objects by something other than their names, without looking at all of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use super::{Informer, Watched};
use crate::ObjectKey;

type Keys = Arc<RwLock<HashMap<String, BTreeSet<ObjectKey>>>>;

/// The objects of an informer by a word. Cheap to clone.
pub struct Index<K> {
    informer: Informer<K>,
    keys: Keys,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self { informer: self.informer.clone(), keys: Arc::clone(&self.keys) }
    }
}

impl<K: Watched> Index<K> {
    pub(super) fn over(
        informer: &Informer<K>,
        word: impl Fn(&K) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let keys: Keys = Arc::default();
        let index = Self { informer: informer.clone(), keys: Arc::clone(&keys) };
        informer.on_change(move |change| {
            let old = change.old.as_deref().and_then(&word);
            let new = change.new.as_deref().and_then(&word);
            if old == new {
                return;
            }
            let mut keys = keys.write();
            if let Some(old) = old
                && let Some(found) = keys.get_mut(&old)
            {
                found.remove(&change.key);
                if found.is_empty() {
                    keys.remove(&old);
                }
            }
            if let Some(new) = new {
                keys.entry(new).or_default().insert(change.key.clone());
            }
        });
        index
    }

    /// The objects of that word, in the order of their names.
    pub fn get(&self, word: &str) -> Vec<Arc<K>> {
        let keys: Vec<ObjectKey> = self.keys.read().get(word).into_iter().flatten().cloned().collect();
        keys.iter().filter_map(|key| self.informer.get(key)).collect()
    }
}
