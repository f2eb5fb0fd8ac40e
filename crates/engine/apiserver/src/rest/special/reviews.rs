//! Questions: may I, who am I, is this token good.

use serde_json::{Value, json};

use super::created;
use crate::authz::Review;
use crate::request::ResourcePath;
use crate::rest::{Call, codec};
use crate::server::{ApiServer, Reply};
use crate::status::Refusal;

const AUTHORIZATION: &str = "authorization.k8s.io/v1";
const AUTHENTICATION: &str = "authentication.k8s.io/v1";

fn read(call: &mut Call, api_version: &str, kind: &str) -> Result<Value, Refusal> {
    call.accept.whole()?;
    let mut document = codec::decode_message(call, &format!("{api_version}/{kind}"))?;
    document["apiVersion"] = json!(api_version);
    document["kind"] = json!(kind);
    if !document["metadata"].is_object() {
        document["metadata"] = json!({});
    }
    Ok(document)
}

pub(super) fn access(
    server: &ApiServer,
    call: &mut Call,
    path: &ResourcePath,
    review: Review,
) -> Result<Reply, Refusal> {
    let kind = match review {
        Review::SelfAccess => "SelfSubjectAccessReview",
        Review::Access => "SubjectAccessReview",
        Review::LocalAccess => "LocalSubjectAccessReview",
    };
    let document = read(call, AUTHORIZATION, kind)?;
    let answer = server.inner().authorizer.review(review, &call.who, &path.namespace, document)?;
    Ok(created(call, &answer))
}

pub(super) fn rules(server: &ApiServer, call: &mut Call) -> Result<Reply, Refusal> {
    let document = read(call, AUTHORIZATION, "SelfSubjectRulesReview")?;
    let answer = server.inner().authorizer.rules_review(&call.who, document)?;
    Ok(created(call, &answer))
}

pub(super) fn myself(_server: &ApiServer, call: &mut Call) -> Result<Reply, Refusal> {
    let mut document = read(call, AUTHENTICATION, "SelfSubjectReview")?;
    document["status"] = json!({"userInfo": call.who.document()});
    Ok(created(call, &document))
}

pub(super) fn token(server: &ApiServer, call: &mut Call) -> Result<Reply, Refusal> {
    let mut document = read(call, AUTHENTICATION, "TokenReview")?;
    let token = document["spec"]["token"].as_str().unwrap_or("").to_owned();
    if token.is_empty() {
        return Err(Refusal::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = document["spec"]["audiences"].as_array().into_iter().flatten();
    let audiences: Vec<String> = audiences.filter_map(|one| one.as_str().map(str::to_owned)).collect();
    document["status"] = match server.inner().tokens.accept(&token, &audiences) {
        Ok(claims) => json!({
            "authenticated": true, "user": claims.identity.document(), "audiences": claims.audiences,
        }),
        Err(why) => json!({"authenticated": false, "user": {}, "error": why}),
    };
    Ok(created(call, &document))
}
