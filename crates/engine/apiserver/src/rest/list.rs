//! Lists: at the present or at a revision that is still remembered, in pages, streamed as stored.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use muster_store::{Entry, Revision, Snapshot, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Call, Target, print};
use crate::object::{Object, stamp};
use crate::request::{ListParams, Match, Projection, Syntax};
use crate::server::{ApiServer, Reply, ReplyBody, Served, document};
use crate::status::Refusal;

/// A piece of a streamed list.
const CHUNK_BYTES: usize = 128 << 10;
/// A list up to this many objects is sent in one piece.
const WHOLE_MAX: usize = 64;

/// A page of a list.
pub(super) struct Page {
    pub(super) entries: Vec<Arc<Entry<Object>>>,
    pub(super) revision: u64,
    next: Option<String>,
    remaining: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

impl Token {
    fn encode(revision: i64, start: String) -> String {
        let token = Self { v: "meta.k8s.io/v1".to_owned(), rv: revision, start };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("a token is plain JSON"))
    }

    fn decode(text: &str) -> Result<(Option<u64>, String, String), Refusal> {
        let refuse = || Refusal::bad_request(format!("continue key is not valid: {text:?}"));
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| refuse())?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|_| refuse())?;
        let (namespace, name) = token.start.split_once('/').ok_or_else(refuse)?;
        Ok((u64::try_from(token.rv).ok(), namespace.to_owned(), name.to_owned()))
    }
}

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
    let page = page(&server.inner().store, target, &params)?;
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

impl Page {
    fn metadata(&self) -> Value {
        let mut out = Map::new();
        out.insert("resourceVersion".into(), json!(self.revision.to_string()));
        if let Some(next) = &self.next {
            out.insert("continue".into(), json!(next));
        }
        if let Some(remaining) = self.remaining {
            out.insert("remainingItemCount".into(), json!(remaining));
        }
        Value::Object(out)
    }
}

/// The entries that a list asks for.
pub(super) fn page(store: &Store<Object>, target: &Target, params: &ListParams) -> Result<Page, Refusal> {
    check_fields(target, params)?;
    let snapshot = store.snapshot(&target.served.resource);
    let current = snapshot.revision().get();
    let (revision, after) = place(params, current)?;
    let all = if revision < current {
        let expired = || match &params.continue_token {
            Some(_) => Refusal::continue_expired(Token::encode(-1, format!("{}/{}", after.0, after.1))),
            None => Refusal::list_expired(),
        };
        past(store, target, &snapshot, revision).ok_or_else(expired)?
    } else {
        present(target, &snapshot, &after)
    };
    let position = |entry: &Entry<Object>| (entry.key.namespace.to_string(), entry.key.name.to_string());
    let continued = params.continue_token.is_some();
    let mut entries: Vec<_> = all
        .into_iter()
        .filter(|entry| selected(entry, params) && (!continued || position(entry) > after))
        .collect();
    let mut next = None;
    let mut remaining = None;
    if params.limit > 0 && entries.len() > params.limit {
        if params.labels.is_empty() && params.fields.is_empty() {
            remaining = Some(entries.len() - params.limit);
        }
        entries.truncate(params.limit);
        let last = entries.last().map(|entry| position(entry)).unwrap_or_default();
        let at = i64::try_from(revision).unwrap_or(i64::MAX);
        next = Some(Token::encode(at, format!("{}/{}", last.0, last.1)));
    }
    Ok(Page { entries, revision, next, remaining })
}

/// The revision to list at, and the position after which to begin.
fn place(params: &ListParams, current: u64) -> Result<(u64, (String, String)), Refusal> {
    let nowhere = || (String::new(), String::new());
    if let Some(token) = &params.continue_token {
        if params.revision.is_some_and(|revision| revision > 0) {
            return Err(Refusal::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let (revision, namespace, name) = Token::decode(token)?;
        return Ok((revision.unwrap_or(current), (namespace, name)));
    }
    match (params.revision, params.revision_match) {
        (Some(asked), _) if asked > current => Err(Refusal::revision_ahead(asked, current)),
        (Some(asked), Some(Match::Exact)) => Ok((asked, nowhere())),
        // Without a match a limited list is exact too, unless it asks for any revision (upstream's legacy rule).
        (Some(asked), None) if params.limit > 0 && asked > 0 => Ok((asked, nowhere())),
        (Some(_), Some(Match::NotOlderThan) | None) | (None, _) => Ok((current, nowhere())),
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

fn present(
    target: &Target,
    snapshot: &Snapshot<Object>,
    after: &(String, String),
) -> Vec<Arc<Entry<Object>>> {
    let from_start = after.0.is_empty() && after.1.is_empty();
    let inside = |entry: &&Arc<Entry<Object>>| {
        target.namespace.is_empty() || *entry.key.namespace == *target.namespace
    };
    match (from_start, target.namespace.is_empty()) {
        (true, true) => snapshot.iter().cloned().collect(),
        (true, false) => snapshot.namespace(&target.namespace).cloned().collect(),
        (false, _) => snapshot.after(&after.0, &after.1).take_while(inside).cloned().collect(),
    }
}

/// What there was at a revision: the present with every later event taken back. `None` if they are not kept.
fn past(
    store: &Store<Object>,
    target: &Target,
    snapshot: &Snapshot<Object>,
    revision: u64,
) -> Option<Vec<Arc<Entry<Object>>>> {
    let Ok(mut watch) = store.watch(&target.served.resource, Revision::new(revision)) else { return None };
    let mut before: HashMap<_, Option<Arc<Entry<Object>>>> = HashMap::new();
    loop {
        match watch.try_next() {
            Ok(Some(event)) if event.revision <= snapshot.revision() => {
                before.entry(event.entry.key.clone()).or_insert(event.previous);
            }
            Ok(Some(_) | None) => break,
            Err(_) => return None,
        }
    }
    let nowhere = (String::new(), String::new());
    let mut entries = present(target, snapshot, &nowhere);
    entries.retain(|entry| !before.contains_key(&entry.key));
    let inside =
        |entry: &Arc<Entry<Object>>| target.namespace.is_empty() || *entry.key.namespace == *target.namespace;
    entries.extend(before.into_values().flatten().filter(inside));
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Some(entries)
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
