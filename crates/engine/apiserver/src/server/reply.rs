//! From objects and documents to answers.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use jiff::Timestamp;
use muster_store::Entry;
use serde_json::Value;

use super::body::ReplyBody;
use super::registry::Served;
use crate::object::{Object, stamp};
use crate::request::{ObjectFormat, Projection, Syntax};
use crate::rest::print;
use crate::status::Refusal;

/// An answer.
pub(crate) type Reply = Response<ReplyBody>;

/// An answer of ready bytes.
pub(crate) fn raw(code: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Reply {
    with_body(code, content_type, ReplyBody::full(bytes))
}

pub(super) fn with_body(code: StatusCode, content_type: &'static str, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = code;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A document in the syntax asked for.
pub(crate) fn document(code: StatusCode, document: &Value, syntax: Syntax) -> Reply {
    match syntax {
        Syntax::Json => {
            let mut bytes = serde_json::to_vec(document).expect("a JSON document can be written");
            bytes.push(b'\n');
            raw(code, "application/json", bytes)
        }
        Syntax::Yaml => match serde_saphyr::to_string(document) {
            Ok(text) => raw(code, "application/yaml", text),
            Err(error) => refusal(&Refusal::internal(error), Syntax::Json),
        },
    }
}

/// A refusal as its Status document.
pub(super) fn refusal(refusal: &Refusal, syntax: Syntax) -> Reply {
    let mut reply = document(refusal.code(), &refusal.document(), syntax);
    if let Some(seconds) = refusal.retry_after_seconds() {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

/// One object in the form asked for.
pub(crate) fn object(
    code: StatusCode,
    served: &Served,
    entry: &Entry<Object>,
    format: ObjectFormat,
    now: Timestamp,
) -> Reply {
    let revision = entry.revision.get();
    match (format.projection, format.syntax) {
        (Projection::Whole, Syntax::Json) if !served.converts(entry) => {
            let mut bytes = Vec::with_capacity(entry.value.size_bytes() + 1);
            entry.value.write(&served.stamp, revision, &mut bytes);
            bytes.push(b'\n');
            raw(code, "application/json", bytes)
        }
        (Projection::Metadata, Syntax::Json) => {
            let mut bytes = Vec::with_capacity(512);
            entry.value.write_metadata(&metadata_stamp(), revision, &mut bytes);
            raw(code, "application/json", bytes)
        }
        (Projection::Whole, syntax) => document(code, &served.document(entry), syntax),
        (Projection::Metadata, syntax) => document(code, &metadata_document(entry), syntax),
        (Projection::Table, syntax) => {
            let table = print::table(served, &[entry], print::Include::Metadata, now);
            document(code, &table, syntax)
        }
    }
}

/// The beginning of a PartialObjectMetadata.
pub(crate) fn metadata_stamp() -> std::sync::Arc<str> {
    stamp("meta.k8s.io/v1", "PartialObjectMetadata")
}

/// An object's metadata as a document.
pub(crate) fn metadata_document(entry: &Entry<Object>) -> Value {
    let mut bytes = Vec::with_capacity(512);
    entry.value.write_metadata(&metadata_stamp(), entry.revision.get(), &mut bytes);
    serde_json::from_slice(&bytes).expect("the metadata of a stored object is JSON")
}
