//! The refusals by name; each text is upstream's (`apimachinery/pkg/api/errors`).

use muster_schema::FieldError;

use super::{About, Cause, Reason, Refusal};

impl Refusal {
    /// No object of that name.
    pub fn not_found(about: About<'_>, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", about.qualified());
        Self::about(Reason::NotFound, message, about, name)
    }

    /// No such path, resource or subresource.
    pub fn no_such_resource() -> Self {
        Self::new(Reason::NotFound, "the server could not find the requested resource")
    }

    /// A create of what is there already.
    pub fn already_exists(about: About<'_>, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", about.qualified());
        Self::about(Reason::AlreadyExists, message, about, name)
    }

    /// A generated name that kept colliding.
    pub fn name_not_free(about: About<'_>, name: &str) -> Self {
        let message = format!(
            "{} \"{name}\" already exists, the server was not able to generate a unique name for the object",
            about.qualified()
        );
        Self::about(Reason::AlreadyExists, message, about, name).with_retry_after(1)
    }

    /// A write that does not fit the stored object.
    pub fn conflict(about: About<'_>, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", about.qualified());
        Self::about(Reason::Conflict, message, about, name)
    }

    /// The client's copy is not the latest.
    pub fn modified(about: About<'_>, name: &str) -> Self {
        Self::conflict(
            about,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// Not allowed, by authorization or admission.
    pub fn forbidden(about: About<'_>, name: &str, why: &str) -> Self {
        let message = match (about.resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{} is forbidden: {why}", about.qualified()),
            (_, name) => format!("{} \"{name}\" is forbidden: {why}", about.qualified()),
        };
        Self::about(Reason::Forbidden, message, about, name)
    }

    /// Fields that are wrong; `about.resource` is the kind.
    pub fn invalid(about: About<'_>, name: &str, errors: &[FieldError]) -> Self {
        let list = match errors {
            [one] => one.to_string(),
            several => {
                let texts: Vec<String> = several.iter().map(ToString::to_string).collect();
                format!("[{}]", texts.join(", "))
            }
        };
        let message = format!("{} \"{name}\" is invalid: {list}", about.qualified());
        Self::about(Reason::Invalid, message, about, name)
            .with_causes(errors.iter().map(Cause::of_field).collect())
    }

    /// A request that makes no sense as sent.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// A verb that the resource does not have.
    pub fn method_not_allowed() -> Self {
        Self::new(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
    }

    /// No or invalid credentials.
    pub fn unauthorized() -> Self {
        Self::new(Reason::Unauthorized, "Unauthorized")
    }

    /// A body in a format that this verb does not take.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(Reason::UnsupportedMediaType, message)
    }

    /// No format that the client accepts.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", offered.join(", "));
        Self::new(Reason::NotAcceptable, message)
    }

    /// A body beyond the limit.
    pub fn too_large(limit_bytes: usize) -> Self {
        Self::new(Reason::RequestEntityTooLarge, format!("Request entity too large: limit is {limit_bytes}"))
    }

    /// A watch from a revision that is no longer kept.
    pub fn watch_expired(asked: u64, oldest: u64) -> Self {
        Self::new(Reason::Expired, format!("too old resource version: {asked} ({oldest})"))
    }

    /// An exact list at a revision that is no longer kept.
    pub fn list_expired() -> Self {
        Self::new(Reason::Expired, "The resourceVersion for the provided list is too old.")
    }

    /// A continue token whose revision is no longer kept; `token` continues at the present one.
    pub fn continue_expired(token: String) -> Self {
        Self::new(
            Reason::Expired,
            "The provided continue parameter is too old to display a consistent list result. You can start a \
             new list without the continue parameter, or use the continue token in this response to retrieve \
             the remainder of the results. Continuing with the provided token results in an inconsistent list \
             - objects that were created, modified, or deleted between the time the first chunk was returned \
             and now may show up in the list.",
        )
        .with_continue(token)
    }

    /// A revision that is not written yet.
    pub fn revision_ahead(asked: u64, current: u64) -> Self {
        Self::new(Reason::Timeout, format!("Too large resource version: {asked}, current: {current}"))
            .with_causes(vec![Cause::new("ResourceVersionTooLarge", "Too large resource version", "")])
            .with_retry_after(1)
    }

    /// A fault of the server itself.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        let text = message.to_string();
        Self::new(Reason::InternalError, format!("Internal error occurred: {text}"))
            .with_causes(vec![Cause::new("", &text, "")])
    }
}
