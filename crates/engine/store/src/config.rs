//! Limits and settings, already valid.

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
        Self { ring_bytes: 64 << 20 }
    }
}
