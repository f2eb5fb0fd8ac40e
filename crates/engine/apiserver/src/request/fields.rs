//! Field selectors: `path=value`, `path!=value`, joined by commas.

use std::fmt;

use crate::object::{FieldColumn, Header};
use crate::status::Refusal;

/// A parsed field selector; empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    path: String,
    value: String,
    sense: Sense,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    Equal,
    Different,
}

impl FieldSelector {
    /// Reads the textual form.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let term = |part: &str| {
            let (path, value, sense) = if let Some((path, value)) = part.split_once("!=") {
                (path, value, Sense::Different)
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (path, value, Sense::Equal)
            } else {
                return Err(Refusal::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                )));
            };
            Ok(Term { path: path.trim().to_owned(), value: value.replace('\\', ""), sense })
        };
        text.split(',').filter(|part| !part.is_empty()).map(term).collect::<Result<_, _>>().map(Self)
    }

    /// The first path that the kind cannot be selected by.
    pub(crate) fn unsupported(&self, columns: &[FieldColumn]) -> Option<&str> {
        let known = |path: &str| {
            ["metadata.name", "metadata.namespace"].contains(&path)
                || columns.iter().any(|column| column.path == path)
        };
        self.0.iter().map(|term| term.path.as_str()).find(|path| !known(path))
    }

    /// The same with other paths; `rename` gives the new path where it knows one.
    pub(crate) fn renamed(mut self, rename: impl Fn(&str) -> Option<String>) -> Self {
        for term in &mut self.0 {
            if let Some(path) = rename(&term.path) {
                term.path = path;
            }
        }
        self
    }

    /// The one name that it asks for, if it does.
    pub(crate) fn name(&self) -> Option<&str> {
        let named = |term: &&Term| term.path == "metadata.name" && term.sense == Sense::Equal;
        self.0.iter().find(named).map(|term| term.value.as_str())
    }

    /// Whether an object is selected.
    pub(crate) fn matches(&self, namespace: &str, name: &str, header: &Header) -> bool {
        self.0.iter().all(|term| {
            let value = match term.path.as_str() {
                "metadata.name" => name,
                "metadata.namespace" => namespace,
                path => header.field(path).unwrap_or(""),
            };
            (value == term.value) == (term.sense == Sense::Equal)
        })
    }

    /// Whether it selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let sign = if term.sense == Sense::Equal { "=" } else { "!=" };
            write!(f, "{comma}{}{sign}{}", term.path, term.value)?;
        }
        Ok(())
    }
}
