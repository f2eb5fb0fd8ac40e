//! The state in memory: what the single writer stages, what readers see, what watchers follow.

pub(crate) mod ring;
pub(crate) mod sequencer;
pub(crate) mod shared;
pub(crate) mod table;
