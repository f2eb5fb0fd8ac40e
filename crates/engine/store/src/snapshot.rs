//! One resource at one revision.

use std::ops::Bound;
use std::sync::Arc;

use crate::entry::Entry;
use crate::key::{Key, Position, Revision};
use crate::memory::table::Table;

/// All entries of a resource as they were at [`Snapshot::revision`]. Costs O(1) to take and to clone; later writes do
/// not change it.
pub struct Snapshot<T> {
    revision: Revision,
    table: Table<T>,
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self { revision: self.revision, table: self.table.clone() }
    }
}

impl<T> std::fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} entries at revision {}", self.len(), self.revision)
    }
}

impl<T> Snapshot<T> {
    pub(crate) fn new(revision: Revision, table: Table<T>) -> Self {
        Self { revision, table }
    }

    /// The store's revision when the snapshot was taken: a watch after it misses nothing and repeats nothing.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of this namespace and name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Entry<T>>> {
        self.table.get(Position { namespace, name })
    }

    /// All entries, by namespace, then name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry<T>>> {
        self.table.range(Bound::Unbounded)
    }

    /// The entries of one namespace, by name.
    pub fn namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Entry<T>>> {
        let start = Bound::Included(Position { namespace, name: "" });
        self.table.range(start).take_while(move |entry| &*entry.key.namespace == namespace)
    }

    /// The entries behind this place in the order, which itself need not exist: the next page of a list.
    pub fn after<'a>(&'a self, namespace: &'a str, name: &'a str) -> impl Iterator<Item = &'a Arc<Entry<T>>> {
        self.table.range(Bound::Excluded(Position { namespace, name }))
    }

    /// Whether this key, which must be of the snapshot's resource, had an entry.
    pub fn contains(&self, key: &Key) -> bool {
        self.table.get(key.position()).is_some()
    }
}
