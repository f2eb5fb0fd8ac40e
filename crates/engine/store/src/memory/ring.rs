//! The recent events of one resource, shared by all its watchers.

use std::collections::VecDeque;

use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::entry::{Event, Payload};
use crate::key::Revision;

/// What an event takes besides its value and its name: the header, the reference counts, the slot.
const EVENT_OVERHEAD_BYTES: usize = 192;

/// Events of one resource in order of revision, within a budget of bytes.
pub(crate) struct Ring<T> {
    events: RwLock<Events<T>>,
    wake: Notify,
}

struct Events<T> {
    kept: VecDeque<Event<T>>,
    /// The sequence number of the first event kept; cursors count in these.
    first: u64,
    oldest: Revision,
    bytes: usize,
    bytes_max: usize,
}

/// What there is at a cursor.
pub(crate) enum Look<T> {
    Event(Event<T>),
    CaughtUp,
    Lapped { oldest: Revision },
}

impl<T: Payload> Ring<T> {
    /// An empty ring to watch from `oldest` on.
    pub(crate) fn new(oldest: Revision, bytes_max: usize) -> Self {
        let events = Events { kept: VecDeque::new(), first: 0, oldest, bytes: 0, bytes_max };
        Self { events: RwLock::new(events), wake: Notify::new() }
    }

    /// Appends; returns what fell out, for the caller to drop outside of its locks. [`Ring::wake`] is up to the caller
    /// for the same reason.
    pub(crate) fn push(&self, events: impl IntoIterator<Item = Event<T>>) -> Vec<Event<T>> {
        let mut ring = self.events.write();
        for event in events {
            ring.bytes += weight(&event);
            ring.kept.push_back(event);
        }
        ring.evict()
    }

    /// The lowest revision a watch can begin after.
    pub(crate) fn oldest(&self) -> Revision {
        self.events.read().oldest
    }

    /// The cursor of the first event after this revision; none if that may not be kept any more.
    pub(crate) fn seek(&self, after: Revision) -> Result<u64, Revision> {
        let ring = self.events.read();
        if after < ring.oldest {
            return Err(ring.oldest);
        }
        let passed = ring.kept.partition_point(|event| event.revision <= after);
        Ok(ring.first + passed as u64)
    }

    pub(crate) fn look(&self, cursor: u64) -> Look<T> {
        let ring = self.events.read();
        let Some(index) = cursor.checked_sub(ring.first) else {
            return Look::Lapped { oldest: ring.oldest };
        };
        usize::try_from(index)
            .ok()
            .and_then(|index| ring.kept.get(index))
            .map_or(Look::CaughtUp, |event| Look::Event(event.clone()))
    }

    pub(crate) fn wake(&self) -> &Notify {
        &self.wake
    }
}

impl<T: Payload> Events<T> {
    fn evict(&mut self) -> Vec<Event<T>> {
        let mut evicted = Vec::new();
        while self.bytes_max < self.bytes
            && let Some(event) = self.kept.pop_front()
        {
            self.bytes -= weight(&event);
            self.first += 1;
            self.oldest = event.revision;
            evicted.push(event);
        }
        evicted
    }
}

/// Each version is counted once, by the event that wrote it: the `previous` of all but the oldest events is the entry
/// of another event or of the table.
fn weight<T: Payload>(event: &Event<T>) -> usize {
    event.entry.value.weight() + event.entry.key.name.len() + EVENT_OVERHEAD_BYTES
}
