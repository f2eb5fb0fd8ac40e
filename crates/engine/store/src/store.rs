//! The handle that everybody holds.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::{BATCH_BYTES_MAX, BATCH_WRITES_MAX, Config, KEY_PART_BYTES_MAX, Limits};
use crate::disk::Disk;
use crate::disk::lock::DirectoryLock;
use crate::disk::real::Directory;
use crate::entry::{Committed, Entry, Payload, Write};
use crate::error::{CommitError, Failure, OpenError, Recovery, WatchError};
use crate::journal::Journal;
use crate::journal::committer::Committer;
use crate::key::{Key, Revision};
use crate::log::recover::{Recovered, recover};
use crate::memory::sequencer::{Sequencer, Tables};
use crate::memory::shared::Shared;
use crate::snapshot::Snapshot;
use crate::watch::Watch;

/// A store of values of one type. Cloning gives another handle to the same store. Dropping the last handle waits until
/// the log has finished what it was given; [`Store::close`] waits without blocking.
pub struct Store<T: Payload> {
    inner: Arc<Inner<T>>,
}

struct Inner<T: Payload> {
    shared: Arc<Shared<T>>,
    writer: Writer<T>,
}

enum Writer<T: Payload> {
    Memory(Mutex<Sequencer<T>>),
    Log(Committer<T>),
}

impl<T: Payload> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: Payload> Store<T> {
    /// A store that keeps everything in a data directory, which it locks. Blocks while it reads the checkpoint and the
    /// log; the caller reports [`Recovery::torn`].
    ///
    /// # Errors
    /// [`OpenError`]: the directory is in use, damaged, of another format, or cannot be read or written.
    pub fn open(config: Config) -> Result<(Self, Recovery), OpenError> {
        let made = Directory::make(&config.dir);
        made.map_err(|source| OpenError::Directory { path: config.dir.clone(), source })?;
        let lock = DirectoryLock::acquire(&config.dir)?;
        let disk: Arc<dyn Disk> = Arc::new(Directory::new(&config.dir));
        let Recovered { sequencer, shared, log, checkpoints, recovery } = recover(disk.clone(), &config)?;
        if let Some(sealing) = &config.sealing {
            sealing.keys().persist()?;
        }
        let shared = Arc::new(shared);
        let journal = Journal::new(disk, &config, sequencer, shared.clone(), log, checkpoints);
        let committer = Committer::start(journal, &config, lock).map_err(OpenError::Thread)?;
        Ok((Self { inner: Arc::new(Inner { shared, writer: Writer::Log(committer) }) }, recovery))
    }

    /// A store that keeps nothing beyond the process.
    pub fn in_memory(limits: Limits) -> Self {
        let shared = Arc::new(Shared::new(Tables::new(), Revision::ZERO, limits.ring_bytes));
        let writer = Writer::Memory(Mutex::new(Sequencer::new(Tables::new(), Revision::ZERO)));
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
        match &self.inner.writer {
            Writer::Log(committer) => committer.commit(writes).await,
            Writer::Memory(sequencer) => {
                let mut sequencer = sequencer.lock();
                let staged = sequencer.stage(writes)?;
                let touched = sequencer.touched(&staged.events);
                self.inner.shared.publish(staged.events, touched, sequencer.last());
                Ok(staged.committed)
            }
        }
    }

    /// Why the store takes no writes any more, if so.
    pub fn failure(&self) -> Option<Arc<Failure>> {
        match &self.inner.writer {
            Writer::Log(committer) => committer.failure(),
            Writer::Memory(_) => None,
        }
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
    /// The data directory is free for the next process when this returns; so it is, a moment later, when the last
    /// handle is dropped.
    pub async fn close(self) {
        match &self.inner.writer {
            Writer::Log(committer) => committer.close().await,
            Writer::Memory(_) => {}
        }
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
