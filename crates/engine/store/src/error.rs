//! What can go wrong in a running store.

use std::fmt;
use std::sync::Arc;

use crate::entry::{Entry, Expect};
use crate::key::{Key, Revision};

/// Why a batch was not done. Nothing of it is visible.
#[derive(thiserror::Error)]
pub enum CommitError<T> {
    /// A precondition did not hold.
    #[error("write {index} of the batch: {key} {}", describe(*.expect, .found.as_deref()))]
    Conflict {
        /// Which write of the batch.
        index: usize,
        /// Its key.
        key: Key,
        /// What it expected.
        expect: Expect,
        /// What there is instead.
        found: Option<Arc<Entry<T>>>,
    },
    /// A part of a key is longer than can be kept.
    #[error(
        "write {index} of the batch: a part of its key has {bytes} bytes, at most {max} can be kept; use a shorter name"
    )]
    KeyTooLong {
        /// Which write of the batch.
        index: usize,
        /// Bytes of the longest part.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The batch has more bytes than one commit may have.
    #[error("the batch has {bytes} bytes, at most {max} can be committed at once; split it")]
    BatchTooLarge {
        /// Bytes of the batch.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The batch has more writes than one commit may have.
    #[error("the batch has {writes} writes, at most {max} can be committed at once; split it")]
    BatchTooLong {
        /// Writes of the batch.
        writes: usize,
        /// The limit.
        max: usize,
    },
    /// The store can be read, not written any more: the disk failed it. Whether this batch survives a restart is
    /// unknown when it was under way at that moment; it is not visible until then.
    #[error("the store is read-only since the disk failed it")]
    Failed(#[source] Arc<Failure>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl<T> fmt::Debug for CommitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn describe<T>(expect: Expect, found: Option<&Entry<T>>) -> String {
    let wanted = match expect {
        Expect::Absent => "should be absent".to_owned(),
        Expect::Revision(revision) => format!("should be at revision {revision}"),
        Expect::Exists => "should exist".to_owned(),
        Expect::Any => "may be anything".to_owned(),
    };
    match found {
        Some(entry) => format!("{wanted} but is at revision {}", entry.revision),
        None => format!("{wanted} but is absent"),
    }
}

/// Why the store stopped taking writes. It stays readable; what was acknowledged is on disk.
#[derive(Debug, thiserror::Error)]
#[error("{file}: cannot {step}: {}", .kind)]
pub struct Failure {
    /// The file that could not be written.
    pub file: String,
    /// What was tried.
    pub step: &'static str,
    /// The kind of failure, with what to do.
    pub kind: FailureKind,
    /// The system's answer.
    #[source]
    pub source: std::io::Error,
}

/// What an operator can do about a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailureKind {
    /// No space, or the quota is used up.
    #[error("the disk is full; free space on it, then restart")]
    DiskFull,
    /// The disk did not keep what it was given.
    #[error("the disk does not take writes; check or replace it, then restart")]
    Disk,
}

impl Failure {
    pub(crate) fn new(file: &str, step: &'static str, source: std::io::Error) -> Self {
        Self { file: file.to_owned(), step, kind: FailureKind::of(&source), source }
    }
}

impl FailureKind {
    pub(crate) fn of(error: &std::io::Error) -> Self {
        if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
            Self::DiskFull
        } else {
            Self::Disk
        }
    }
}

/// Why a watch has no next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The events right after `after` are not kept any more: list again, then watch from the list's revision.
    #[error("the events after revision {after} are not kept any more, the oldest to watch from is {oldest}")]
    Expired {
        /// Where the watcher stood.
        after: Revision,
        /// The lowest revision a watch can begin after.
        oldest: Revision,
    },
    /// No write has had this revision yet.
    #[error("revision {after} is ahead of the store, which is at {current}")]
    Ahead {
        /// Where the watcher wanted to begin.
        after: Revision,
        /// The store's revision.
        current: Revision,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
