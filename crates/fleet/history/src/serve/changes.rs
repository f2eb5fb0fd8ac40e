//! `changes`: what happened to one object, or to all of a kind, field by field.

use http::StatusCode;
use serde_json::{Value, json};

use super::asked::Wanted;
use super::reply::Reply;
use super::{GROUP, VERSION, unreadable};
use crate::database::{Database, Entry, Range};
use crate::log::LogError;

/// The newest of one object that are told at once, and after which a page over all objects ends.
const CHANGES_MAX: usize = 5000;
/// Objects that one page looks at.
const PAGE: usize = 2000;

/// Answers `?kind=Machine[&name=m1][&field=spec.role…][&since=TIME][&until=TIME][&continue=TOKEN]`.
pub(super) fn list(database: &Database, query: &str) -> Reply {
    let wanted = match Wanted::read(query, &["name", "field", "since", "until"]) {
        Ok(wanted) => wanted,
        Err(words) => return Reply::refusal(StatusCode::UNPROCESSABLE_ENTITY, &words),
    };
    let page = match &wanted.name {
        Some(name) => one(database, &wanted, name),
        None => all(database, &wanted).map(Some),
    };
    match page {
        Ok(Some(page)) => {
            Reply::json(&json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "ChangeList",
            "metadata": {"leftOut": page.left_out, "continue": page.next.map(|next| next.to_string()).unwrap_or_default()},
            "items": page.items}))
        }
        Ok(None) => {
            let name = wanted.name.unwrap_or_default();
            let words = format!("the history knows no {} {name:?}", wanted.kind.name());
            Reply::refusal(StatusCode::NOT_FOUND, &words)
        }
        Err(error) => unreadable(&error),
    }
}

#[derive(Default)]
struct Page {
    items: Vec<Value>,
    /// Old ones beyond what is told of one object.
    left_out: usize,
    next: Option<u32>,
}

fn one(database: &Database, wanted: &Wanted, name: &str) -> Result<Option<Page>, LogError> {
    let range = Range { kind: wanted.kind, name, since: wanted.since, until: wanted.until };
    let Some(entries) = database.history(&range)? else { return Ok(None) };
    let mut items: Vec<Value> = entries.iter().flat_map(|entry| rows(entry, wanted, name)).collect();
    let left_out = items.len().saturating_sub(CHANGES_MAX);
    items.drain(..left_out);
    Ok(Some(Page { items, left_out, next: None }))
}

fn all(database: &Database, wanted: &Wanted) -> Result<Page, LogError> {
    let objects = database.of_kind(wanted.kind, wanted.from, PAGE);
    let mut page = Page {
        next: objects.last().filter(|_| objects.len() == PAGE).map(|(last, _)| last + 1),
        ..Page::default()
    };
    let mut objects = objects.into_iter().peekable();
    while let Some((number, name)) = objects.next() {
        let told = one(database, wanted, &name)?.unwrap_or_default();
        page.items.extend(told.items);
        page.left_out += told.left_out;
        if CHANGES_MAX <= page.items.len() && objects.peek().is_some() {
            page.next = Some(number + 1);
            break;
        }
    }
    Ok(page)
}

fn rows(entry: &Entry, wanted: &Wanted, name: &str) -> Vec<Value> {
    let record = &entry.record;
    let groups: Vec<&str> =
        record.actor.iter().flat_map(|actor| &actor.groups).map(|group| &**group).collect();
    let fields = entry.fields.iter().filter(|field| wanted.is_of(&field.path));
    let row = |field: &crate::change::FieldChange| {
        json!({
            "time": record.at, "revision": record.revision, "kind": record.kind, "name": name,
            "operation": record.operation, "field": field.path.to_string(), "old": field.old, "new": field.new,
            "user": record.actor.as_ref().map(|actor| &*actor.user), "groups": groups,
            "manager": record.manager.as_deref(), "reason": record.reason, "via": record.via,
            "seenLate": record.late,
        })
    };
    fields.map(row).collect()
}
