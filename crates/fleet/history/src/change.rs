//! What changed between two states of an object: the difference, kept small, and the fields of it that a person reads.

mod delta;
mod fields;
mod path;

#[cfg(test)]
mod tests;

pub(crate) use delta::{Change, Edit, apply, difference};
pub(crate) use fields::{FieldChange, field_changes, leaves};
pub use path::PathError;
pub(crate) use path::{Path, Step};
