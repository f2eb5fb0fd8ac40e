//! A watcher: a cursor on a ring.

use std::sync::Arc;

use crate::entry::{Event, Payload};
use crate::error::WatchError;
use crate::key::Revision;
use crate::memory::ring::{Look, Ring};
use crate::memory::shared::Shared;

/// Follows the events of one resource. It holds no queue: a watcher that is slow costs nobody anything and is told
/// [`WatchError::Expired`] once the ring has overtaken it.
pub struct Watch<T> {
    shared: Arc<Shared<T>>,
    ring: Arc<Ring<T>>,
    cursor: u64,
    seen: Revision,
}

impl<T: Payload> Watch<T> {
    pub(crate) fn begin(shared: Arc<Shared<T>>, resource: &str, after: Revision) -> Result<Self, WatchError> {
        if shared.is_closed() {
            return Err(WatchError::Closed);
        }
        let current = shared.revision();
        if current < after {
            return Err(WatchError::Ahead { after, current });
        }
        let ring = shared.ring(resource);
        let cursor = ring.seek(after).map_err(|oldest| WatchError::Expired { after, oldest })?;
        Ok(Self { shared, ring, cursor, seen: after })
    }

    /// The next event, once there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`WatchError::Expired`] when the ring overtook this watcher; [`WatchError::Closed`] at the end of the store.
    pub async fn next(&mut self) -> Result<Event<T>, WatchError> {
        let ring = self.ring.clone();
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            let mut woken = std::pin::pin!(ring.wake().notified());
            woken.as_mut().enable();
            // What came between the look above and the waiting now woke nobody.
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            if self.shared.is_closed() {
                return Err(WatchError::Closed);
            }
            woken.await;
        }
    }

    /// The next event if there is one already.
    ///
    /// # Errors
    /// [`WatchError::Expired`] when the ring overtook this watcher.
    pub fn try_next(&mut self) -> Result<Option<Event<T>>, WatchError> {
        match self.ring.look(self.cursor) {
            Look::Event(event) => {
                self.cursor += 1;
                self.seen = event.revision;
                Ok(Some(event))
            }
            Look::CaughtUp => Ok(None),
            Look::Lapped { oldest } => Err(WatchError::Expired { after: self.seen, oldest }),
        }
    }

    /// The revision up to which this watcher has seen everything: that of its last event, or the whole store's when
    /// no event of this resource is waiting. What a bookmark says.
    pub fn progress(&mut self) -> Revision {
        let published = self.shared.revision();
        match self.ring.look(self.cursor) {
            Look::CaughtUp => self.seen = self.seen.max(published),
            Look::Event(_) | Look::Lapped { .. } => {}
        }
        self.seen
    }
}
