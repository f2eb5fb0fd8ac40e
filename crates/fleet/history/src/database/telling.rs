//! Telling what happened to one object, and what it was at a time.

use std::sync::Arc;

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

/// What an object was from a time on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stood {
    pub(crate) at: Timestamp,
    pub(crate) revision: u64,
    pub(crate) object: Value,
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

    /// What an object was at the last of those records that count; `None` when it was not there.
    pub(super) fn stood(
        &self,
        number: u32,
        counts: impl Fn(&Record) -> bool,
    ) -> Result<Option<Stood>, LogError> {
        let mut next = Some(self.objects.get(number).head);
        let mut undone = Vec::new();
        let mut last = None;
        while let Some(position) = next {
            let record = self.record(position)?;
            next = record.previous;
            if last.is_none() && !counts(&record) {
                continue;
            }
            let (at, revision) = *last.get_or_insert((record.at, record.revision));
            match record.body {
                Body::Whole(mut object) => {
                    redo(&mut object, undone);
                    return Ok(Some(Stood { at, revision, object }));
                }
                Body::Changes(changes) => undone.push(changes),
                Body::Gone => return Ok(None),
            }
        }
        Ok(None)
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
        Ok(inner.stood(number, |record| record.at <= at)?.map(|stood| stood.object))
    }

    /// The objects of a kind that are or were, from that number on, in the order in which they were first seen; at most
    /// `max` of them.
    pub(crate) fn of_kind(&self, kind: Kind, from: u32, max: usize) -> Vec<(u32, Arc<str>)> {
        self.inner.read().objects.of_kind(kind, from, max)
    }

    /// What an object was last, also when it is gone, and whether it is still there.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn last_state(&self, number: u32) -> Result<Option<(Stood, bool)>, LogError> {
        let inner = self.inner.read();
        let is_there = inner.objects.get(number).is_there;
        let stood = inner.stood(number, |record| !matches!(record.body, Body::Gone))?;
        Ok(stood.map(|stood| (stood, is_there)))
    }
}
