//! What a request asks for, read from its path, query and headers before anything is decided.

mod fields;
mod labels;
mod media;
mod path;
mod query;

#[cfg(test)]
mod tests;

pub(crate) use fields::FieldSelector;
pub(crate) use labels::LabelSelector;
pub(crate) use media::{Accept, BodyFormat, ObjectFormat, Projection, Syntax, body_format};
pub(crate) use path::{RequestInfo, ResourcePath};
pub(crate) use query::{Bookmarks, DeleteParams, DryRun, FieldValidation, ListParams, Match, Query};
