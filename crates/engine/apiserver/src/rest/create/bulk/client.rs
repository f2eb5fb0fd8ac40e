//! The other side: how a client asks for a bulk create, and what it is told.

use http::Request;
use http::header::CONTENT_TYPE as CONTENT_TYPE_HEADER;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Media type of the stream. A server that does not know it answers 415: then create the objects one by one.
pub const CONTENT_TYPE: &str = "application/x-ndjson";

/// The parameter that keeps the status the objects come with (`keepStatus=true`), for inventories and for objects that
/// move from another cluster. It asks for the right to update the status too.
pub const KEEP_STATUS: &str = "keepStatus";

/// What became of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Lines that were not empty.
    pub lines: u64,
    /// Objects created.
    pub created: u64,
    /// Lines whose object was not created.
    pub failed: u64,
    /// Seconds from the first byte to the last commit.
    pub seconds: f64,
    /// The lines that failed or have warnings, in order; at most the first 10,000.
    #[serde(default)]
    pub told: Vec<LineReport>,
    /// Further ones like these.
    #[serde(default)]
    pub untold: u64,
    /// What ended the stream before its end. The lines before are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// What became of one line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LineReport {
    /// Its number, from 1, empty lines counted.
    pub line: u64,
    /// The `meta/v1` Status of the refusal; null where the object was created.
    #[serde(default)]
    pub status: Value,
    /// What a create by itself would have told in `Warning` headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A request for a bulk create. `collection` is the path that creates of the kind go to
/// (`/apis/muster.dev/v1alpha1/machines`), `body` a stream of JSON objects with a line break after each.
///
/// # Errors
/// The path is no valid URI.
pub fn request<B>(collection: &str, body: B) -> Result<Request<B>, http::Error> {
    Request::post(collection).header(CONTENT_TYPE_HEADER, CONTENT_TYPE).body(body)
}
