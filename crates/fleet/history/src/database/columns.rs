//! The hot fields of machines and inventories, one column each: the values of now, and what each was before.
//!
//! A row is a machine's name. A value is a number into the column's own dictionary, 0 where there is none. As of a time,
//! a column is that of now with the changes since undone.

use std::collections::BTreeMap;

use indexmap::IndexSet;
use jiff::Timestamp;
use serde_json::Value;

use crate::change::{Edit, Path, Step, leaves};
use crate::kinds::Kind;
use crate::record::{Body, Record};

/// Columns of labels would otherwise be as many as there are keys.
const COLUMNS_MAX: usize = 128;

/// Fields that move all the time or are another for each machine. A query may name them; they are then read from the log
/// for the machines that are left when everything else is decided.
const COLD: &[&str] = &[
    "metadata.annotations",
    "metadata.creationTimestamp",
    "metadata.deletionTimestamp",
    "spec.bmc.address",
    "spec.handsOff",
    "status.bootID",
    "status.deadline",
    "status.message",
    "status.node",
    "status.observedAt",
    "status.run",
    "status.since",
];

/// A value with no parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scalar {
    Bool(bool),
    Number(serde_json::Number),
    Text(Box<str>),
}

impl Scalar {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(bool) => Some(Self::Bool(*bool)),
            Value::Number(number) => Some(Self::Number(number.clone())),
            Value::String(text) => Some(Self::Text(text.as_str().into())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::from(&**text),
        }
    }
}

/// What stood in a row until a time.
#[derive(Clone, Copy, Debug)]
struct Moved {
    until_us: i64,
    row: u32,
    old: u32,
}

/// One field of all machines.
#[derive(Debug, Default)]
pub(crate) struct Column {
    values: IndexSet<Scalar>,
    now: Vec<u32>,
    moved: Vec<Moved>,
}

impl Column {
    fn set(&mut self, at_us: i64, row: u32, value: Option<Scalar>) {
        let new = match value {
            Some(value) => {
                let index = self.values.insert_full(value).0;
                u32::try_from(index + 1).expect("fewer values than changes")
            }
            None => 0,
        };
        let index = row as usize;
        if self.now.len() <= index {
            self.now.resize(index + 1, 0);
        }
        let old = std::mem::replace(&mut self.now[index], new);
        if old != new {
            self.moved.push(Moved { until_us: at_us, row, old });
        }
    }

    /// The numbers of the values as of a time; rows behind the end have none.
    pub(crate) fn at(&self, at: Option<Timestamp>) -> Vec<u32> {
        let mut rows = self.now.clone();
        if let Some(at) = at {
            let at_us = at.as_microsecond();
            for moved in self.moved.iter().rev().take_while(|moved| moved.until_us > at_us) {
                rows[moved.row as usize] = moved.old;
            }
        }
        rows
    }

    /// The value of that number.
    pub(crate) fn value(&self, number: u32) -> Option<&Scalar> {
        self.values.get_index((number as usize).checked_sub(1)?)
    }

    /// The number of a value; `None`: no machine ever had it.
    pub(crate) fn number(&self, value: &Scalar) -> Option<u32> {
        u32::try_from(self.values.get_index_of(value)? + 1).ok()
    }
}

/// All columns. The one with the empty path says whether the object is there.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    columns: BTreeMap<(Kind, Path), Column>,
}

/// Whether a field has a column.
pub(crate) fn is_hot(path: &Path) -> bool {
    let plain = path.0.iter().all(|step| matches!(step, Step::Field(_)));
    let text = path.to_string();
    let within =
        |cold: &&str| text.strip_prefix(*cold).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    plain && !COLD.iter().any(within)
}

impl Columns {
    /// Takes a record into account.
    pub(crate) fn note(&mut self, record: &Record, row: u32) {
        if !matches!(record.kind, Kind::Machine | Kind::Inventory) {
            return;
        }
        let at_us = record.at.as_microsecond();
        let top = Path::default();
        match &record.body {
            Body::Whole(state) => {
                self.clear(record.kind, &top, at_us, row, Some(state));
                self.set(record.kind, &top, at_us, row, Some(Scalar::Bool(true)));
                self.fill(record.kind, &top, at_us, row, state);
            }
            Body::Gone => self.clear(record.kind, &top, at_us, row, None),
            Body::Changes(changes) => {
                for change in changes {
                    match &change.edit {
                        Edit::Set(value) => {
                            self.clear(record.kind, &change.path, at_us, row, Some(value));
                            self.fill(record.kind, &change.path, at_us, row, value);
                        }
                        Edit::Remove => self.clear(record.kind, &change.path, at_us, row, None),
                        Edit::Slide { .. } => {}
                    }
                }
            }
        }
    }

    /// Empties the columns within `path`, but those that `state` fills again.
    fn clear(&mut self, kind: Kind, path: &Path, at_us: i64, row: u32, state: Option<&Value>) {
        let depth = path.0.len();
        for ((of, column_path), column) in &mut self.columns {
            if *of != kind
                || !path.holds(column_path)
                || column.now.get(row as usize).is_none_or(|now| *now == 0)
            {
                continue;
            }
            let rest = Path(column_path.0[depth..].to_vec());
            let filled = state.is_some_and(|state| {
                column_path.0.is_empty() || rest.find(state).and_then(Scalar::of).is_some()
            });
            if !filled {
                column.set(at_us, row, None);
            }
        }
    }

    fn fill(&mut self, kind: Kind, path: &Path, at_us: i64, row: u32, value: &Value) {
        leaves(path, value, &mut |path, leaf| {
            if let Some(scalar) = Scalar::of(leaf).filter(|_| is_hot(path)) {
                self.set(kind, path, at_us, row, Some(scalar));
            }
        });
    }

    fn set(&mut self, kind: Kind, path: &Path, at_us: i64, row: u32, value: Option<Scalar>) {
        let key = (kind, path.clone());
        if self.columns.contains_key(&key) || self.columns.len() < COLUMNS_MAX {
            self.columns.entry(key).or_default().set(at_us, row, value);
        }
    }

    /// The column of a field; `None`: the field is not kept in memory, or no machine ever had it.
    pub(crate) fn get(&self, kind: Kind, path: &Path) -> Option<&Column> {
        self.columns.get(&(kind, path.clone()))
    }

    /// The columns within a field.
    pub(crate) fn within<'a>(
        &'a self,
        kind: Kind,
        path: &'a Path,
    ) -> impl Iterator<Item = (&'a Path, &'a Column)> {
        let of_kind = self.columns.iter().filter(move |((of, each), _)| *of == kind && path.holds(each));
        of_kind.map(|((_, path), column)| (path, column))
    }

    /// Whether every hot field has its column.
    pub(crate) fn are_complete(&self) -> bool {
        self.columns.len() < COLUMNS_MAX
    }
}
