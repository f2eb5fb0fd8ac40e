//! What can go wrong, and what recovery found.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::entry::{DecodeError, Entry, Expect};
use crate::key::{Key, Revision};
use crate::seal::KeyError;

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
    /// The store was closed. Whether a batch under way survived is unknown.
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
    pub source: io::Error,
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
    pub(crate) fn new(file: &str, step: &'static str, source: io::Error) -> Self {
        Self { file: file.to_owned(), step, kind: FailureKind::of(&source), source }
    }
}

impl FailureKind {
    pub(crate) fn of(error: &io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
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

/// Why a data directory is not opened. Apart from [`OpenError::Write`] nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory can be neither found nor made.
    #[error("the data directory {} cannot be used; make it writable or choose another", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the data directory {} is in use by {}; stop that process first", .path.display(), holder(*.pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, unless it has not said so yet.
        pid: Option<u32>,
    },
    /// A file cannot be read.
    #[error("{file}: cannot be read")]
    Read {
        /// The file in the data directory.
        file: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file is of another format than this program's.
    #[error("{file}: has format {found}, this program reads and writes format {supported}; {}", advice(*.found, *.supported))]
    Format {
        /// The file in the data directory.
        file: String,
        /// Its format.
        found: u32,
        /// The program's format.
        supported: u32,
    },
    /// A file was damaged after it was safe on disk.
    #[error(
        "{file}: damaged at byte {offset}: {reason}; nothing was changed; restore the data directory from a backup"
    )]
    Corrupt {
        /// The file in the data directory.
        file: String,
        /// Where the unreadable part begins.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A part of the log is not there.
    #[error(
        "the log between revisions {after} and {before} is missing; nothing was changed; restore the data directory from a backup"
    )]
    Missing {
        /// The last revision there is.
        after: Revision,
        /// The first revision after the hole.
        before: Revision,
    },
    /// A sound record holds no value.
    #[error(
        "{file}: the value of {key} at byte {offset} cannot be read; start the program version that wrote it"
    )]
    Decode {
        /// The file in the data directory.
        file: String,
        /// Where the record begins.
        offset: u64,
        /// Whose value.
        key: Key,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// An encrypted value does not open.
    #[error("{file}: the encrypted value of {key} at byte {offset} cannot be read; nothing was changed")]
    Sealed {
        /// The file in the data directory.
        file: String,
        /// Where the record begins.
        offset: u64,
        /// Whose value.
        key: Key,
        /// Which key is missing or wrong, and in which file it should be.
        #[source]
        source: DecodeError,
    },
    /// The log cannot be begun.
    #[error("the log cannot be begun")]
    Write(#[source] Failure),
    /// The keys of encrypted values cannot be kept.
    #[error("the keys of encrypted values cannot be kept")]
    Keys(#[from] KeyError),
    /// The log's thread cannot be started.
    #[error("the thread of the log cannot be started; raise the limit of processes")]
    Thread(#[source] io::Error),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

fn advice(found: u32, supported: u32) -> &'static str {
    if supported < found {
        "start the newer program that wrote it, or restore a backup made with this one"
    } else {
        "start the older program that wrote it, export the objects, and import them here"
    }
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The store's revision; the first write has the next one. After a restart it is above all that was ever given out.
    pub revision: Revision,
    /// Entries there are.
    pub entries: usize,
    /// Writes replayed from the log.
    pub replayed: u64,
    /// A torn end that was cut off: worth a warning. Nothing in it had been acknowledged.
    pub torn: Option<Torn>,
}

/// The end of the log that a crash left unfinished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file}: the last {bytes} bytes from byte {offset} on were not finished when the program ended and are cut off: {reason}"
)]
pub struct Torn {
    /// The file in the data directory.
    pub file: String,
    /// Where it was cut.
    pub offset: u64,
    /// Bytes cut off.
    pub bytes: u64,
    /// What is wrong there.
    pub reason: &'static str,
}
