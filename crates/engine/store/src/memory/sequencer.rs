//! The single writer's view: checks a batch and gives its writes their revisions.

use std::collections::HashMap;
use std::sync::Arc;

use crate::entry::{Change, Committed, Entry, Event, Expect, Write};
use crate::error::CommitError;
use crate::key::{Key, Revision};
use crate::memory::table::Table;

pub(crate) type Tables<T> = HashMap<Arc<str>, Table<T>>;

/// The state including what is staged but not yet published.
pub(crate) struct Sequencer<T> {
    tables: Tables<T>,
    last: Revision,
}

/// A batch whose preconditions held.
pub(crate) struct Staged<T> {
    pub(crate) events: Vec<Event<T>>,
    pub(crate) committed: Committed<T>,
}

impl<T: Clone> Sequencer<T> {
    pub(crate) fn new(tables: Tables<T>, last: Revision) -> Self {
        Self { tables, last }
    }

    /// The last revision given out.
    pub(crate) fn last(&self) -> Revision {
        self.last
    }

    pub(crate) fn tables(&self) -> &Tables<T> {
        &self.tables
    }

    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.tables.values().map(Table::len).sum()
    }

    /// Takes an entry as it was.
    pub(crate) fn restore(&mut self, entry: Entry<T>) {
        let table = self.tables.entry(entry.key.resource.clone()).or_default();
        let key = table.share(&entry.key);
        table.put(Arc::new(Entry { key, ..entry }));
    }

    /// Gives out no revision up to this one.
    pub(crate) fn skip_to(&mut self, revision: Revision) {
        self.last = self.last.max(revision);
    }

    /// The tables these events changed, as they are now.
    pub(crate) fn touched(&self, events: &[Event<T>]) -> Tables<T> {
        let mut touched = Tables::new();
        for event in events {
            let resource = &event.entry.key.resource;
            if !touched.contains_key(resource)
                && let Some((name, table)) = self.tables.get_key_value(resource)
            {
                touched.insert(name.clone(), table.clone());
            }
        }
        touched
    }

    /// Does all of the batch or, when a precondition fails, nothing.
    pub(crate) fn stage(&mut self, writes: Vec<Write<T>>) -> Result<Staged<T>, CommitError<T>> {
        let mut undo = Undo { tables: Vec::new(), last: self.last, needed: 1 < writes.len() };
        let mut events = Vec::with_capacity(writes.len());
        for (index, write) in writes.into_iter().enumerate() {
            match self.stage_one(index, write, &mut undo) {
                Ok(event) => events.extend(event),
                Err(conflict) => {
                    self.roll_back(undo);
                    return Err(conflict);
                }
            }
        }
        let entries = events.iter().map(|event| event.entry.clone()).collect();
        Ok(Staged { events, committed: Committed { revision: self.last, entries } })
    }

    fn stage_one(
        &mut self,
        index: usize,
        write: Write<T>,
        undo: &mut Undo<T>,
    ) -> Result<Option<Event<T>>, CommitError<T>> {
        let key = write.key();
        let table = self.tables.get(&key.resource);
        let found = table.and_then(|table| table.get(key.position()));
        let expect = write.expect();
        if !holds(expect, found.map(|entry| entry.revision)) {
            return Err(CommitError::Conflict { index, key: key.clone(), expect, found: found.cloned() });
        }
        let absent = found.is_none();
        match write {
            Write::Delete { .. } if absent => Ok(None),
            Write::Put { key, value, .. } => {
                undo.remember(&key, table);
                Ok(Some(self.put(&key, value, self.last.next())))
            }
            Write::Delete { key, .. } => {
                undo.remember(&key, table);
                Ok(self.delete(&key, self.last.next()))
            }
        }
    }

    /// Writes without a precondition; `revision` must be above all before it.
    pub(crate) fn put(&mut self, key: &Key, value: T, revision: Revision) -> Event<T> {
        debug_assert!(self.last < revision, "revisions rise");
        self.last = revision;
        let table = self.tables.entry(key.resource.clone()).or_default();
        let key = table.share(key);
        let previous = table.get(key.position()).cloned();
        let created = previous.as_ref().map_or(revision, |entry| entry.created);
        let entry = Arc::new(Entry { key, created, revision, value });
        table.put(entry.clone());
        let change = if previous.is_some() { Change::Updated } else { Change::Created };
        Event { revision, change, entry, previous }
    }

    /// Removes an entry; none if there is no such entry.
    pub(crate) fn delete(&mut self, key: &Key, revision: Revision) -> Option<Event<T>> {
        debug_assert!(self.last < revision, "revisions rise");
        let previous = self.tables.get_mut(&key.resource)?.remove(key.position())?;
        self.last = revision;
        let entry = Arc::new(Entry { revision, ..Entry::clone(&previous) });
        Some(Event { revision, change: Change::Deleted, entry, previous: Some(previous) })
    }

    fn roll_back(&mut self, undo: Undo<T>) {
        self.last = undo.last;
        for (resource, table) in undo.tables {
            self.tables.insert(resource, table);
        }
    }
}

/// The tables as they were before the batch touched them.
struct Undo<T> {
    tables: Vec<(Arc<str>, Table<T>)>,
    last: Revision,
    /// A single write is checked before anything changes; a copy of its table would only slow the write down.
    needed: bool,
}

impl<T> Undo<T> {
    fn remember(&mut self, key: &Key, table: Option<&Table<T>>) {
        if self.needed && !self.tables.iter().any(|(resource, _)| *resource == key.resource) {
            self.tables.push((key.resource.clone(), table.cloned().unwrap_or_default()));
        }
    }
}

fn holds(expect: Expect, found: Option<Revision>) -> bool {
    match expect {
        Expect::Absent => found.is_none(),
        Expect::Revision(revision) => found == Some(revision),
        Expect::Exists => found.is_some(),
        Expect::Any => true,
    }
}
