//! The entries of one resource in order, with cheap copies.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use equivalent::{Comparable, Equivalent};
use imbl::OrdSet;

use crate::entry::Entry;
use crate::key::{Key, Position};

/// An entry that sorts by its namespace and name.
pub(crate) struct Slot<T>(pub(crate) Arc<Entry<T>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> PartialEq for Slot<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Slot<T> {}

impl<T> PartialOrd for Slot<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Slot<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.position().cmp(&other.0.key.position())
    }
}

impl<T> Equivalent<Slot<T>> for Position<'_> {
    fn equivalent(&self, slot: &Slot<T>) -> bool {
        self.order(&slot.0.key) == Ordering::Equal
    }
}

impl<T> Comparable<Slot<T>> for Position<'_> {
    fn compare(&self, slot: &Slot<T>) -> Ordering {
        self.order(&slot.0.key)
    }
}

/// A persistent ordered set: a clone shares everything and costs O(1).
pub(crate) struct Table<T> {
    entries: OrdSet<Slot<T>>,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: OrdSet::new() }
    }
}

impl<T> Table<T> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, position: Position<'_>) -> Option<&Arc<Entry<T>>> {
        self.entries.get(&position).map(|slot| &slot.0)
    }

    pub(crate) fn range<'a>(
        &'a self,
        from: Bound<Position<'a>>,
    ) -> impl Iterator<Item = &'a Arc<Entry<T>>> + use<'a, T> {
        self.entries.range::<_, Position<'a>>((from, Bound::Unbounded)).map(|slot| &slot.0)
    }

    pub(crate) fn put(&mut self, entry: Arc<Entry<T>>) -> Option<Arc<Entry<T>>> {
        self.entries.insert(Slot(entry)).map(|slot| slot.0)
    }

    pub(crate) fn remove(&mut self, position: Position<'_>) -> Option<Arc<Entry<T>>> {
        self.entries.remove(&position).map(|slot| slot.0)
    }

    /// The same key with its strings shared with the entries already here, so that 10,000 entries of one namespace
    /// hold its name once.
    pub(crate) fn share(&self, key: &Key) -> Key {
        if let Some(same) = self.get(key.position()) {
            return same.key.clone();
        }
        let start = Bound::Included(Position { namespace: &key.namespace, name: "" });
        let Some(neighbour) = self.range(start).next() else { return key.clone() };
        let same_namespace = neighbour.key.namespace == key.namespace;
        Key {
            resource: neighbour.key.resource.clone(),
            namespace: if same_namespace { &neighbour.key.namespace } else { &key.namespace }.clone(),
            name: key.name.clone(),
        }
    }
}
