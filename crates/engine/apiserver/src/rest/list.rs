//! Lists: at the present or at a revision that is still remembered, in pages, streamed as stored.

mod moments;
mod page;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use muster_store::Entry;
use serde_json::{Value, json};

pub(crate) use moments::Moments;
pub(super) use page::{Page, page};

use super::{Call, Target, print};
use crate::object::{Object, stamp};
use crate::request::{ListParams, Projection, Syntax};
use crate::server::{ApiServer, Reply, ReplyBody, Served, document};
use crate::status::Refusal;

/// A piece of a streamed list.
const CHUNK_BYTES: usize = 128 << 10;
/// A list up to this many objects is sent in one piece.
const WHOLE_MAX: usize = 64;

/// The parameters of a list or watch of a kind.
pub(super) fn params(call: &Call, target: &Target) -> Result<ListParams, Refusal> {
    let mut params = call.query.list()?;
    if super::convert::events::is_new(&target.served) {
        params.fields = params.fields.renamed(super::convert::events::stored_path);
    }
    Ok(params)
}

pub(super) fn list(server: &ApiServer, call: &Call, target: &Target) -> Result<Reply, Refusal> {
    let format = call.accept.object()?;
    let params = params(call, target)?;
    let page = page(server, target, &params)?;
    match (format.projection, format.syntax) {
        (Projection::Whole, Syntax::Json)
            if !page.entries.iter().any(|entry| target.served.converts(entry)) =>
        {
            Ok(stream(target, page, Part::Whole))
        }
        (Projection::Metadata, Syntax::Json) => Ok(stream(target, page, Part::Metadata)),
        (Projection::Whole | Projection::Metadata, syntax) => {
            let items: Vec<Value> = page
                .entries
                .iter()
                .map(|entry| match format.projection {
                    Projection::Metadata => crate::server::metadata_document(entry),
                    Projection::Whole | Projection::Table => target.served.document(entry),
                })
                .collect();
            let (kind, version) = list_kind(&target.served, format.projection);
            let list =
                json!({"kind": kind, "apiVersion": version, "metadata": page.metadata(), "items": items});
            Ok(document(StatusCode::OK, &list, syntax))
        }
        (Projection::Table, syntax) => {
            let entries: Vec<&Entry<Object>> = page.entries.iter().map(|entry| &**entry).collect();
            let include = print::include(&call.query);
            let mut table = print::table(&target.served, &entries, include, server.inner().clock.now());
            table["metadata"] = page.metadata();
            Ok(document(StatusCode::OK, &table, syntax))
        }
    }
}

fn list_kind(served: &Served, projection: Projection) -> (String, String) {
    match projection {
        Projection::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        Projection::Whole | Projection::Table => {
            (served.kind.list_kind.clone(), served.kind.gvk.api_version())
        }
    }
}

pub(super) fn check_fields(target: &Target, params: &ListParams) -> Result<(), Refusal> {
    let Some(path) = params.fields.unsupported(&target.served.columns) else { return Ok(()) };
    Err(Refusal::bad_request(format!("field label not supported: {path}")))
}

/// Whether the selectors select an entry.
pub(super) fn selected(entry: &Entry<Object>, params: &ListParams) -> bool {
    let header = entry.value.header();
    params.labels.matches(header) && params.fields.matches(&entry.key.namespace, &entry.key.name, header)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Metadata,
}

/// Writes the list as it is read: nothing is parsed, and no more than a chunk is held at a time.
fn stream(target: &Target, page: Page, part: Part) -> Reply {
    let projection = if part == Part::Whole { Projection::Whole } else { Projection::Metadata };
    let (kind, version) = list_kind(&target.served, projection);
    let head = format!(
        "{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{},\"items\":[",
        page.metadata()
    );
    let stamp = match part {
        Part::Whole => Arc::clone(&target.served.stamp),
        Part::Metadata => stamp("meta.k8s.io/v1", "PartialObjectMetadata"),
    };
    let mut writer = Writer { entries: page.entries, at: 0, head: Some(head), stamp, part, done: false };
    let body = if writer.entries.len() <= WHOLE_MAX {
        let mut all = Vec::new();
        while let Some(chunk) = writer.next_chunk() {
            all.extend_from_slice(&chunk);
        }
        ReplyBody::full(all)
    } else {
        ReplyBody::stream(futures::stream::iter(std::iter::from_fn(move || writer.next_chunk())))
    };
    let mut reply = Reply::new(body);
    let json = http::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(http::header::CONTENT_TYPE, json);
    reply
}

struct Writer {
    entries: Vec<Arc<Entry<Object>>>,
    at: usize,
    head: Option<String>,
    stamp: Arc<str>,
    part: Part,
    done: bool,
}

impl Writer {
    fn next_chunk(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut out = Vec::with_capacity(CHUNK_BYTES / 4);
        if let Some(head) = self.head.take() {
            out.extend_from_slice(head.as_bytes());
        }
        while let Some(entry) = self.entries.get(self.at) {
            if self.at > 0 {
                out.push(b',');
            }
            match self.part {
                Part::Whole => entry.value.write(&self.stamp, entry.revision.get(), &mut out),
                Part::Metadata => entry.value.write_metadata(&self.stamp, entry.revision.get(), &mut out),
            }
            self.at += 1;
            if out.len() >= CHUNK_BYTES {
                return Some(out.into());
            }
        }
        out.extend_from_slice(b"]}\n");
        self.done = true;
        Some(out.into())
    }
}
