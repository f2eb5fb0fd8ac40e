//! Watches: the store's events, through the request's selectors, as frames of one line each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use muster_base::clock::SharedClock;
use muster_store::{Change, Entry, Event, Revision, Watch, WatchError};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Call, Target, list, print};
use crate::object::{Object, stamp};
use crate::request::{Bookmarks, ListParams, ObjectFormat, Projection};
use crate::server::{ApiServer, Reply, ReplyBody, Running};
use crate::status::Refusal;

const CHUNK_BYTES: usize = 64 << 10;
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Where the client sets no end (upstream: a random time of 30 to 60 minutes).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);

struct Stream {
    target: Target,
    params: ListParams,
    format: ObjectFormat,
    include: print::Include,
    initial: std::vec::IntoIter<Arc<Entry<Object>>>,
    /// Revision of the present state that is sent first and closed by a bookmark.
    closing: Option<u64>,
    watch: Option<Watch<Object>>,
    error: Option<Refusal>,
    bookmark_at: Instant,
    ends_at: Instant,
    shutdown: CancellationToken,
    clock: SharedClock,
    _running: Running,
}

pub(super) fn watch(server: &ApiServer, call: &Call, target: &Target) -> Result<Reply, Refusal> {
    let format = call.accept.object()?;
    let params = list::params(call, target)?;
    list::check_fields(target, &params)?;
    let inner = server.inner();
    let snapshot = inner.store.snapshot(&target.served.resource);
    let current = snapshot.revision().get();
    let from_present = params.initial_events.unwrap_or(params.revision.unwrap_or(0) == 0);
    let (initial, after) = if from_present {
        let everything = ListParams { revision: None, limit: 0, ..params.clone() };
        let page = list::page(server, target, &everything)?;
        (page.entries, page.revision)
    } else {
        (Vec::new(), params.revision.filter(|revision| *revision != 0).unwrap_or(current))
    };
    let (watch, error) = match inner.store.watch(&target.served.resource, Revision::new(after)) {
        Ok(watch) => (Some(watch), None),
        Err(error) => (None, Some(refusal(error))),
    };
    let now = Instant::now();
    let stream = Stream {
        include: print::include(&call.query),
        initial: initial.into_iter(),
        closing: (params.bookmarks == Bookmarks::InitialEvents).then_some(after),
        bookmark_at: now + BOOKMARK_EVERY,
        ends_at: now + params.timeout_seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
        target: target.clone(),
        params,
        format,
        watch,
        error,
        shutdown: inner.tasks.shutdown_token(),
        clock: Arc::clone(&inner.clock),
        _running: inner.metrics.watching(),
    };
    let chunks = futures::stream::unfold(stream, |mut stream| async move {
        stream.next_chunk().await.map(|chunk| (chunk, stream))
    });
    let mut reply = Reply::new(ReplyBody::stream(chunks));
    let content_type = match format.projection {
        Projection::Whole => "application/json",
        Projection::Metadata => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        Projection::Table => "application/json;as=Table;g=meta.k8s.io;v=v1",
    };
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(reply)
}

fn refusal(error: WatchError) -> Refusal {
    match error {
        WatchError::Expired { after, oldest } => Refusal::watch_expired(after.get(), oldest.get()),
        WatchError::Ahead { after, current } => Refusal::revision_ahead(after.get(), current.get()),
        WatchError::Closed => {
            Refusal::new(crate::status::Reason::ServiceUnavailable, "the server is shutting down")
        }
    }
}

/// What woke a watch.
enum Woken {
    Event(Event<Object>),
    Failed(WatchError),
    Bookmark,
    End,
}

impl Stream {
    async fn next_chunk(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        loop {
            if let Some(error) = self.error.take() {
                self.watch = None;
                push_frame("ERROR", &error.document(), &mut out);
                return Some(out.into());
            }
            while let Some(entry) = self.initial.next() {
                self.push("ADDED", &entry, entry.revision.get(), &mut out);
                if out.len() >= CHUNK_BYTES {
                    return Some(out.into());
                }
            }
            if let Some(revision) = self.closing.take() {
                self.push_bookmark(revision, &mut out);
            }
            if !out.is_empty() {
                return Some(out.into());
            }
            match self.wait().await? {
                Woken::End => return None,
                Woken::Failed(error) => self.error = Some(refusal(error)),
                Woken::Bookmark => self.bookmark(&mut out),
                Woken::Event(event) => self.take(&event, &mut out),
            }
        }
    }

