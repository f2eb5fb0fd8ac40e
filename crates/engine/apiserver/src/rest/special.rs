//! Resources and subresources that are not simply read and written.

mod binding;
mod eviction;
mod log;
mod parts;
mod reviews;
mod scale;
mod token;

use http::StatusCode;
use serde_json::Value;

use super::{Call, Target};
use crate::authz::Review;
use crate::request::ResourcePath;
use crate::server::{ApiServer, Reply, document};
use crate::status::{Reason, Refusal};

/// Answers a request that has a handler of its own; `None` for the others.
pub(super) async fn answer(
    server: &ApiServer,
    call: &mut Call,
    path: &ResourcePath,
    target: Option<&Target>,
) -> Option<Result<Reply, Refusal>> {
    let subresource = path.subresource.split('/').next().unwrap_or("");
    let answered = match (path.resource.as_str(), subresource) {
        ("selfsubjectaccessreviews", "") => reviews::access(server, call, path, Review::SelfAccess),
        ("subjectaccessreviews", "") => reviews::access(server, call, path, Review::Access),
        ("localsubjectaccessreviews", "") => reviews::access(server, call, path, Review::LocalAccess),
        ("selfsubjectrulesreviews", "") => reviews::rules(server, call),
        ("selfsubjectreviews", "") => reviews::myself(server, call),
        ("tokenreviews", "") => reviews::token(server, call),
        ("bindings", "") => binding::bind(server, call, path).await,
        (_, "exec" | "attach" | "portforward" | "proxy") => Err(Refusal::new(
            Reason::MethodNotAllowed,
            format!("{}/{subresource} is not served by this version of Muster", path.resource),
        )),
        _ => return special_of(server, call, path, target?, subresource).await,
    };
    Some(answered)
}

async fn special_of(
    server: &ApiServer,
    call: &mut Call,
    path: &ResourcePath,
    target: &Target,
    subresource: &str,
) -> Option<Result<Reply, Refusal>> {
    let writes = ["update", "patch"].contains(&call.info.verb.as_str());
    Some(match (&*target.served.resource, subresource) {
        ("pods", "binding") => binding::bind(server, call, path).await,
        ("pods", "eviction") => eviction::evict(server, call, target).await,
        ("pods", "log") => log::logs(server, call, target).await,
        ("serviceaccounts", "token") => token::request(server, call, target).await,
        (_, "scale") => scale::scale(server, call, target).await,
        ("namespaces", "finalize") if writes => parts::finalize(server, call, target).await,
        _ => return None,
    })
}

/// The answer to a question asked by POST.
fn created(call: &Call, answer: &Value) -> Reply {
    document(StatusCode::CREATED, answer, call.accept.syntax())
}
