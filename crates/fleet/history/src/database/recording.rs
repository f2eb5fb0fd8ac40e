//! Recording what was seen: against the last state, in one group, synced once.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{CHANGES_BETWEEN_WHOLE, Database, Inner, STATES_MAX};
use crate::change::difference;
use crate::kinds::{Kind, digest};
use crate::log::LogError;
use crate::notes::{Attribution, Notes};
use crate::record::{Body, Born, Operation, Record, encode};

/// One version of an object, as the watch or a list shows it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) uid: Uuid,
    pub(crate) revision: u64,
    /// What is kept of it; `None`: it is gone.
    pub(crate) object: Option<Value>,
    pub(crate) manager: Option<Arc<str>>,
    pub(crate) late: bool,
    /// Found once, so that a batch that has to be tried again keeps it.
    pub(crate) attribution: Option<Attribution>,
}

impl Database {
    /// Records what differs from what is known, and returns how many records that took. A version that is not newer than
    /// the one known is passed over.
    ///
    /// # Errors
    /// The log cannot be written; [`Database::reopen`] must follow, then the same batch again.
    pub(crate) fn record(&self, batch: &mut [Seen], notes: &Notes) -> Result<usize, LogError> {
        let mut inner = self.inner.write();
        let at = self.clock.now().max(inner.last_at);
        let mut recorded = 0;
        for seen in batch {
            recorded += inner.one(seen, notes, at)?;
        }
        inner.log.commit()?;
        if recorded > 0 {
            inner.first_at.get_or_insert(at);
            inner.last_at = at;
        }
        Ok(recorded)
    }
}

impl Inner {
    fn one(&mut self, seen: &mut Seen, notes: &Notes, at: Timestamp) -> Result<usize, LogError> {
        let known = self.objects.find(seen.kind, &seen.name);
        let Some(number) = known else {
            if seen.object.is_none() {
                return Ok(0);
            }
            return self.write(seen, notes, at, self.objects.next(), Operation::Create, None);
        };
        let object = self.objects.get(number);
        if seen.revision <= object.revision {
            return Ok(0);
        }
        let (is_there, same) = (object.is_there, object.uid == seen.uid);
        match (&seen.object, is_there) {
            (None, false) => Ok(0),
            (None, true) => self.write(seen, notes, at, number, Operation::Delete, None),
            (Some(_), false) => self.write(seen, notes, at, number, Operation::Create, None),
            (Some(_), true) if !same => {
                // A namesake took its place while nobody looked.
                let mut end = Seen {
                    object: None,
                    revision: seen.revision - 1,
                    late: true,
                    attribution: None,
                    ..seen.clone()
                };
                let ended = self.write(&mut end, notes, at, number, Operation::Delete, None)?;
                Ok(ended + self.write(seen, notes, at, number, Operation::Create, None)?)
            }
            (Some(_), true) => {
                let before = self.state(number)?;
                self.write(seen, notes, at, number, Operation::Update, before)
            }
        }
    }

    fn write(
        &mut self,
        seen: &mut Seen,
        notes: &Notes,
        at: Timestamp,
        number: u32,
        operation: Operation,
        before: Option<Value>,
    ) -> Result<usize, LogError> {
        let known = (number < self.objects.next()).then(|| self.objects.get(number));
        let upon = known.filter(|_| operation != Operation::Create).map_or(0, |object| object.revision);
        let body = match (&seen.object, &before) {
            (None, _) => Body::Gone,
            (Some(now), Some(before)) => {
                let changes = difference(before, now);
                if changes.is_empty() {
                    self.objects.get_mut(number).revision = seen.revision;
                    return Ok(0);
                }
                let whole = known.is_none_or(|object| object.changes_since_whole >= CHANGES_BETWEEN_WHOLE);
                if whole { Body::Whole(now.clone()) } else { Body::Changes(changes) }
            }
            (Some(now), None) => Body::Whole(now.clone()),
        };
        let found = seen.attribution.get_or_insert_with(|| {
            let content = || seen.object.as_ref().map_or([0; 32], digest);
            notes.take(seen.uid, operation, upon, content)
        });
        let born =
            (operation == Operation::Create).then(|| Born { name: seen.name.as_str().into(), uid: seen.uid });
        let record = Record {
            at,
            revision: seen.revision,
            kind: seen.kind,
            number,
            born,
            operation,
            via: found.via,
            late: seen.late,
            actor: found.actor.clone(),
            manager: seen.manager.clone(),
            reason: found.reason.clone(),
            previous: known.map(|object| object.head),
            body,
        };
        let position = self.log.append(&encode(&record, &mut self.words))?;
        self.objects.note(&record, position).expect("its number is the next or known");
        self.columns.note(&record, self.objects.row(number));
        let last = &mut self.last_revisions[usize::from(record.kind.code())];
        *last = (*last).max(record.revision);
        self.keep_state(number, operation, seen.object.as_ref());
        Ok(1)
    }

    /// What is written once, at a bulk import, need not be kept.
    fn keep_state(&mut self, number: u32, operation: Operation, object: Option<&Value>) {
        if self.states.len() >= STATES_MAX {
            self.states.clear();
        }
        match object {
            Some(object) if operation == Operation::Update => self.states.insert(number, object.clone()),
            Some(_) | None => self.states.remove(&number),
        };
    }
}
