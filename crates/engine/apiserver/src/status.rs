//! Refusals as `meta/v1` Status documents, with upstream's reasons, codes and wording.

mod body;
mod causes;
mod text;
mod webhook;

#[cfg(test)]
mod tests;

use http::StatusCode;
use serde_json::Value;

pub use body::success;
pub use causes::Cause;

/// Machine-readable reason of a refusal (`metav1.StatusReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 409 on create.
    AlreadyExists,
    /// 409 on update or delete.
    Conflict,
    /// 410: the revision is gone.
    Expired,
    /// 422.
    Invalid,
    /// 504.
    Timeout,
    /// 429.
    TooManyRequests,
    /// 400.
    BadRequest,
    /// 405.
    MethodNotAllowed,
    /// 406.
    NotAcceptable,
    /// 413.
    RequestEntityTooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 500.
    InternalError,
    /// 503.
    ServiceUnavailable,
}

impl Reason {
    fn code(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists | Self::Conflict => StatusCode::CONFLICT,
            Self::Expired => StatusCode::GONE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::RequestEntityTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The resource a refusal is about: its group and its name in URLs.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// API group, empty for core.
    pub group: &'a str,
    /// Plural resource name (or the kind, for [`Refusal::invalid`]).
    pub resource: &'a str,
}

impl About<'_> {
    fn qualified(self) -> String {
        if self.group.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Details {
    name: String,
    group: String,
    kind: String,
    uid: String,
    causes: Vec<Cause>,
    retry_after_seconds: Option<u32>,
}

/// Why a request is not done; answered as a Status document.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    reason: Reason,
    message: String,
    details: Option<Box<Details>>,
    continue_token: Option<String>,
    /// The Status of another server, handed on as it is.
    foreign: Option<Box<(StatusCode, Value)>>,
}

impl Refusal {
    /// A refusal with a message of its own and no details.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), details: None, continue_token: None, foreign: None }
    }

    /// Its machine-readable reason.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// HTTP code.
    pub fn code(&self) -> StatusCode {
        self.foreign.as_ref().map_or_else(|| self.reason.code(), |foreign| foreign.0)
    }

    /// Seconds after which the client should try again.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details.as_ref().and_then(|details| details.retry_after_seconds)
    }

    /// The Status document.
    pub fn document(&self) -> Value {
        self.foreign.as_ref().map_or_else(|| body::failure(self), |foreign| foreign.1.clone())
    }

    /// With a token that continues an expired list at the present revision.
    #[must_use]
    pub fn with_continue(mut self, token: String) -> Self {
        self.continue_token = Some(token);
        self
    }

    /// With machine-readable causes.
    #[must_use]
    pub fn with_causes(mut self, causes: Vec<Cause>) -> Self {
        self.details.get_or_insert_default().causes = causes;
        self
    }

    /// With a time after which to try again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = Some(seconds);
        self
    }

    fn about(reason: Reason, message: String, about: About<'_>, name: &str) -> Self {
        let details = Details {
            name: name.to_owned(),
            group: about.group.to_owned(),
            kind: about.resource.to_owned(),
            ..Details::default()
        };
        Self { reason, message, details: Some(Box::new(details)), continue_token: None, foreign: None }
    }
}
