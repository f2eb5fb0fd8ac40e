//! `changes`: what happened to one object, field by field.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::reply::Reply;
use super::{GROUP, VERSION};
use crate::change::Path;
use crate::database::{Database, Entry, Range};
use crate::kinds::Kind;

/// The newest that are told at once.
const CHANGES_MAX: usize = 5000;

struct Wanted {
    kind: Kind,
    name: String,
    field: Option<Path>,
    since: Timestamp,
    until: Timestamp,
}

/// Answers `?kind=Machine&name=m1[&field=spec.role][&since=TIME][&until=TIME]`.
pub(super) fn list(database: &Database, query: &str) -> Reply {
    let wanted = match Wanted::read(query) {
        Ok(wanted) => wanted,
        Err(words) => return Reply::refusal(StatusCode::UNPROCESSABLE_ENTITY, &words),
    };
    let range = Range { kind: wanted.kind, name: &wanted.name, since: wanted.since, until: wanted.until };
    let entries = match database.history(&range) {
        Ok(Some(entries)) => entries,
        Ok(None) => {
            let words = format!("the history knows no {} {:?}", wanted.kind.name(), wanted.name);
            return Reply::refusal(StatusCode::NOT_FOUND, &words);
        }
        Err(error) => {
            return Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, &muster_base::error::chain(&error));
        }
    };
    let mut items: Vec<Value> = entries.iter().flat_map(|entry| rows(entry, &wanted)).collect();
    let left_out = items.len().saturating_sub(CHANGES_MAX);
    items.drain(..left_out);
    Reply::json(&json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "ChangeList",
        "metadata": {"leftOut": left_out}, "items": items}))
}

impl Wanted {
    fn read(query: &str) -> Result<Self, String> {
        let (mut kind, mut name, mut field) = (None, None, None);
        let (mut since, mut until) = (Timestamp::MIN, Timestamp::MAX);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let time = || value.parse().map_err(|_| format!("{key}: {value:?} is no RFC 3339 time"));
            match &*key {
                "kind" => {
                    let known = Kind::ALL.map(Kind::name).join(", ");
                    let named = Kind::named(&value);
                    kind = Some(
                        named.ok_or_else(|| format!("kind {value:?} has no history; these have: {known}"))?,
                    );
                }
                "name" => name = Some(value.into_owned()),
                "field" => field = Some(Path::parse(&value).map_err(|error| error.to_string())?),
                "since" => since = time()?,
                "until" => until = time()?,
                // kubectl and client libraries add these to every list.
                "limit" | "timeout" | "timeoutSeconds" => {}
                _ => return Err(format!("there is no parameter {key:?}")),
            }
        }
        let kind = kind.ok_or("which kind? add kind=Machine")?;
        let name = name.filter(|name| !name.is_empty()).ok_or("of which object? add name=NAME")?;
        Ok(Self { kind, name, field, since, until })
    }
}

fn rows(entry: &Entry, wanted: &Wanted) -> Vec<Value> {
    let record = &entry.record;
    let asked =
        |path: &Path| wanted.field.as_ref().is_none_or(|field| field.holds(path) || path.holds(field));
    let groups: Vec<&str> =
        record.actor.iter().flat_map(|actor| &actor.groups).map(|group| &**group).collect();
    let fields = entry.fields.iter().filter(|field| asked(&field.path));
    let row = |field: &crate::change::FieldChange| {
        json!({
            "time": record.at, "revision": record.revision, "kind": record.kind, "name": wanted.name,
            "operation": record.operation, "field": field.path.to_string(), "old": field.old, "new": field.new,
            "user": record.actor.as_ref().map(|actor| &*actor.user), "groups": groups,
            "manager": record.manager.as_deref(), "reason": record.reason, "via": record.via,
            "seenLate": record.late,
        })
    };
    fields.map(row).collect()
}
