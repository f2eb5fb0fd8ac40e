//! What is kept, what is asked for, what comes back.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::key::{Key, Revision};

/// What the store keeps under a key. Cloning should be cheap (shared slices): a deletion clones the last value.
pub trait Payload: Clone + Send + Sync + Sized + 'static {
    /// Appends the form that is written to disk.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads what [`Payload::encode`] wrote. `bytes` belongs to this value alone and may be kept.
    ///
    /// # Errors
    /// When the bytes are not such a form; the store then refuses to open.
    fn decode(key: &Key, bytes: Bytes) -> Result<Self, DecodeError>;

    /// Bytes of memory this value takes; the watch ring's budget counts it.
    fn weight(&self) -> usize;
}

/// Stored bytes that are no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// What is wrong with the bytes.
    pub reason: String,
}

/// One version of one key.
#[derive(Clone)]
pub struct Entry<T> {
    /// Its identity.
    pub key: Key,
    /// The revision that created it.
    pub created: Revision,
    /// The revision that wrote this version.
    pub revision: Revision,
    /// What was written.
    pub value: T,
}

impl<T> fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} (created {})", self.key, self.revision, self.created)
    }
}

/// What must be true of a key for a write to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is no such entry.
    Absent,
    /// The entry's last version is this one.
    Revision(Revision),
    /// There is such an entry, of any version.
    Exists,
    /// Nothing: an upsert, or a deletion that may find nothing to delete.
    Any,
}

/// One change asked for. A [`Write::Delete`] with [`Expect::Any`] of an absent key changes nothing and has no entry.
#[derive(Clone, Debug)]
pub enum Write<T> {
    /// Creates the entry or replaces its value.
    Put {
        /// Whose value.
        key: Key,
        /// The value.
        value: T,
        /// The precondition.
        expect: Expect,
    },
    /// Removes the entry.
    Delete {
        /// Which entry.
        key: Key,
        /// The precondition.
        expect: Expect,
    },
}

impl<T> Write<T> {
    /// The key this write is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    pub(crate) fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
        }
    }
}

/// A batch that is durable and visible.
#[derive(Clone, Debug)]
pub struct Committed<T> {
    /// The revision of the last write of the batch; the store's revision if nothing was to change.
    pub revision: Revision,
    /// One entry per write that changed something, in the order of the writes. For a deletion: the last value, with
    /// the revision of the deletion.
    pub entries: Vec<Arc<Entry<T>>>,
}

/// What an event did to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key was absent before.
    Created,
    /// The value was replaced.
    Updated,
    /// The key is absent now; the event's entry has the last value and the revision of the deletion.
    Deleted,
}

/// One write, as a watcher sees it.
#[derive(Debug)]
pub struct Event<T> {
    /// The revision of the write.
    pub revision: Revision,
    /// What it did.
    pub change: Change,
    /// The version it wrote; for a deletion the last value.
    pub entry: Arc<Entry<T>>,
    /// The version before; none for [`Change::Created`].
    pub previous: Option<Arc<Entry<T>>>,
}

impl<T> Clone for Event<T> {
    fn clone(&self) -> Self {
        Self {
            revision: self.revision,
            change: self.change,
            entry: self.entry.clone(),
            previous: self.previous.clone(),
        }
    }
}
