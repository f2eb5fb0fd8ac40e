//! Answering a question: columns first, the log for what is left.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use indexmap::IndexSet;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::field::{Field, Place, Schemas, short};
use super::parts::{Part, Verdict, place};
use super::{LOOKUPS_MAX, QueryError, Question};
use crate::change::Path;
use crate::database::{Column, Columns, Database, Scalar};
use crate::kinds::Kind;

/// The parts of a machine, so that `has(machine.status.phase)` is false before there is a status.
static PARTS: LazyLock<Value> = LazyLock::new(|| json!({"metadata": {}, "spec": {}, "status": {}}));

/// A machine that the condition holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) site: String,
    pub(crate) rack: String,
    pub(crate) role: String,
    pub(crate) phase: String,
}

/// Machines with the same value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Group {
    pub(crate) value: String,
    pub(crate) machines: u64,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) as_of: Timestamp,
    /// Machines there were.
    pub(crate) machines: u64,
    /// Machines for which the condition holds.
    pub(crate) matched: u64,
    /// Machines for which it has no value, because a field is not there; they do not count as matched.
    pub(crate) undecided: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<Vec<Group>>,
    /// By name; absent where groups are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) items: Option<Vec<Found>>,
}

/// A column as of the time asked for.
struct Frozen<'a> {
    kind: Kind,
    path: &'a Path,
    column: &'a Column,
    rows: Vec<u32>,
}

impl Frozen<'_> {
    fn number(&self, row: usize) -> u32 {
        self.rows.get(row).copied().unwrap_or(0)
    }
}

impl Question {
    /// Answers from what is recorded.
    ///
    /// # Errors
    /// The time is outside of the history, or too much would have to be read.
    pub(crate) fn answer(&self, database: &Database) -> Result<Answer, QueryError> {
        self.check_time(database)?;
        let as_of = self.as_of.unwrap_or_else(|| database.now());
        let (mut state, complete) =
            database.look(|columns, names| (self.hot(columns, names), columns.are_complete()));
        let cold: Vec<&Part> = self.parts.iter().filter(|part| !part.is_hot(complete)).collect();
        let by_log = self.group_by.as_ref().filter(|field| field.place == Place::Log);
        if (!cold.is_empty() || by_log.is_some()) && state.left.len() > LOOKUPS_MAX {
            return Err(QueryError::TooMany { machines: state.left.len() });
        }
        for part in cold {
            state.read_from_log(database, part, as_of)?;
        }
        let mut answer = Answer {
            as_of,
            machines: state.machines,
            matched: state.left.len() as u64,
            undecided: state.undecided,
            groups: None,
            items: None,
        };
        match (&self.group_by, by_log) {
            (None, _) => answer.items = Some(database.look(|columns, _| state.items(columns, self.as_of))),
            (Some(_), Some(field)) => answer.groups = Some(state.groups_by_log(database, field, as_of)?),
            (Some(field), None) => {
                answer.groups = Some(database.look(|columns, _| state.groups(columns, field, self.as_of)));
            }
        }
        Ok(answer)
    }

    fn check_time(&self, database: &Database) -> Result<(), QueryError> {
        let Some(as_of) = self.as_of else { return Ok(()) };
        let now = database.now();
        if as_of > now {
            return Err(QueryError::Future { as_of, now });
        }
        match database.span() {
            None => Err(QueryError::Empty { as_of }),
            Some((first, _)) if as_of < first => Err(QueryError::BeforeBegin { as_of, first }),
            Some(_) => Ok(()),
        }
    }

    /// What the columns decide.
    fn hot(&self, columns: &Columns, names: &IndexSet<Arc<str>>) -> Left {
        let top = Path::default();
        let there = columns.get(Kind::Machine, &top).map(|column| column.at(self.as_of)).unwrap_or_default();
        let mut rows: Vec<u32> = Vec::with_capacity(there.len());
        rows.extend((0u32..).zip(&there).filter(|(_, number)| **number != 0).map(|(row, _)| row));
        let machines = rows.len() as u64;
        let mut undecided = 0;
        let complete = columns.are_complete();
        for part in self.parts.iter().filter(|part| part.is_hot(complete)) {
            undecided += decide(part, columns, names, self.as_of, &mut rows);
        }
        let left = rows.into_iter().map(|row| (row, Arc::clone(&names[row as usize]))).collect();
        Left { machines, undecided, left }
    }
}

/// Keeps the rows for which the part holds; how many it has no value for.
fn decide(
    part: &Part,
    columns: &Columns,
    names: &IndexSet<Arc<str>>,
    as_of: Option<Timestamp>,
    rows: &mut Vec<u32>,
) -> u64 {
    let frozen = freeze(part, columns, as_of);
    if let (Some(text), [only]) = (&part.equals, frozen.as_slice()) {
        let wanted = only.column.number(&Scalar::Text(text.as_str().into())).unwrap_or(u32::MAX);
        let missing = rows.iter().filter(|row| only.number(**row as usize) == 0).count();
        rows.retain(|row| only.number(*row as usize) == wanted);
        return missing as u64;
    }
    let by_name = part.fields.iter().any(|field| field.place == Place::Name);
    let mut known: HashMap<Vec<u32>, Verdict> = HashMap::new();
    let mut key = vec![0; frozen.len()];
    let mut undecided = 0;
    rows.retain(|row| {
        key.iter_mut().zip(&frozen).for_each(|(slot, column)| *slot = column.number(*row as usize));
        let verdict = match known.get(&key) {
            Some(verdict) if !by_name => *verdict,
            Some(_) | None => {
                let name = by_name.then(|| &*names[*row as usize]);
                let verdict = once(part, &frozen, &key, name);
                if !by_name {
                    known.insert(key.clone(), verdict);
                }
                verdict
            }
        };
        undecided += u64::from(verdict == Verdict::Undecided);
        verdict == Verdict::Holds
    });
    undecided
}

