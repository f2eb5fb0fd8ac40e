//! Telling what happened to one object, and what it was at a time.

use jiff::Timestamp;
use serde_json::Value;

use super::{Database, Inner};
use crate::change::{Change, FieldChange, apply, field_changes};
use crate::kinds::Kind;
use crate::log::LogError;
use crate::record::{Body, Record};

/// Whose history, and from when until when.
#[derive(Clone, Debug)]
pub(crate) struct Range<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

/// One record with the fields it changed.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) fields: Vec<FieldChange>,
}

/// Makes the changes in `state`, the last of the list first.
pub(super) fn redo(state: &mut Value, mut undone: Vec<Vec<Change>>) {
    while let Some(changes) = undone.pop() {
        changes.iter().for_each(|change| apply(state, change));
    }
}

impl Inner {
    /// The records of an object back to `since`, and further to the whole state that the first of them stands on; the
    /// oldest first.
    fn records(&self, number: u32, since: Timestamp) -> Result<Vec<Record>, LogError> {
        let mut records: Vec<Record> = Vec::new();
        let mut next = Some(self.objects.get(number).head);
        while let Some(position) = next {
            let record = self.record(position)?;
            next = record.previous;
            let stands_alone = !matches!(record.body, Body::Changes(_));
            let before = record.at < since;
            records.push(record);
            if before && stands_alone {
                break;
            }
        }
        records.reverse();
        Ok(records)
    }
}

impl Database {
    /// Every change within the range, the oldest first; `None` when there never was such an object.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn history(&self, range: &Range<'_>) -> Result<Option<Vec<Entry>>, LogError> {
        let inner = self.inner.read();
        let Some(number) = inner.objects.find(range.kind, range.name) else { return Ok(None) };
        let mut state: Option<Value> = None;
        let mut entries = Vec::new();
        for mut record in inner.records(number, range.since)? {
            let before = state.clone();
            match std::mem::replace(&mut record.body, Body::Gone) {
                Body::Whole(whole) => state = Some(whole),
                Body::Changes(changes) => {
                    if let Some(state) = &mut state {
                        changes.iter().for_each(|change| apply(state, change));
                    }
                }
                Body::Gone => state = None,
            }
            if range.since <= record.at && record.at <= range.until {
                entries.push(Entry { fields: field_changes(before.as_ref(), state.as_ref()), record });
            }
        }
        Ok(Some(entries))
    }

    /// What an object was at a time; `None` when it was not there.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn state_at(&self, kind: Kind, name: &str, at: Timestamp) -> Result<Option<Value>, LogError> {
        let inner = self.inner.read();
        let Some(number) = inner.objects.find(kind, name) else { return Ok(None) };
        let mut next = Some(inner.objects.get(number).head);
        let mut undone = Vec::new();
        while let Some(position) = next {
            let record = inner.record(position)?;
            next = record.previous;
            if record.at > at {
                continue;
            }
            match record.body {
                Body::Whole(mut state) => {
                    redo(&mut state, undone);
                    return Ok(Some(state));
                }
                Body::Changes(changes) => undone.push(changes),
                Body::Gone => return Ok(None),
            }
        }
        Ok(None)
    }
}
