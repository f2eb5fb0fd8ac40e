//! A value and where it stands.

use serde_json::Value;

use crate::error::{FieldError, at, join};

static ABSENT: Value = Value::Null;

/// A value of a document with its path.
#[derive(Clone, Debug)]
pub(super) struct Spot<'a> {
    /// `null` where there is none.
    pub(super) value: &'a Value,
    pub(super) path: String,
}

impl<'a> Spot<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    pub(super) fn child(&self, field: &str) -> Self {
        Self { value: self.value.get(field).unwrap_or(&ABSENT), path: join(&self.path, field) }
    }

    /// An entry of a map: `limits[cpu]`.
    pub(super) fn key(&self, key: &str) -> Self {
        Self { value: self.value.get(key).unwrap_or(&ABSENT), path: at(&self.path, key) }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let path = self.path.clone();
        let list = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().enumerate().map(move |(index, value)| Self { value, path: at(&path, index) })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let path = self.path.clone();
        let map = self.value.as_object();
        map.into_iter()
            .flatten()
            .map(move |(key, value)| (key.as_str(), Self { value, path: at(&path, key) }))
    }

    pub(super) fn is_absent(&self) -> bool {
        self.value.is_null()
    }

    /// Absent, or an empty string, list or map.
    pub(super) fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or("")
    }

    pub(super) fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    pub(super) fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }

    pub(super) fn invalid(&self, detail: impl Into<String>) -> FieldError {
        FieldError::invalid(&self.path, self.value.clone(), detail)
    }

    pub(super) fn required(&self, detail: &str) -> FieldError {
        FieldError::required(&self.path, detail)
    }

    pub(super) fn forbidden(&self, detail: impl Into<String>) -> FieldError {
        FieldError::forbidden(&self.path, detail)
    }

    /// One error per text.
    pub(super) fn all_invalid(&self, messages: Vec<String>, errors: &mut Vec<FieldError>) {
        errors.extend(messages.into_iter().map(|message| self.invalid(message)));
    }

    /// A name that must be there and follow a rule.
    pub(super) fn name(&self, rule: fn(&str) -> Vec<String>, errors: &mut Vec<FieldError>) {
        if self.is_empty() {
            errors.push(self.required(""));
        } else {
            self.all_invalid(rule(self.text()), errors);
        }
    }

    pub(super) fn not_negative(&self, errors: &mut Vec<FieldError>) {
        if self.number().is_some_and(|number| number < 0) {
            errors.push(self.invalid("must be greater than or equal to 0"));
        }
    }

    /// One of a closed list; absent is `required`.
    pub(super) fn one_of(&self, supported: &[&str], errors: &mut Vec<FieldError>) {
        if self.is_empty() {
            errors.push(self.required(""));
        } else if !supported.contains(&self.text()) {
            errors.push(FieldError::not_supported(&self.path, self.value.clone(), supported));
        }
    }
}
