//! What this machine was ordered and what became of it, on its own disk: the API may be restored from a backup, a run may be
//! repeated, and still an effect happens once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use muster_api::Order;
use muster_api::order::OrderStatus;
use serde::{Deserialize, Serialize};

use super::note;

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the record of orders {} cannot be read", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the record of orders {} is damaged: move it away if this machine is to take orders again", .path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("the record of orders {} cannot be written: nothing was done", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Names one effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    pub fn of(order: &Order) -> Self {
        let spec = &order.spec;
        Self(format!("{}/{}/{}", spec.run, spec.step, spec.attempt))
    }
}

/// One order in the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub begun: Timestamp,
    /// The boot in which it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
    /// None: begun, and the end was never written.
    pub status: Option<OrderStatus>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    New,
    Known(Entry),
    Stale { highest: i64 },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Book {
    highest_generation: i64,
    entries: BTreeMap<String, Entry>,
}

/// The record, and its file.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    book: Book,
}

/// The oldest are dropped beyond this. Their generation keeps them from being carried out again.
const ENTRIES_MAX: usize = 1000;

impl Ledger {
    /// # Errors
    /// The file is there and cannot be understood: without its record a machine takes no orders.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let path = path.to_owned();
        let book = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| LedgerError::Damaged { path: path.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Book::default(),
            Err(source) => return Err(LedgerError::Read { path, source }),
        };
        Ok(Self { path, book })
    }

    /// What to do about an order. A known one is answered whatever its generation.
    pub fn judge(&self, key: &Key, generation: i64) -> Verdict {
        if let Some(entry) = self.book.entries.get(&key.0) {
            return Verdict::Known(entry.clone());
        }
        if generation < self.book.highest_generation {
            return Verdict::Stale { highest: self.book.highest_generation };
        }
        Verdict::New
    }

    /// Writes down that it begins, before anything is done.
    ///
    /// # Errors
    /// It could not be made durable; then nothing may be done.
    pub fn begin(&mut self, key: &Key, generation: i64, entry: Entry) -> Result<(), LedgerError> {
        self.book.highest_generation = self.book.highest_generation.max(generation);
        self.book.entries.insert(key.0.clone(), entry);
        while self.book.entries.len() > ENTRIES_MAX {
            let oldest =
                self.book.entries.iter().min_by_key(|(_, entry)| entry.begun).map(|(key, _)| key.clone());
            self.book.entries.remove(&oldest.expect("a map beyond its limit is not empty"));
        }
        self.save()
    }

    /// Writes down how it ended.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn end(&mut self, key: &Key, status: OrderStatus) -> Result<(), LedgerError> {
        if let Some(entry) = self.book.entries.get_mut(&key.0) {
            entry.status = Some(status);
        }
        self.save()
    }

    fn save(&self) -> Result<(), LedgerError> {
        note::save(&self.path, &self.book)
            .map_err(|source| LedgerError::Write { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::order::OrderPhase;

    fn key(text: &str) -> Key {
        Key(text.to_owned())
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1000).unwrap()
    }

    fn begun(begun: Timestamp) -> Entry {
        Entry { begun, boot_id: "b1".into(), status: None }
    }

    #[test]
    fn a15_an_older_generation_is_refused_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.json");
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.begin(&key("r/s/1"), 7, begun(now())).unwrap();
        for ledger in [ledger, Ledger::open(&path).unwrap()] {
            assert_eq!(ledger.judge(&key("r/s/2"), 6), Verdict::Stale { highest: 7 });
            assert_eq!(ledger.judge(&key("r/s/2"), 7), Verdict::New);
        }
    }

    #[test]
    fn what_was_done_is_answered_from_the_record_and_what_was_begun_is_never_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.json");
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.begin(&key("a"), 1, begun(now())).unwrap();
        ledger.begin(&key("b"), 2, begun(now())).unwrap();
        let status =
            OrderStatus { phase: OrderPhase::Done, message: "m".to_owned(), ..OrderStatus::default() };
        ledger.end(&key("a"), status.clone()).unwrap();
        let again = Ledger::open(&path).unwrap();
        assert_eq!(
            again.judge(&key("a"), 1),
            Verdict::Known(Entry { begun: now(), boot_id: "b1".into(), status: Some(status) })
        );
        assert_eq!(
            again.judge(&key("b"), 2),
            Verdict::Known(Entry { begun: now(), boot_id: "b1".into(), status: None })
        );
    }

    #[test]
    fn a_damaged_record_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.json");
        fs::write(&path, "{").unwrap();
        assert!(matches!(Ledger::open(&path), Err(LedgerError::Damaged { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
    }
}
