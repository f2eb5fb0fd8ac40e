//! `states`: what each object of a kind was last, those that are gone included.

use http::StatusCode;
use serde_json::{Value, json};

use super::asked::Wanted;
use super::reply::Reply;
use super::{GROUP, VERSION, unreadable};
use crate::database::Database;

/// Objects of one page.
const PAGE: usize = 1000;

/// Answers `?kind=Run[&continue=TOKEN]`.
pub(super) fn list(database: &Database, query: &str) -> Reply {
    let wanted = match Wanted::read(query, &[]) {
        Ok(wanted) => wanted,
        Err(words) => return Reply::refusal(StatusCode::UNPROCESSABLE_ENTITY, &words),
    };
    let objects = database.of_kind(wanted.kind, wanted.from, PAGE);
    let mut items: Vec<Value> = Vec::with_capacity(objects.len());
    for (number, name) in &objects {
        match database.last_state(*number) {
            Ok(Some((stood, is_there))) => items.push(json!({
                "kind": wanted.kind, "name": &**name, "time": stood.at, "revision": stood.revision,
                "there": is_there, "object": stood.object,
            })),
            Ok(None) => {}
            Err(error) => return unreadable(&error),
        }
    }
    let next = objects.last().filter(|_| objects.len() == PAGE).map(|(number, _)| (number + 1).to_string());
    Reply::json(&json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "StateList",
        "metadata": {"continue": next.unwrap_or_default()}, "items": items}))
}
