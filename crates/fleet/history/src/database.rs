//! The history in use: the log, and in memory where each object's last record is and the hot fields of machines.

mod columns;
mod objects;
mod recording;
mod telling;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexSet;
use jiff::Timestamp;
use muster_base::clock::SharedClock;
use parking_lot::RwLock;
use serde_json::Value;

use crate::codec::Words;
use crate::kinds::Kind;
use crate::log::{Anchor, Files, Log, LogError, Position, SEGMENT_BYTES, Torn, Verdict, verify};
use crate::record::{Record, decode};
pub(crate) use columns::{Column, Columns, Scalar, is_hot};
use objects::Objects;
pub(crate) use recording::Seen;
pub(crate) use telling::{Entry, Range};

/// Changes of one object between two whole states of it in the log: what a past state costs to read, at most.
const CHANGES_BETWEEN_WHOLE: u16 = 24;
/// States kept so that a changing object is not read back each time.
const STATES_MAX: usize = 4096;

/// All that is known.
pub(crate) struct Database {
    files: Arc<dyn Files>,
    segment_bytes: u64,
    clock: SharedClock,
    inner: RwLock<Inner>,
}

pub(crate) struct Inner {
    log: Log,
    words: Words,
    objects: Objects,
    pub(crate) columns: Columns,
    states: HashMap<u32, Value>,
    first_at: Option<Timestamp>,
    last_at: Timestamp,
    last_revisions: [u64; Kind::ALL.len()],
}

/// What an index in memory stands on.
struct Index {
    words: Words,
    objects: Objects,
    columns: Columns,
    first_at: Option<Timestamp>,
    last_at: Timestamp,
    last_revisions: [u64; Kind::ALL.len()],
}

impl Index {
    fn new() -> Self {
        Self {
            words: Words::default(),
            objects: Objects::default(),
            columns: Columns::default(),
            first_at: None,
            last_at: Timestamp::UNIX_EPOCH,
            last_revisions: [0; Kind::ALL.len()],
        }
    }

    fn replay(&mut self, position: Position, body: &[u8]) -> Result<(), String> {
        let (record, new) = decode(body, &self.words).map_err(|malformed| malformed.to_string())?;
        self.words.learn_all(new);
        self.first_at.get_or_insert(record.at);
        self.last_at = self.last_at.max(record.at);
        let last = &mut self.last_revisions[usize::from(record.kind.code())];
        *last = (*last).max(record.revision);
        self.objects.note(&record, position).map_err(str::to_owned)?;
        self.columns.note(&record, self.objects.row(record.number));
        Ok(())
    }
}

impl Inner {
    fn open(files: &Arc<dyn Files>, segment_bytes: u64) -> Result<(Self, Option<Torn>), LogError> {
        let mut index = Index::new();
        let (log, torn) = Log::open(Arc::clone(files), segment_bytes, &mut |position, _, body| {
            index.replay(position, body)
        })?;
        let Index { words, objects, columns, first_at, last_at, last_revisions } = index;
        let states = HashMap::new();
        Ok((Self { log, words, objects, columns, states, first_at, last_at, last_revisions }, torn))
    }

    fn record(&self, position: Position) -> Result<Record, LogError> {
        let body = self.log.read(position)?;
        decode(&body, &self.words)
            .map(|(record, _)| record)
            .map_err(|malformed| crate::log::damaged(position, malformed.0))
    }

    /// The last state of an object; `None` when it is gone.
    fn state(&self, number: u32) -> Result<Option<Value>, LogError> {
        if let Some(state) = self.states.get(&number) {
            return Ok(Some(state.clone()));
        }
        Ok(self.stood(number, |_| true)?.map(|stood| stood.object))
    }
}

impl Database {
    /// Reads what is there.
    ///
    /// # Errors
    /// Damage that is no torn end, and what the file system says.
    pub(crate) fn open(files: Arc<dyn Files>, clock: SharedClock) -> Result<(Self, Option<Torn>), LogError> {
        Self::with_segments(files, clock, SEGMENT_BYTES)
    }

    fn with_segments(
        files: Arc<dyn Files>,
        clock: SharedClock,
        segment_bytes: u64,
    ) -> Result<(Self, Option<Torn>), LogError> {
        let (inner, torn) = Inner::open(&files, segment_bytes)?;
        Ok((Self { files, segment_bytes, clock, inner: RwLock::new(inner) }, torn))
    }

    /// Reads the files anew after a write that failed.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub(crate) fn reopen(&self) -> Result<(), LogError> {
        let (fresh, _) = Inner::open(&self.files, self.segment_bytes)?;
        *self.inner.write() = fresh;
        Ok(())
    }

    /// The last revision of a kind that is recorded; 0 before the first.
    pub(crate) fn last_revision(&self, kind: Kind) -> u64 {
        self.inner.read().last_revisions[usize::from(kind.code())]
    }

    /// The objects of a kind that are there, with the revision each was last seen at.
    pub(crate) fn living(&self, kind: Kind) -> Vec<(Arc<str>, u64)> {
        self.inner.read().objects.living(kind)
    }

    /// When the first and the last record were made.
    pub(crate) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let inner = self.inner.read();
        inner.first_at.map(|first| (first, inner.last_at))
    }

    /// Work on what is in memory of all machines. Recording waits meanwhile.
    pub(crate) fn look<T>(&self, work: impl FnOnce(&Columns, &IndexSet<Arc<str>>) -> T) -> T {
        let inner = self.inner.read();
        work(&inner.columns, inner.objects.names())
    }

    /// Walks the chain of everything that is synced.
    ///
    /// # Errors
    /// A file cannot be read at all.
    pub(crate) fn verify(&self, anchor: Option<&Anchor>) -> Result<Verdict, LogError> {
        let until = self.inner.read().log.until();
        verify(&*self.files, Some(until), anchor)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
