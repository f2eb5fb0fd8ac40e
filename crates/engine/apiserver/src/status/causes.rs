//! Machine-readable causes of a refusal.

use muster_schema::validate::{FieldError, FieldErrorKind};

/// One cause (`metav1.StatusCause`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) field: String,
}

impl Cause {
    /// A cause; `field` may be empty.
    pub fn new(reason: &str, message: &str, field: &str) -> Self {
        Self { reason: reason.to_owned(), message: message.to_owned(), field: field.to_owned() }
    }

    pub(super) fn of_field(error: &FieldError) -> Self {
        let text = error.to_string();
        let message = text.strip_prefix(&format!("{}: ", error.path)).unwrap_or(&text);
        Self::new(reason(&error.kind), message, &error.path)
    }
}

fn reason(kind: &FieldErrorKind) -> &'static str {
    match kind {
        FieldErrorKind::NotFound => "FieldValueNotFound",
        FieldErrorKind::Required => "FieldValueRequired",
        FieldErrorKind::Duplicate => "FieldValueDuplicate",
        FieldErrorKind::Invalid => "FieldValueInvalid",
        FieldErrorKind::NotSupported => "FieldValueNotSupported",
        FieldErrorKind::Forbidden => "FieldValueForbidden",
        FieldErrorKind::TooLong => "FieldValueTooLong",
        FieldErrorKind::TooMany => "FieldValueTooMany",
        FieldErrorKind::TypeInvalid => "FieldValueTypeInvalid",
        FieldErrorKind::Internal => "InternalError",
    }
}
