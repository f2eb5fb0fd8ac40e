//! What readers see: published state, rings, the revision.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::entry::{Entry, Event, Payload};
use crate::key::{Key, Revision};
use crate::memory::ring::Ring;
use crate::memory::sequencer::Tables;
use crate::snapshot::Snapshot;

/// The state as readers see it. One lock around all tables, so that a batch over several resources appears at once.
pub(crate) struct Shared<T> {
    published: RwLock<Published<T>>,
    /// Stored after the rings have the events, so a watcher that reads it and then finds its ring empty has seen
    /// everything up to it.
    revision: AtomicU64,
    closed: AtomicBool,
    ring_bytes: usize,
}

struct Published<T> {
    revision: Revision,
    tables: Tables<T>,
    rings: HashMap<Arc<str>, Arc<Ring<T>>>,
    /// Where the ring of a resource begins that is seen for the first time.
    oldest: Revision,
}

impl<T: Payload> Shared<T> {
    /// State that watchers can follow from `oldest` on.
    pub(crate) fn new(tables: Tables<T>, oldest: Revision, ring_bytes: usize) -> Self {
        let published = Published { revision: oldest, tables, rings: HashMap::new(), oldest };
        Self {
            published: RwLock::new(published),
            revision: AtomicU64::new(oldest.get()),
            closed: AtomicBool::new(false),
            ring_bytes,
        }
    }

    /// Makes events visible: tables, rings and revision, at once.
    pub(crate) fn publish(&self, events: Vec<Event<T>>, touched: Tables<T>, revision: Revision) {
        let by_resource = group(events);
        let mut grown = Vec::with_capacity(by_resource.len());
        let mut replaced = Vec::with_capacity(touched.len());
        let mut published = self.published.write();
        for (resource, table) in touched {
            replaced.extend(published.tables.insert(resource, table));
        }
        for (resource, events) in by_resource {
            let ring = published.ring(&resource, self.ring_bytes);
            grown.push((ring.clone(), ring.push(events)));
        }
        published.revision = revision;
        self.revision.store(revision.get(), Ordering::Release);
        drop(published);
        for (ring, _) in &grown {
            ring.wake().notify_waiters();
        }
        drop((grown, replaced));
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision::new(self.revision.load(Ordering::Acquire))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry<T>>> {
        self.published.read().tables.get(&key.resource)?.get(key.position()).cloned()
    }

    pub(crate) fn snapshot(&self, resource: &str) -> Snapshot<T> {
        let published = self.published.read();
        let table = published.tables.get(resource).cloned().unwrap_or_default();
        Snapshot::new(published.revision, table)
    }

    pub(crate) fn resources(&self) -> Vec<Arc<str>> {
        let published = self.published.read();
        let filled = published.tables.iter().filter(|(_, table)| 0 < table.len());
        let mut names: Vec<_> = filled.map(|(resource, _)| resource.clone()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn oldest(&self, resource: &str) -> Revision {
        let published = self.published.read();
        published.rings.get(resource).map_or(published.oldest, |ring| ring.oldest())
    }

    pub(crate) fn ring(&self, resource: &str) -> Arc<Ring<T>> {
        if let Some(ring) = self.published.read().rings.get(resource) {
            return ring.clone();
        }
        self.published.write().ring(&Arc::from(resource), self.ring_bytes).clone()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for ring in self.published.read().rings.values() {
            ring.wake().notify_waiters();
        }
    }
}

impl<T: Payload> Published<T> {
    fn ring(&mut self, resource: &Arc<str>, bytes_max: usize) -> &Arc<Ring<T>> {
        let oldest = self.oldest;
        self.rings.entry(resource.clone()).or_insert_with(|| Arc::new(Ring::new(oldest, bytes_max)))
    }
}

fn group<T>(events: Vec<Event<T>>) -> HashMap<Arc<str>, Vec<Event<T>>> {
    let mut by_resource: HashMap<Arc<str>, Vec<Event<T>>> = HashMap::new();
    for event in events {
        match by_resource.get_mut(&event.entry.key.resource) {
            Some(group) => group.push(event),
            None => {
                by_resource.insert(event.entry.key.resource.clone(), vec![event]);
            }
        }
    }
    by_resource
}