    async fn wait(&mut self) -> Option<Woken> {
        let bookmarks = self.params.bookmarks != Bookmarks::None;
        let watch = self.watch.as_mut()?;
        Some(tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Woken::End,
            () = tokio::time::sleep_until(self.ends_at) => Woken::End,
            event = watch.next() => match event {
                Ok(event) => Woken::Event(event),
                Err(error) => Woken::Failed(error),
            },
            () = tokio::time::sleep_until(self.bookmark_at), if bookmarks => Woken::Bookmark,
        })
    }

    /// Writes an event, and what is waiting behind it.
    fn take(&mut self, event: &Event<Object>, out: &mut Vec<u8>) {
        self.push_event(event, out);
        while out.len() < CHUNK_BYTES {
            match self.watch.as_mut().map(Watch::try_next) {
                Some(Ok(Some(event))) => self.push_event(&event, out),
                Some(Err(error)) => {
                    self.error = Some(refusal(error));
                    return;
                }
                Some(Ok(None)) | None => return,
            }
        }
    }

    fn push_event(&self, event: &Event<Object>, out: &mut Vec<u8>) {
        let revision = event.revision.get();
        let previous = event.previous.as_ref();
        let was = previous.is_some_and(|entry| self.wants(entry));
        let is = event.change != Change::Deleted && self.wants(&event.entry);
        match (event.change, was, is) {
            (Change::Created, _, true) | (Change::Updated, false, true) => {
                self.push("ADDED", &event.entry, revision, out);
            }
            (Change::Updated, true, true) => self.push("MODIFIED", &event.entry, revision, out),
            (Change::Updated | Change::Deleted, true, false) => {
                // The client knows the object as it was; it learns that it left, and when.
                self.push("DELETED", previous.unwrap_or(&event.entry), revision, out);
            }
            (Change::Created | Change::Updated | Change::Deleted, ..) => {}
        }
    }

    fn wants(&self, entry: &Entry<Object>) -> bool {
        (self.target.namespace.is_empty() || *entry.key.namespace == *self.target.namespace)
            && (self.target.name.is_empty() || *entry.key.name == *self.target.name)
            && list::selected(entry, &self.params)
    }

    fn push(&self, kind: &str, entry: &Entry<Object>, revision: u64, out: &mut Vec<u8>) {
        if !self.target.name.is_empty() && *entry.key.name != *self.target.name {
            return;
        }
        match self.format.projection {
            Projection::Whole if self.target.served.converts(entry) => {
                push_frame(kind, &self.target.served.document_at(entry, revision), out);
            }
            Projection::Whole => {
                begin_frame(kind, out);
                entry.value.write(&self.target.served.stamp, revision, out);
                out.extend_from_slice(b"}\n");
            }
            Projection::Metadata => {
                begin_frame(kind, out);
                entry.value.write_metadata(&stamp("meta.k8s.io/v1", "PartialObjectMetadata"), revision, out);
                out.extend_from_slice(b"}\n");
            }
            Projection::Table => {
                let now = self.clock.now();
                let mut table = print::table(&self.target.served, &[entry], self.include, now);
                table["metadata"] = json!({"resourceVersion": revision.to_string()});
                push_frame(kind, &table, out);
            }
        }
    }

    fn bookmark(&mut self, out: &mut Vec<u8>) {
        self.bookmark_at = Instant::now() + BOOKMARK_EVERY;
        let Some(revision) = self.watch.as_mut().map(Watch::progress) else { return };
        let object = self.bookmark_document(revision.get(), json!({}));
        push_frame("BOOKMARK", &object, out);
    }

    fn push_bookmark(&self, revision: u64, out: &mut Vec<u8>) {
        let annotations = json!({"k8s.io/initial-events-end": "true"});
        push_frame("BOOKMARK", &self.bookmark_document(revision, annotations), out);
    }

    fn bookmark_document(&self, revision: u64, annotations: Value) -> Value {
        let (api_version, kind) = match self.format.projection {
            Projection::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata".to_owned()),
            Projection::Whole | Projection::Table => {
                let gvk = &self.target.served.kind.gvk;
                (gvk.api_version(), gvk.kind.clone())
            }
        };
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if annotations.as_object().is_some_and(|map| !map.is_empty()) {
            metadata["annotations"] = annotations;
        }
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        if self.format.projection != Projection::Table {
            return object;
        }
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": revision.to_string()},
            "columnDefinitions": null, "rows": [{"cells": [], "object": object}],
        })
    }
}

fn begin_frame(kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}

fn push_frame(kind: &str, object: &Value, out: &mut Vec<u8>) {
    begin_frame(kind, out);
    serde_json::to_writer(&mut *out, object).expect("writing to memory does not fail");
    out.extend_from_slice(b"}\n");
}
