//! The webhook: it lets everything pass, and notes who asked for what.

use http::StatusCode;
use muster_api::REASON;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Service;
use super::reply::Reply;
use crate::kinds::{Kind, digest, kept};
use crate::notes::Note;
use crate::record::{Actor, Operation};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    request: Request,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    kind: Named,
    operation: String,
    #[serde(default)]
    user_info: User,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    old_object: Value,
    #[serde(default)]
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Named {
    kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    groups: Vec<String>,
}

/// Notes the request and lets it pass.
pub(super) fn note(service: &Service, body: &[u8]) -> Reply {
    let review: Review = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) => {
            return Reply::refusal(StatusCode::BAD_REQUEST, &format!("no AdmissionReview: {error}"));
        }
    };
    let answer = json!({"kind": "AdmissionReview", "apiVersion": review.api_version,
        "response": {"uid": review.request.uid, "allowed": true}});
    if review.request.dry_run != Some(true)
        && let Some(note) = read(review.request, service.database.now())
    {
        service.notes.add(note);
    }
    Reply::json(&answer)
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
}

fn read(request: Request, at: jiff::Timestamp) -> Option<Note> {
    let kind = Kind::named(&request.kind.kind)?;
    let operation = match request.operation.as_str() {
        "CREATE" => Operation::Create,
        "UPDATE" => Operation::Update,
        "DELETE" => Operation::Delete,
        _ => return None,
    };
    let uid = text(&request.object, "/metadata/uid").or(text(&request.old_object, "/metadata/uid"))?;
    let uid = Uuid::parse_str(uid).ok()?;
    let upon = text(&request.old_object, "/metadata/resourceVersion").and_then(|text| text.parse().ok());
    let reason = reason(&request.object, &request.old_object);
    let actor = Actor {
        user: request.user_info.username.into(),
        groups: request.user_info.groups.into_iter().map(Into::into).collect(),
    };
    let digest = (operation != Operation::Delete).then(|| digest(&kept(kind, request.object)));
    Some(Note { at, uid, operation, digest, upon: upon.unwrap_or(0), actor, reason })
}

/// The annotation's text, where this very request wrote it: one that stands from an earlier change says nothing.
fn reason(new: &Value, old: &Value) -> Option<String> {
    let of =
        |object: &Value| Some(object.get("metadata")?.get("annotations")?.get(REASON)?.as_str()?.to_owned());
    of(new).filter(|text| !text.is_empty() && of(old).as_ref() != Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: &str, object: Value, old: Value) -> Request {
        let request = json!({"uid": "r", "kind": {"kind": "Machine"}, "operation": operation, "object": object,
            "oldObject": old, "userInfo": {"username": "ada", "groups": ["ops"]}});
        serde_json::from_value(request).unwrap()
    }

    fn machine(revision: &str, reason: &str) -> Value {
        json!({"metadata": {"uid": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "resourceVersion": revision,
            "annotations": {REASON: reason}}, "spec": {"site": "a"}})
    }

    #[test]
    fn a_request_is_noted_with_user_and_the_reason_it_wrote_itself() {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let note = read(request("UPDATE", machine("7", "new rack"), machine("7", "")), at).unwrap();
        assert_eq!((&*note.actor.user, note.upon, note.reason.as_deref()), ("ada", 7, Some("new rack")));
        assert_eq!(note.digest, Some(digest(&kept(Kind::Machine, machine("8", "new rack")))));
        let note = read(request("UPDATE", machine("8", "new rack"), machine("8", "new rack")), at).unwrap();
        assert_eq!(note.reason, None, "it stands from the change before");
        let note = read(request("DELETE", Value::Null, machine("9", "")), at).unwrap();
        assert_eq!((note.operation, note.digest, note.upon), (Operation::Delete, None, 9));
        assert!(read(request("CONNECT", Value::Null, machine("9", "")), at).is_none());
    }
}
