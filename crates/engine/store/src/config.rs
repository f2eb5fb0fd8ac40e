//! Limits and settings, already valid.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::seal::Sealing;

/// Writes of one commit, at most. Also bounds what one sync makes durable, so that revisions given out and lost in a
/// crash can be stepped over (see `log`).
pub(crate) const BATCH_WRITES_MAX: usize = 4096;
/// Encoded bytes of one commit, at most.
pub(crate) const BATCH_BYTES_MAX: usize = 32 << 20;
/// Bytes of each part of a key, at most.
pub(crate) const KEY_PART_BYTES_MAX: usize = 4096;

/// What a store without a disk needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of events each resource keeps for its watchers.
    pub ring_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ring_bytes: 16 << 20 }
    }
}

/// Bytes of commits waiting for the log, at most; a commit beyond that waits before it is queued.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 << 20;

/// When the log is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// As soon as there is something to sync: what arrives during one sync is the next group.
    AtOnce,
    /// That long after the first commit of a group: fewer syncs for disks that wear out, at the price of latency.
    Linger(Duration),
}

/// What a store with a data directory needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The data directory; made if absent, then readable by its owner alone.
    pub dir: PathBuf,
    /// Bytes reserved for a segment of the log; after a crash the start looks through what was reserved. One group of
    /// writes that is larger has a larger segment.
    pub segment_bytes: u64,
    /// Bytes of log after which a checkpoint is written, or half of the last checkpoint where that is more. Disk use is
    /// about two checkpoints and twice this.
    pub checkpoint_after_bytes: u64,
    /// Bytes of events each resource keeps for its watchers.
    pub ring_bytes: usize,
    /// When the log is synced.
    pub sync: Sync,
    /// Resources whose writes are acknowledged and visible before they are synced, which follows within 100 ms: a
    /// power cut may lose their last writes, a killed process loses none. A batch with any other resource in it is
    /// synced first as ever. Empty by default: every write is durable when acknowledged.
    pub relaxed: BTreeSet<String>,
    /// Whose values are encrypted on disk. None by default.
    pub sealing: Option<Sealing>,
}

impl Config {
    /// The defaults for this data directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 16 << 20,
            checkpoint_after_bytes: 64 << 20,
            ring_bytes: Limits::default().ring_bytes,
            sync: Sync::AtOnce,
            relaxed: BTreeSet::new(),
            sealing: None,
        }
    }
}
