//! Who asks, as the front proxy says, and whether they may.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use muster_control::rest::Rest;
use parking_lot::RwLock;
use serde_json::{Value, json};

use super::reply::{Asked, Reply};
use super::{GROUP, VERSION};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A user whom the API server has authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) groups: Vec<String>,
}

/// How the front proxy tells who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    /// Common names that may vouch; empty = every certificate of the authority.
    pub(super) names: Vec<String>,
    pub(super) user_headers: Vec<String>,
    pub(super) group_headers: Vec<String>,
}

pub(super) struct Callers {
    rest: Rest,
    proxy: RwLock<Option<Proxy>>,
}

impl Callers {
    pub(super) fn new(rest: Rest) -> Self {
        Self { rest, proxy: RwLock::default() }
    }

    pub(super) fn trust(&self, proxy: Proxy) {
        *self.proxy.write() = Some(proxy);
    }

    /// Who asks.
    ///
    /// # Errors
    /// Why nobody vouches for them.
    pub(super) fn identify(&self, asked: &Asked) -> Result<Caller, String> {
        let proxy = self.proxy.read();
        let proxy = proxy.as_ref().ok_or("the front proxy of the API server is not known yet")?;
        let name =
            asked.proxy.as_ref().ok_or("ask through the API server: no front proxy vouches for you")?;
        if !proxy.names.is_empty() && !proxy.names.contains(name) {
            return Err(format!("{name} may not vouch for users"));
        }
        let caller = Caller {
            user: values(&asked.headers, &proxy.user_headers).next().unwrap_or_default(),
            groups: values(&asked.headers, &proxy.group_headers).collect(),
        };
        if caller.user.is_empty() { Err("the front proxy names no user".to_owned()) } else { Ok(caller) }
    }

    /// Asks the API server whether the caller may.
    ///
    /// # Errors
    /// The answer for the caller, if not.
    pub(super) async fn authorize(&self, caller: &Caller, resource: &str, verb: &str) -> Result<(), Reply> {
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": caller.user, "groups": caller.groups,
            "resourceAttributes": {"group": GROUP, "version": VERSION, "resource": resource, "verb": verb}}});
        let unavailable = |words: &str| Err(Reply::refusal(StatusCode::SERVICE_UNAVAILABLE, words));
        match tokio::time::timeout(ANSWER_WITHIN, self.rest.create(REVIEWS, &body)).await {
            Err(_) => unavailable("the API server did not say in time whether you may ask"),
            Ok(Err(error)) => {
                unavailable(&format!("whether you may ask: {}", muster_control::explain(&error)))
            }
            Ok(Ok(review)) if review.pointer("/status/allowed") == Some(&Value::Bool(true)) => Ok(()),
            Ok(Ok(_)) => {
                let user = &caller.user;
                let words = format!(
                    "{resource}.{GROUP} is forbidden: User {user:?} cannot {verb} resource {resource:?} in API group {GROUP:?} at the cluster scope"
                );
                Err(Reply::refusal(StatusCode::FORBIDDEN, &words))
            }
        }
    }
}

fn values(headers: &HeaderMap, names: &[String]) -> impl Iterator<Item = String> {
    let found = names.iter().flat_map(|name| headers.get_all(name.as_str()));
    found.filter_map(|value| value.to_str().ok()).map(str::to_owned)
}
