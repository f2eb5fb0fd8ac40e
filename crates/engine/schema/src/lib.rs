//! What a type is: parse, validate, default, prune, merge, print. Tables, no HTTP.
//!
//! Built-in kinds and custom resources are described by the same [`Schema`] nodes and go through the same
//! functions. This crate performs no I/O, knows no revision and no user.

mod catalog;
pub mod cel;
pub mod crd;
mod document;
mod error;
mod kind;
pub mod merge;
pub mod openapi;
mod pattern;
pub mod structural;
pub mod table;
mod types;

pub use catalog::{Catalog, Resource, description};
pub use document::{decode, default, encode, prune, validate};
pub use error::{FieldError, FieldErrorKind};
pub use kind::{Column, Gvk, Kind, ScalePaths, Scope, Subresource};
pub use pattern::{Pattern, PatternError};
pub use types::{
    Bound, Checks, Definitions, Field, Format, Limits, ListKind, MapKind, Node, NodeId, PatchStrategy,
    Presence, Rule, Scalar, Schema, Shape, Wire, WireForm,
};
