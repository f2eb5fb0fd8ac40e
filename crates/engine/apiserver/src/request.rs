//! What a request asks for, read from its path, query and headers before anything is decided.

mod fields;
mod labels;
mod media;
mod path;
mod query;

#[cfg(test)]
mod tests;

pub use fields::FieldSelector;
pub use labels::LabelSelector;
pub use media::{Accept, BodyFormat, ObjectFormat, Projection, Syntax, body_format};
pub use path::{RequestInfo, ResourcePath};
pub use query::{DeleteParams, DryRun, FieldValidation, ListParams, Match, Query};
