//! A stored object: a small header for filters and relations, and its canonical JSON as bytes.
//!
//! The revision is assigned by the store after the object is encoded, and the version of the API differs from
//! request to request. So both are left out of the bytes: every read is `[stamp of the kind][revision][tail]`,
//! and nothing is parsed or encoded twice.

mod build;
mod disk;
mod fields;
mod follow;
mod intern;
mod pack;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

pub use build::BuildError;
pub use fields::{FieldColumn, built_in_columns};
pub use follow::{Follow, Seen, View};
use pack::Body;

/// What lists, watches, garbage collection and deletion ask of an object without reading its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.labels`, sorted by key.
    pub labels: Box<[(Arc<str>, Arc<str>)]>,
    /// `metadata.ownerReferences[].uid`.
    pub owners: Box<[Box<str>]>,
    /// Values of the kind's field selectors, by path.
    pub fields: Box<[(Arc<str>, Box<str>)]>,
    /// `metadata.creationTimestamp`, seconds since 1970.
    pub created_seconds: i64,
    /// `metadata.generation`; 0 where the kind has none.
    pub generation: i64,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deletion: Deletion,
}

/// Whether an object is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletion {
    /// Not asked to go.
    #[default]
    None,
    /// `metadata.deletionTimestamp` is set.
    Requested,
}

impl Header {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(found, _)| **found == *key).map(|(_, value)| &**value)
    }

    /// The value of a field selector's path; `None` where the kind has no such selector.
    pub fn field(&self, path: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| **found == *path).map(|(_, value)| &**value)
    }
}

/// One version of an object, as the store keeps it.
#[derive(Clone, Debug)]
pub struct Object {
    header: Header,
    stamp: Arc<str>,
    body: Body,
    metadata_end: u32,
}

const STAMP_BEGIN: &str = "{\"apiVersion\":\"";
const STAMP_END: &str = "\",\"metadata\":{\"resourceVersion\":\"";

/// The beginning of every object of a kind, up to its revision.
pub fn stamp(api_version: &str, kind: &str) -> Arc<str> {
    intern::text(&format!("{STAMP_BEGIN}{api_version}\",\"kind\":\"{kind}{STAMP_END}"))
}

impl Object {
    /// Encodes a document; `columns` are the field selectors of its kind.
    pub fn build(document: &Value, columns: &[FieldColumn]) -> Result<Self, BuildError> {
        build::build(document, columns)
    }

    /// What can be asked without reading the body.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Appends the object as JSON under the kind's `stamp`.
    pub fn write(&self, stamp: &str, revision: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(stamp.as_bytes());
        push_number(revision, out);
        out.extend_from_slice(&self.body.plain());
    }

    /// Appends only its metadata, as a whole document under `stamp`.
    pub fn write_metadata(&self, stamp: &str, revision: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(stamp.as_bytes());
        push_number(revision, out);
        out.extend_from_slice(&self.body.plain()[..self.metadata_end as usize]);
        out.push(b'}');
    }

    /// The document under `stamp`, parsed.
    pub fn document(&self, stamp: &str, revision: u64) -> Value {
        let mut bytes = Vec::with_capacity(self.size_bytes());
        self.write(stamp, revision, &mut bytes);
        serde_json::from_slice(&bytes)
            .expect("a stored object is JSON: it was encoded by us or checked on load")
    }

    /// The document in the version it was stored in.
    pub fn stored_document(&self, revision: u64) -> Value {
        self.document(&self.stamp, revision)
    }

    /// Bytes of the JSON document, near enough to plan buffers.
    pub fn size_bytes(&self) -> usize {
        self.stamp.len() + 20 + self.body.length() as usize
    }

    /// Whether two versions differ in nothing but their revision.
    pub fn same_content(&self, other: &Self) -> bool {
        self.body == other.body && self.stamp == other.stamp
    }
}

fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit is below ten");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
