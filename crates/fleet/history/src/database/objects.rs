//! Where the last record of each object stands. About 100 bytes for each object that ever was.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexSet;
use uuid::Uuid;

use crate::kinds::Kind;
use crate::log::Position;
use crate::record::{Body, Operation, Record};

#[derive(Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    pub(super) uid: Uuid,
    pub(super) head: Position,
    pub(super) revision: u64,
    pub(super) is_there: bool,
    pub(super) changes_since_whole: u16,
    row: u32,
}

/// A machine and its inventory share a name and a row.
#[derive(Debug, Default)]
pub(super) struct Objects {
    all: Vec<Object>,
    numbers: [HashMap<Arc<str>, u32>; Kind::ALL.len()],
    rows: IndexSet<Arc<str>>,
}

impl Objects {
    pub(super) fn find(&self, kind: Kind, name: &str) -> Option<u32> {
        self.numbers[usize::from(kind.code())].get(name).copied()
    }

    pub(super) fn get(&self, number: u32) -> &Object {
        &self.all[number as usize]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Object {
        &mut self.all[number as usize]
    }

    /// The number that the next new object gets.
    pub(super) fn next(&self) -> u32 {
        u32::try_from(self.all.len()).expect("fewer objects than 4 thousand million")
    }

    /// The machine's row in the columns.
    pub(super) fn row(&self, number: u32) -> u32 {
        self.get(number).row
    }

    /// Names of machines, by row.
    pub(super) fn names(&self) -> &IndexSet<Arc<str>> {
        &self.rows
    }

    pub(super) fn living(&self, kind: Kind) -> Vec<(Arc<str>, u64)> {
        let of_kind = self.all.iter().filter(|object| object.kind == kind && object.is_there);
        of_kind.map(|object| (Arc::clone(&object.name), object.revision)).collect()
    }

    /// Those of a kind from that number on, with their numbers.
    pub(super) fn of_kind(&self, kind: Kind, from: u32, max: usize) -> Vec<(u32, Arc<str>)> {
        let numbered = (from..).zip(self.all.iter().skip(from as usize));
        let of_kind = numbered.filter(|(_, object)| object.kind == kind);
        of_kind.map(|(number, object)| (number, Arc::clone(&object.name))).take(max).collect()
    }

    /// Takes a record into account.
    ///
    /// # Errors
    /// It speaks of an object that was never introduced.
    pub(super) fn note(&mut self, record: &Record, position: Position) -> Result<(), &'static str> {
        if record.number == self.next() {
            let born = record.born.as_ref().ok_or("an object has no name")?;
            self.introduce(record.kind, &born.name, position);
        }
        let object = self.all.get_mut(record.number as usize).ok_or("an object is missing")?;
        if let Some(born) = &record.born {
            object.uid = born.uid;
        }
        object.head = position;
        object.revision = record.revision;
        object.is_there = record.operation != Operation::Delete;
        object.changes_since_whole = match record.body {
            Body::Whole(_) | Body::Gone => 0,
            Body::Changes(_) => object.changes_since_whole + 1,
        };
        Ok(())
    }

    fn introduce(&mut self, kind: Kind, name: &Arc<str>, head: Position) {
        let number = self.next();
        let (name, row) = match kind {
            Kind::Machine | Kind::Inventory => {
                let row = self.rows.insert_full(Arc::clone(name)).0;
                (Arc::clone(&self.rows[row]), u32::try_from(row).expect("fewer machines than objects"))
            }
            Kind::Problem
            | Kind::MachineRole
            | Kind::Run
            | Kind::Site
            | Kind::Rack
            | Kind::HardwareProfile => (Arc::clone(name), u32::MAX),
        };
        self.numbers[usize::from(kind.code())].insert(Arc::clone(&name), number);
        let uid = Uuid::nil();
        let object =
            Object { kind, name, uid, head, revision: 0, is_there: false, changes_since_whole: 0, row };
        self.all.push(object);
    }
}
