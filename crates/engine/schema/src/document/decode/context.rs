//! Where the reader stands in the document, and what it has noticed.

use std::fmt::{Display, Write};

use serde_json::Value;

use super::error::DecodeError;
use super::{Decoded, FieldValidation};

/// No more issues than these are kept, as in the reference implementation.
const ISSUES_MAX: usize = 100;

/// One step from the root to a value.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A field of a struct, and that struct's definition name.
    Field { name: &'a str, structure: &'a str },
    /// An entry of a map, or an unknown field.
    Key(String),
    /// An item of a list.
    Index(usize),
}

/// Path, issues, and the first error, which ends the reading.
#[derive(Debug, Default)]
pub(super) struct Context<'a> {
    pub(super) path: Vec<Step<'a>>,
    issues: Vec<String>,
    first_duplicate: Option<String>,
    error: Option<DecodeError>,
}

/// `v1.PodSpec` of `io.k8s.api.core.v1.PodSpec`.
pub(super) fn short(definition: &str) -> &str {
    definition.rmatch_indices('.').nth(1).map_or(definition, |(at, _)| &definition[at + 1..])
}

impl Context<'_> {
    /// `spec.containers[0].name`, with `last` behind it.
    fn path(&self, last: Option<&str>) -> String {
        let mut text = String::new();
        let dot = |text: &mut String, name: &str| {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(name);
        };
        for step in &self.path {
            match step {
                Step::Field { name, .. } => dot(&mut text, name),
                Step::Key(name) => dot(&mut text, name),
                Step::Index(index) => write!(text, "[{index}]").expect("a String takes all text"),
            }
        }
        if let Some(last) = last {
            dot(&mut text, last);
        }
        text
    }

    fn note(&mut self, issue: String) {
        if self.issues.len() < ISSUES_MAX && !self.issues.contains(&issue) {
            self.issues.push(issue);
        }
    }

    pub(super) fn unknown(&mut self, name: &str) {
        let path = self.path(Some(name));
        self.note(format!("unknown field {path:?}"));
    }

    pub(super) fn duplicate(&mut self, name: &str) {
        let path = self.path(Some(name));
        self.first_duplicate.get_or_insert_with(|| name.to_owned());
        self.note(format!("duplicate field {path:?}"));
    }

    /// Removes what was noted of duplicates, and tells the first of their names.
    pub(super) fn take_duplicates(&mut self) -> Option<String> {
        self.issues.retain(|issue| !issue.starts_with("duplicate field "));
        self.first_duplicate.take()
    }

    /// Something the YAML reader noticed; told before all else.
    pub(super) fn note_first(&mut self, issue: String) {
        self.issues.insert(0, issue);
    }

    pub(super) fn wrong_type(&mut self, found: &str, expected: &str) {
        let fields: Vec<&str> = self.path.iter().filter_map(|step| step.field()).collect();
        let structure = self.path.iter().rev().find_map(|step| step.structure()).unwrap_or("");
        self.error = Some(DecodeError::Type {
            found: found.to_owned(),
            structure: structure.rsplit('.').next().unwrap_or(structure).to_owned(),
            field: fields.join("."),
            expected: expected.to_owned(),
        });
    }

    pub(super) fn wrong_leaf(&mut self, reason: impl Display) {
        self.error = Some(DecodeError::Leaf { path: self.path(None), reason: reason.to_string() });
    }

    /// The document with its warnings, or the error.
    pub(super) fn conclude<E: Display>(
        self,
        outcome: Result<Value, E>,
        validation: FieldValidation,
    ) -> Result<Decoded, DecodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let value = outcome.map_err(|error| DecodeError::Syntax { text: error.to_string() })?;
        match validation {
            FieldValidation::Ignore => Ok(Decoded { value, warnings: Vec::new() }),
            FieldValidation::Warn => Ok(Decoded { value, warnings: self.issues }),
            FieldValidation::Strict if self.issues.is_empty() => Ok(Decoded { value, warnings: Vec::new() }),
            FieldValidation::Strict => Err(DecodeError::Strict { issues: self.issues }),
        }
    }
}

impl<'a> Step<'a> {
    fn field(&self) -> Option<&'a str> {
        match self {
            Step::Field { name, .. } => Some(name),
            Step::Key(_) | Step::Index(_) => None,
        }
    }

    fn structure(&self) -> Option<&'a str> {
        match self {
            Step::Field { structure, .. } => Some(structure),
            Step::Key(_) | Step::Index(_) => None,
        }
    }
}
