//! Revisioned keys, watch, durability. Knows no object type.
//!
//! A [`Store`] keeps the last version of every [`Key`] in memory, in order, and hands out O(1) snapshots of it. One
//! sequencer checks the preconditions of a batch and gives every write its own, strictly rising [`Revision`]; a
//! write-ahead log makes the batch durable; only then is it published and acknowledged. So nothing unsynced is ever
//! visible and nothing acknowledged is ever lost. A [`Watch`] is a cursor on the resource's ring of recent events:
//! nobody waits for a slow watcher, which is told [`WatchError::Expired`] once it was overtaken.
//!
//! Entry points: [`Store::open`] (durable), [`Store::in_memory`] (tests), [`Store::commit`], [`Store::snapshot`],
//! [`Store::watch`].
//!
//! Deliberately not here: objects, JSON, selectors, authorization, time, more than one process.

mod config;
mod disk;
mod entry;
mod error;
mod journal;
mod key;
mod log;
mod memory;
mod seal;
mod snapshot;
mod store;
mod watch;

pub use config::{Config, Limits, Sync};
pub use entry::{Change, Committed, DecodeError, Entry, Event, Expect, Payload, Write};
pub use error::{CommitError, Failure, FailureKind, OpenError, Recovery, Torn, WatchError};
pub use key::{Key, Revision};
pub use seal::{DataKeys, KeyError, Sealing};
pub use snapshot::Snapshot;
pub use store::Store;
pub use watch::Watch;