fn freeze<'a>(part: &'a Part, columns: &'a Columns, as_of: Option<Timestamp>) -> Vec<Frozen<'a>> {
    let mut frozen = Vec::new();
    for field in &part.fields {
        for (path, column) in columns.within(field.kind, &field.path) {
            frozen.push(Frozen { kind: field.kind, path, column, rows: column.at(as_of) });
        }
    }
    frozen
}

fn once(part: &Part, frozen: &[Frozen<'_>], key: &[u32], name: Option<&str>) -> Verdict {
    let (mut machine, mut inventory) = (PARTS.clone(), json!({}));
    for (column, number) in frozen.iter().zip(key) {
        if let Some(value) = column.column.value(*number) {
            place(column.kind, column.path, value.value(), &mut machine, &mut inventory);
        }
    }
    if let Some(name) = name {
        machine["metadata"]["name"] = Value::from(name);
    }
    part.decide(&machine, &inventory)
}

/// What is left while parts are decided.
struct Left {
    machines: u64,
    undecided: u64,
    left: Vec<(u32, Arc<str>)>,
}

impl Left {
    fn read_from_log(&mut self, database: &Database, part: &Part, at: Timestamp) -> Result<(), QueryError> {
        let mut kept = Vec::new();
        for (row, name) in std::mem::take(&mut self.left) {
            let mut machine = PARTS.clone();
            if let Some(Value::Object(state)) = database.state_at(Kind::Machine, &name, at)? {
                state.into_iter().for_each(|(part, value)| machine[part] = value);
            }
            machine["metadata"]["name"] = Value::from(&*name);
            let inventory = database.state_at(Kind::Inventory, &name, at)?.unwrap_or_default();
            let inventory = inventory.get("status").cloned().unwrap_or_default();
            match part.decide(&machine, &inventory) {
                Verdict::Holds => kept.push((row, name)),
                Verdict::Fails => {}
                Verdict::Undecided => self.undecided += 1,
            }
        }
        self.left = kept;
        Ok(())
    }

    fn groups(&self, columns: &Columns, field: &Field, as_of: Option<Timestamp>) -> Vec<Group> {
        let column = columns.get(field.kind, &field.path);
        let rows = column.map(|column| column.at(as_of)).unwrap_or_default();
        let mut counts: HashMap<u32, u64> = HashMap::new();
        for (row, _) in &self.left {
            *counts.entry(rows.get(*row as usize).copied().unwrap_or(0)).or_default() += 1;
        }
        let text = |number| column.and_then(|column| column.value(number)).map(|value| shown(&value.value()));
        sorted(counts.into_iter().map(|(number, count)| (text(number).unwrap_or_default(), count)))
    }

    fn groups_by_log(
        &self,
        database: &Database,
        field: &Field,
        at: Timestamp,
    ) -> Result<Vec<Group>, QueryError> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (_, name) in &self.left {
            let state = database.state_at(field.kind, name, at)?.unwrap_or_default();
            let text = field.path.find(&state).map(shown).unwrap_or_default();
            *counts.entry(text).or_default() += 1;
        }
        Ok(sorted(counts.into_iter()))
    }

    fn items(&self, columns: &Columns, as_of: Option<Timestamp>) -> Vec<Found> {
        let column = |name| {
            let field = Schemas::all().find(short(name).expect("a short name")).expect("a field of Machine");
            let column = columns.get(field.kind, &field.path)?;
            Some((column, column.at(as_of)))
        };
        let of = ["site", "rack", "role", "phase"].map(column);
        let text = |index: usize, row: u32| {
            let (column, rows) = of[index].as_ref()?;
            Some(shown(&column.value(*rows.get(row as usize)?)?.value()))
        };
        let cell = |index, row| text(index, row).unwrap_or_default();
        let mut items: Vec<Found> = self
            .left
            .iter()
            .map(|(row, name)| Found {
                name: name.to_string(),
                site: cell(0, *row),
                rack: cell(1, *row),
                role: cell(2, *row),
                phase: cell(3, *row),
            })
            .collect();
        items.sort_by(|one, other| one.name.cmp(&other.name));
        items
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The largest first.
fn sorted(counts: impl Iterator<Item = (String, u64)>) -> Vec<Group> {
    let mut groups: Vec<Group> = counts.map(|(value, machines)| Group { value, machines }).collect();
    groups.sort_by(|one, other| other.machines.cmp(&one.machines).then_with(|| one.value.cmp(&other.value)));
    groups
}
