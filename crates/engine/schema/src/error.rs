//! Errors that point at a field, worded as Kubernetes clients expect them.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// What is wrong with a field. The machine-readable form is [`FieldErrorKind::cause`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldErrorKind {
    /// What the value refers to does not exist.
    NotFound,
    /// The value is missing.
    Required,
    /// The value must be unique and is not.
    Duplicate,
    /// The value is malformed.
    Invalid,
    /// The value is not in a closed list.
    NotSupported,
    /// The value would be right under other conditions.
    Forbidden,
    /// A string is too long; the value is not repeated.
    TooLong,
    /// A list or map has too many items.
    TooMany,
    /// A list or map has too few items.
    TooFew,
    /// A string is too short; the value is not repeated.
    TooShort,
    /// The value is of another type.
    TypeInvalid,
    /// A fault of the server, not of the object.
    Internal,
}

impl FieldErrorKind {
    /// The `reason` of a status cause (`meta/v1.CauseType`).
    pub fn cause(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::TooShort => "FieldValueTooShort",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::TooShort => "Too short",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        match self {
            Self::Required | Self::Forbidden | Self::TooLong | Self::TooShort | Self::Internal => false,
            Self::NotFound
            | Self::Duplicate
            | Self::Invalid
            | Self::NotSupported
            | Self::TooMany
            | Self::TooFew
            | Self::TypeInvalid => true,
        }
    }
}

/// One wrong field. `Display` gives `spec.replicas: Invalid value: -1: must be …`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// Where: `spec.containers[0].name`, `metadata.labels[app]`.
    pub path: String,
    /// The value found, where it is worth repeating.
    pub bad_value: Option<Value>,
    /// What would be right.
    pub detail: String,
}

impl FieldError {
    fn new(
        kind: FieldErrorKind,
        path: impl Into<String>,
        bad: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, path: path.into(), bad_value: bad, detail: detail.into() }
    }

    /// The value is missing.
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, path, None, detail)
    }

    /// The value is malformed.
    pub fn invalid(path: impl Into<String>, bad: Value, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, path, Some(bad), detail)
    }

    /// The value is of another type.
    pub fn type_invalid(path: impl Into<String>, bad: Value, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::TypeInvalid, path, Some(bad), detail)
    }

    /// The value is none of `supported`.
    pub fn not_supported<S: AsRef<str>>(path: impl Into<String>, bad: Value, supported: &[S]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|value| quote(value.as_ref())).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(FieldErrorKind::NotSupported, path, Some(bad), detail)
    }

    /// The value is not allowed here.
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, path, None, detail)
    }

    /// The value occurs twice.
    pub fn duplicate(path: impl Into<String>, bad: Value) -> Self {
        Self::new(FieldErrorKind::Duplicate, path, Some(bad), "")
    }

    /// What the value refers to does not exist.
    pub fn not_found(path: impl Into<String>, bad: Value) -> Self {
        Self::new(FieldErrorKind::NotFound, path, Some(bad), "")
    }

    /// A string has more than `max` bytes.
    pub fn too_long(path: impl Into<String>, max: u64) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(FieldErrorKind::TooLong, path, None, format!("may not be more than {max} {unit}"))
    }

    /// A list has `found` items, more than `max`.
    pub fn too_many(path: impl Into<String>, found: u64, max: u64) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new(
            FieldErrorKind::TooMany,
            path,
            Some(found.into()),
            format!("must have at most {max} {unit}"),
        )
    }

    /// A list has `found` items, fewer than `min`.
    pub fn too_few(path: impl Into<String>, found: u64, min: u64) -> Self {
        let unit = if min == 1 { "item" } else { "items" };
        Self::new(
            FieldErrorKind::TooFew,
            path,
            Some(found.into()),
            format!("must have at least {min} {unit}"),
        )
    }

    /// The text without the path, as status causes carry it.
    pub fn body(&self) -> String {
        let mut text = String::from(self.kind.words());
        if let (true, Some(bad)) = (self.kind.shows_value(), &self.bad_value) {
            text.push_str(": ");
            text.push_str(&shown(bad));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Go's `%q`: a double-quoted string with escapes; printable Unicode stays as it is.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for ch in text.chars() {
        match ch {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            ch if (ch as u32) < 0x20 || ch == '\u{7f}' => out.push_str(&format!("\\x{:02x}", ch as u32)),
            ch => out.push(ch),
        }
    }
    out.push('"');
    out
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for FieldError {}

/// `path.field`, or `field` at the root.
pub(crate) fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// Where a walk stands, in one buffer: most values are right, and nobody asks for their path.
#[derive(Debug)]
pub(crate) struct Path(String);

impl Path {
    pub(crate) fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Steps to a field; [`Path::leave`] takes what this gives.
    pub(crate) fn field(&mut self, name: &str) -> usize {
        let before = self.0.len();
        if before != 0 {
            self.0.push('.');
        }
        self.0.push_str(name);
        before
    }

    /// Steps to an item of a list or a map.
    pub(crate) fn item(&mut self, index: impl fmt::Display) -> usize {
        let before = self.0.len();
        write!(self.0, "[{index}]").expect("a text takes it");
        before
    }

    pub(crate) fn leave(&mut self, before: usize) {
        self.0.truncate(before);
    }
}

impl std::ops::Deref for Path {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// `path[index]`.
pub(crate) fn at(path: &str, index: impl fmt::Display) -> String {
    format!("{path}[{index}]")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_reads_as_kubernetes_words_it() {
        let cases = [
            (
                FieldError::invalid("spec.replicas", json!(-1), "must be greater than or equal to 0"),
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            (FieldError::required("spec.selector", ""), "spec.selector: Required value"),
            (
                FieldError::not_supported("spec.type", json!("x"), &["a", "b"]),
                "spec.type: Unsupported value: \"x\": supported values: \"a\", \"b\"",
            ),
            (FieldError::forbidden("spec.a", "may not be set"), "spec.a: Forbidden: may not be set"),
            (FieldError::duplicate("spec.l[1]", json!({"k": 1})), "spec.l[1]: Duplicate value: {\"k\":1}"),
            (FieldError::too_long("data", 10), "data: Too long: may not be more than 10 bytes"),
            (FieldError::too_many("spec.l", 3, 1), "spec.l: Too many: 3: must have at most 1 item"),
            (FieldError::invalid("a", json!("x\"\n"), "no"), "a: Invalid value: \"x\\\"\\n\": no"),
        ];
        for (error, expected) in cases {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_missing_or_too_long_value_is_never_repeated() {
        let mut error = FieldError::too_long("data", 10);
        error.bad_value = Some(json!("secret"));
        assert!(!error.to_string().contains("secret"));
    }
}
