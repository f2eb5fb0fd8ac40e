//! The write-ahead log and its checkpoints: what is on disk, and how state comes back from it.
//!
//! - `log-<first revision>.wal`: segments. A header, then frames, then zeros. A segment begins with a sync of the one
//!   before, so only the last one can have a torn end.
//! - `checkpoint-<revision>`: all entries at a revision, sorted. The two newest are kept, and recovery starts from the
//!   older one: so a restart always replays some log, and watchers can resume from before the restart.
//! - `*.new`: not finished, deleted at the next start.
//!
//! Each start begins a segment whose first revision steps over all that the last run can have given out without
//! syncing it, so no revision is ever used twice.

pub(crate) mod checkpoint;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod names;
pub(crate) mod recover;
mod segment;
pub(crate) mod writer;

use crate::config::BATCH_WRITES_MAX;

/// The format of segments and checkpoints alike: what is written, and the highest that is read.
/// 2: values may be sealed. 3: values may have a form that programs of 2 do not read.
pub(crate) const FORMAT: u32 = 3;
/// The lowest that is read. Between the two, a higher one only adds.
pub(crate) const OLDEST_FORMAT: u32 = 1;

/// How many revisions may be given out and not be synced: one group ends at or before twice the limit of one batch,
/// relaxed writes outstanding before it are at most one more such group.
pub(crate) const UNSYNCED_WRITES_MAX: u64 = 4 * BATCH_WRITES_MAX as u64;
