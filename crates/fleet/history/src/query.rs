//! Questions about all machines, now or as of a past time: `machine.spec.role == "storage" && inventory.memoryGiB < 256`.
//!
//! A condition is cut at its `&&`. Each part is decided once for every combination of values that its fields have; only a
//! part that names a field which is not kept in memory is read from the log, for the machines that are left then.

mod field;
#[cfg(test)]
mod measure;
mod parts;
mod run;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use muster_control::expression::{Expression, ExpressionError};

use crate::log::LogError;
use field::{Field, Schemas};
use parts::Part;

/// Machines that may be looked up in the log for one question.
const LOOKUPS_MAX: usize = 50_000;

/// Why a question cannot be answered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("where: {0}")]
    Expression(#[from] ExpressionError),
    #[error("where: {line}:{column}: there is no field {field}{hint}")]
    UnknownField { field: String, line: usize, column: usize, hint: String },
    #[error("group by {field:?}: there is no such field{hint}")]
    UnknownGroup { field: String, hint: String },
    #[error("as of {as_of}: that is in the future; it is {now}")]
    Future { as_of: Timestamp, now: Timestamp },
    #[error("as of {as_of}: the history begins at {first}")]
    BeforeBegin { as_of: Timestamp, first: Timestamp },
    #[error("as of {as_of}: nothing is recorded yet")]
    Empty { as_of: Timestamp },
    #[error(
        "{machines} machines would have to be read from the log, at most {LOOKUPS_MAX} are; narrow the condition with && and fields such as machine.spec.site"
    )]
    TooMany { machines: usize },
    #[error("the history cannot be read")]
    Log(#[from] LogError),
}

impl QueryError {
    /// Whether the question is wrong, not the history.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Log(_))
    }
}

/// A question that can be answered.
#[derive(Debug)]
pub(crate) struct Question {
    parts: Vec<Part>,
    as_of: Option<Timestamp>,
    group_by: Option<Field>,
}

impl Question {
    /// Reads a condition (empty: all machines), a time (none: now) and a field to group by.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(crate) fn new(
        condition: &str,
        as_of: Option<Timestamp>,
        group_by: Option<&str>,
    ) -> Result<Self, QueryError> {
        let schemas = Schemas::all();
        let mut parts = Vec::new();
        if !condition.trim().is_empty() {
            // The whole first: its errors have their place in the whole text.
            let whole = parts::compile(condition)?;
            for name in whole.fields() {
                schemas.find(&name).map_err(|hint| unknown(condition, name, hint))?;
            }
            parts = parts::cut(condition, whole).into_iter().map(|one| Part::new(one, schemas)).collect();
        }
        let group_by = group_by
            .map(|name| {
                let full = field::short(name).unwrap_or(name);
                let group = |hint| QueryError::UnknownGroup { field: name.to_owned(), hint };
                schemas.find(full).map_err(group)
            })
            .transpose()?;
        Ok(Self { parts, as_of, group_by })
    }
}

fn unknown(condition: &str, field: String, hint: String) -> QueryError {
    let (line, column) = parts::position(condition, &field);
    QueryError::UnknownField { field, line, column, hint }
}

type Compiled = Expression;
