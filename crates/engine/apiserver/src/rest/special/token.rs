//! Tokens for service accounts (TokenRequest).

use muster_store::{Entry, Key};
use serde_json::{Value, json};

use super::created;
use crate::authn::{Bound, TokenRequest};
use crate::extend::webhooks::{self, Message, Operation};
use crate::object::{Deletion, Object};
use crate::rest::{Call, Target, codec, meta};
use crate::server::{ApiServer, Reply};
use crate::status::{About, Refusal};

const TOKEN_REQUEST: Message =
    Message { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" };
const DEFAULT_SECONDS: i64 = 3600;
const SHORTEST_SECONDS: i64 = 600;

pub(super) async fn request(server: &ApiServer, call: &mut Call, target: &Target) -> Result<Reply, Refusal> {
    let mut document = codec::decode_message(call, "authentication.k8s.io/v1/TokenRequest")?;
    let account = server.store().get(&target.key()).ok_or_else(|| target.not_found())?;
    let message = (Operation::Create, TOKEN_REQUEST);
    webhooks::admit_message(server, call, target, message, &mut document, None).await?;
    let lifetime = document["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS);
    if lifetime < SHORTEST_SECONDS {
        let error = muster_schema::FieldError::invalid(
            "spec.expirationSeconds",
            json!(lifetime),
            "may not specify a duration less than 10 minutes",
        );
        let about = About { group: "authentication.k8s.io", resource: "TokenRequest" };
        return Err(Refusal::invalid(about, &target.name, &[error]));
    }
    let audiences = document["spec"]["audiences"].as_array().into_iter().flatten();
    let request = TokenRequest {
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        uid: account.value.header().uid.to_string(),
        audiences: audiences.filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        lifetime_seconds: lifetime,
        bound: bound(server, target, &document["spec"]["boundObjectRef"])?,
    };
    let (token, expires, audiences) = server.inner().tokens.issue(&request)?;
    let expires = jiff::Timestamp::from_second(expires).map_err(Refusal::internal)?;
    document["apiVersion"] = json!("authentication.k8s.io/v1");
    document["kind"] = json!("TokenRequest");
    document["metadata"]["name"] = json!(target.name);
    document["metadata"]["namespace"] = json!(target.namespace);
    document["spec"]["audiences"] = json!(audiences);
    document["spec"]["expirationSeconds"] = json!(lifetime);
    document["status"] = json!({"token": token, "expirationTimestamp": meta::time(expires)});
    Ok(created(call, &document))
}

fn bound(server: &ApiServer, target: &Target, reference: &Value) -> Result<Option<Bound>, Refusal> {
    if reference.is_null() {
        return Ok(None);
    }
    let text = |key: &str| reference[key].as_str().unwrap_or("").to_owned();
    let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
    let (resource, namespace) = match kind.as_str() {
        "Pod" => ("pods", target.namespace.as_str()),
        "Secret" => ("secrets", target.namespace.as_str()),
        "Node" => ("nodes", ""),
        _ => {
            return Err(Refusal::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to object of kind {kind:?}",
                target.name
            )));
        }
    };
    let about = About { group: "", resource };
    let key = Key::new(resource, namespace, name.as_str());
    let found = server.store().get(&key).ok_or_else(|| Refusal::not_found(about, &name))?;
    let found_uid = &*found.value.header().uid;
    if !uid.is_empty() && uid != found_uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Refusal::conflict(about, &name, &why));
    }
    let uid = found_uid.to_owned();
    let node = if kind == "Pod" { node_of(server, target, &found)? } else { None };
    Ok(Some(Bound { kind, name, uid, node }))
}

fn node_of(
    server: &ApiServer,
    target: &Target,
    pod: &Entry<Object>,
) -> Result<Option<(String, String)>, Refusal> {
    let document = pod.value.stored_document(pod.revision.get());
    let account = meta::text(&document, "/spec/serviceAccountName");
    if account != target.name {
        return Err(Refusal::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            target.name
        )));
    }
    let node = pod.value.header().field("spec.nodeName").unwrap_or("");
    let found = server.store().get(&Key::new("nodes", "", node));
    let lives = found.filter(|found| found.value.header().deletion == Deletion::None);
    Ok(lives.map(|found| (node.to_owned(), found.value.header().uid.to_string())))
}
