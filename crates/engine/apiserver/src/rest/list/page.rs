//! Which entries a list asks for: at a moment, behind a place, selected, at most so many.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_store::{Entry, Revision, Snapshot, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{check_fields, selected};
use crate::object::Object;
use crate::request::{ListParams, Match};
use crate::rest::Target;
use crate::server::ApiServer;
use crate::status::Refusal;

/// A page of a list.
pub(crate) struct Page {
    pub(crate) entries: Vec<Arc<Entry<Object>>>,
    pub(crate) revision: u64,
    next: Option<String>,
    remaining: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
    /// How many follow, where that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<usize>,
}

/// Where a list begins: a revision, and the namespace and name behind which.
struct Place {
    revision: u64,
    after: Option<(String, String)>,
    left: Option<usize>,
}

impl Token {
    fn encode(revision: i64, start: String, left: Option<usize>) -> String {
        let token = Self { v: "meta.k8s.io/v1".to_owned(), rv: revision, start, left };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("a token is plain JSON"))
    }

    fn decode(text: &str, current: u64) -> Result<Place, Refusal> {
        let refuse = || Refusal::bad_request(format!("continue key is not valid: {text:?}"));
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| refuse())?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|_| refuse())?;
        let (namespace, name) = token.start.split_once('/').ok_or_else(refuse)?;
        let after = Some((namespace.to_owned(), name.to_owned()));
        Ok(Place { revision: u64::try_from(token.rv).unwrap_or(current), after, left: token.left })
    }
}

impl Page {
    pub(super) fn metadata(&self) -> Value {
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

/// The entries that a list asks for. A page costs what it has in it, and its place in the order; not what follows.
pub(crate) fn page(server: &ApiServer, target: &Target, params: &ListParams) -> Result<Page, Refusal> {
    check_fields(target, params)?;
    let inner = server.inner();
    let (resource, now) = (&target.served.resource, inner.clock.now());
    let mut snapshot = inner.store.snapshot(resource);
    let place = place(params, snapshot.revision().get())?;
    if place.revision < snapshot.revision().get()
        && let Some(moment) = inner.moments.at(resource, place.revision, now)
    {
        snapshot = moment;
    }
    let wanted = if params.limit == 0 { usize::MAX } else { params.limit.saturating_add(1) };
    let mut entries: Vec<_> = if place.revision < snapshot.revision().get() {
        let past = past(&inner.store, target, &snapshot, place.revision).ok_or_else(|| expired(&place))?;
        let behind = |entry: &Arc<Entry<Object>>| match &place.after {
            Some((namespace, name)) => (&*entry.key.namespace, &*entry.key.name) > (namespace, name),
            None => true,
        };
        past.into_iter().filter(|entry| behind(entry) && selected(entry, params)).take(wanted).collect()
    } else {
        let present = present(target, &snapshot, place.after.as_ref());
        present.filter(|entry| selected(entry, params)).take(wanted).cloned().collect()
    };
    if wanted == usize::MAX || entries.len() < wanted {
        return Ok(Page { entries, revision: place.revision, next: None, remaining: None });
    }
    entries.truncate(params.limit);
    if place.revision == snapshot.revision().get() {
        inner.moments.keep(resource, &snapshot, now);
    }
    let remaining = remaining(target, params, &snapshot, &place);
    let start = entries.last().map(|entry| format!("{}/{}", entry.key.namespace, entry.key.name));
    let at = i64::try_from(place.revision).unwrap_or(i64::MAX);
    let next = Some(Token::encode(at, start.unwrap_or_default(), remaining));
    Ok(Page { entries, revision: place.revision, next, remaining })
}

/// How many follow a page: counted once, then told from page to page.
fn remaining(
    target: &Target,
    params: &ListParams,
    snapshot: &Snapshot<Object>,
    place: &Place,
) -> Option<usize> {
    if !params.labels.is_empty() || !params.fields.is_empty() {
        return None;
    }
    let before = match &place.after {
        Some(_) => place.left?,
        None if target.namespace.is_empty() => snapshot.len(),
        None => snapshot.namespace(&target.namespace).count(),
    };
    Some(before.saturating_sub(params.limit).max(1))
}

fn expired(place: &Place) -> Refusal {
    match &place.after {
        Some((namespace, name)) => {
            Refusal::continue_expired(Token::encode(-1, format!("{namespace}/{name}"), place.left))
        }
        None => Refusal::list_expired(),
    }
}

fn place(params: &ListParams, current: u64) -> Result<Place, Refusal> {
    if let Some(token) = &params.continue_token {
        if params.revision.is_some_and(|revision| revision > 0) {
            return Err(Refusal::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return Token::decode(token, current);
    }
    let from_start = |revision| Ok(Place { revision, after: None, left: None });
    match (params.revision, params.revision_match) {
        (Some(asked), _) if asked > current => Err(Refusal::revision_ahead(asked, current)),
        (Some(asked), Some(Match::Exact)) => from_start(asked),
        // Without a match a limited list is exact too, unless it asks for any revision (upstream's legacy rule).
        (Some(asked), None) if params.limit > 0 && asked > 0 => from_start(asked),
        (Some(_), Some(Match::NotOlderThan) | None) | (None, _) => from_start(current),
    }
}

fn present<'a>(
    target: &'a Target,
    snapshot: &'a Snapshot<Object>,
    after: Option<&'a (String, String)>,
) -> Box<dyn Iterator<Item = &'a Arc<Entry<Object>>> + 'a> {
    let inside = |entry: &&Arc<Entry<Object>>| {
        target.namespace.is_empty() || *entry.key.namespace == *target.namespace
    };
    match after {
        None if target.namespace.is_empty() => Box::new(snapshot.iter()),
        None => Box::new(snapshot.namespace(&target.namespace)),
        Some((namespace, name)) => Box::new(snapshot.after(namespace, name).take_while(inside)),
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
    let mut entries: Vec<_> = present(target, snapshot, None).cloned().collect();
    entries.retain(|entry| !before.contains_key(&entry.key));
    let inside =
        |entry: &Arc<Entry<Object>>| target.namespace.is_empty() || *entry.key.namespace == *target.namespace;
    entries.extend(before.into_values().flatten().filter(inside));
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Some(entries)
}
