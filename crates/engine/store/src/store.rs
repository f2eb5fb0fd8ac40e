//! The handle that everybody holds.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::{BATCH_BYTES_MAX, BATCH_WRITES_MAX, KEY_PART_BYTES_MAX, Limits};
use crate::entry::{Committed, Entry, Payload, Write};
use crate::error::{CommitError, WatchError};
use crate::key::{Key, Revision};
use crate::sequencer::{Sequencer, Tables};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::watch::Watch;

/// A store of values of one type. Cloning gives another handle to the same store.
pub struct Store<T: Payload> {
    inner: Arc<Inner<T>>,
}

struct Inner<T: Payload> {
    shared: Arc<Shared<T>>,
    writer: Mutex<Sequencer<T>>,
}

impl<T: Payload> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: Payload> Store<T> {
    /// A store that keeps nothing beyond the process.
    pub fn in_memory(limits: Limits) -> Self {
        let shared = Arc::new(Shared::new(Tables::new(), Revision::ZERO, limits.ring_bytes));
        let writer = Mutex::new(Sequencer::new(Tables::new(), Revision::ZERO));
        Self { inner: Arc::new(Inner { shared, writer }) }
    }

    /// Does all writes or none; each gets its own revision, in order. Returns once they are durable and visible. When
    /// the future is dropped before, the writes may still be done.
    ///
    /// # Errors
    /// [`CommitError`]; nothing of the batch is visible then.
    pub async fn commit(&self, writes: Vec<Write<T>>) -> Result<Committed<T>, CommitError<T>> {
        check_size(&writes)?;
        if self.inner.shared.is_closed() {
            return Err(CommitError::Closed);
        }
        let mut sequencer = self.inner.writer.lock();
        let staged = sequencer.stage(writes)?;
        let touched = sequencer.touched(&staged.events);
        self.inner.shared.publish(staged.events, touched, sequencer.last());
        Ok(staged.committed)
    }

    /// The last version of this key.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry<T>>> {
        self.inner.shared.get(key)
    }

    /// All entries of a resource as they are now; O(1).
    pub fn snapshot(&self, resource: &str) -> Snapshot<T> {
        self.inner.shared.snapshot(resource)
    }

    /// The events of a resource after a revision, which may lie in the past as far as they are kept.
    ///
    /// # Errors
    /// [`WatchError::Expired`] if `after` is below [`Store::oldest`], [`WatchError::Ahead`] if above
    /// [`Store::revision`].
    pub fn watch(&self, resource: &str, after: Revision) -> Result<Watch<T>, WatchError> {
        Watch::begin(self.inner.shared.clone(), resource, after)
    }

    /// The last revision that is visible.
    pub fn revision(&self) -> Revision {
        self.inner.shared.revision()
    }

    /// The lowest revision a watch of this resource can begin after.
    pub fn oldest(&self, resource: &str) -> Revision {
        self.inner.shared.oldest(resource)
    }

    /// The resources that have entries, in order.
    pub fn resources(&self) -> Vec<Arc<str>> {
        self.inner.shared.resources()
    }

    /// Finishes what is under way, then ends all watches and refuses commits of every other handle.
    pub async fn close(self) {
        self.inner.shared.close();
    }
}

fn check_size<T: Payload>(writes: &[Write<T>]) -> Result<(), CommitError<T>> {
    if BATCH_WRITES_MAX < writes.len() {
        return Err(CommitError::BatchTooLong { writes: writes.len(), max: BATCH_WRITES_MAX });
    }
    let mut batch = 0;
    for (index, write) in writes.iter().enumerate() {
        let key = write.key();
        let bytes = key.resource.len().max(key.namespace.len()).max(key.name.len());
        if KEY_PART_BYTES_MAX < bytes {
            return Err(CommitError::KeyTooLong { index, bytes, max: KEY_PART_BYTES_MAX });
        }
        batch += match write {
            Write::Put { value, .. } => value.weight(),
            Write::Delete { .. } => 0,
        };
    }
    if BATCH_BYTES_MAX < batch {
        return Err(CommitError::BatchTooLarge { bytes: batch, max: BATCH_BYTES_MAX });
    }
    Ok(())
}
