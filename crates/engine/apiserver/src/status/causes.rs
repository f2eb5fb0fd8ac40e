//! Machine-readable causes of a refusal.

use muster_schema::FieldError;

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
        Self::new(error.kind.cause(), &error.body(), &error.path)
    }
}
