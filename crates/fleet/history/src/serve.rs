//! The history's own HTTPS port: the webhook that notes who, and the aggregated API that is asked.
//!
//! Whoever asks comes through the API server, which vouches for the user by a client certificate of its front proxy. What
//! the user may do is asked back from the API server, kind by kind of question.

mod admission;
mod asked;
mod caller;
mod changes;
mod connection;
mod register;
mod reply;
mod states;
#[cfg(test)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use kube::Client;
use muster_base::clock::SharedClock;
use muster_base::task::Tasks;
use muster_control::{Metrics, rest::Rest};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::config::{Config, Reach};
use crate::database::Database;
use crate::log::{Anchor, LogError};
use crate::notes::Notes;
use crate::query::{QueryError, Question};
use caller::Callers;
pub use register::withdraw;
use reply::Reply;
pub use tls::TlsError;

/// Group of the aggregated API.
pub const GROUP: &str = "history.muster.dev";
/// Its version.
pub const VERSION: &str = "v1alpha1";
/// Where the API server sends what it is about to admit.
const ADMIT: &str = "/admit";

/// Why the port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}; choose another with --webhook-listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// No certificate.
    #[error("cannot make the history's certificates")]
    Tls(#[from] TlsError),
}

/// What answers.
pub(crate) struct Service {
    pub(crate) database: Arc<Database>,
    pub(crate) notes: Arc<Notes>,
    callers: Callers,
}

/// What starting needs.
pub(crate) struct Parts<'a> {
    pub(crate) client: &'a Client,
    pub(crate) clock: &'a SharedClock,
    pub(crate) tasks: &'a Tasks,
    pub(crate) metrics: &'a Metrics,
    pub(crate) config: &'a Config,
}

/// Listens, and makes itself known to the API server.
///
/// # Errors
/// The address cannot be had, or no certificate made.
pub(crate) async fn start(
    parts: Parts<'_>,
    database: Arc<Database>,
    notes: Arc<Notes>,
) -> Result<(), ServeError> {
    let address = parts.config.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let bound = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
    let reach = parts
        .config
        .reach
        .clone()
        .unwrap_or_else(|| Reach::Address { host: bound.ip().to_string(), port: bound.port() });
    let keys = Arc::new(tls::Keys::open(&parts.config.directory, &reach, parts.clock.now())?);
    let service =
        Arc::new(Service { database, notes, callers: Callers::new(Rest::new(parts.client.clone())) });
    connection::listen(listener, Arc::clone(&keys), Arc::clone(&service), parts.tasks);
    register::start(&parts, reach, keys, service);
    tracing::info!(address = %bound, "the history is served");
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct QuerySpec {
    r#where: String,
    as_of: Option<jiff::Timestamp>,
    group_by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct VerificationSpec {
    /// `RECORD:CHAIN` as an earlier verification told it.
    anchor: Option<String>,
}

impl Service {
    /// Answers one request.
    pub(crate) async fn answer(&self, asked: reply::Asked) -> Reply {
        let root = format!("/apis/{GROUP}");
        let path = asked.path.trim_end_matches('/').to_owned();
        if (&asked.method, path.as_str()) == (&Method::POST, ADMIT) {
            return admission::note(self, &asked.body);
        }
        let Some(rest) = path.strip_prefix(&root) else {
            return match path.as_str() {
                "/healthz" | "/readyz" | "/livez" => Reply::text("ok"),
                _ => Reply::refusal(StatusCode::NOT_FOUND, "there is nothing at this path"),
            };
        };
        let caller = match self.callers.identify(&asked) {
            Ok(caller) => caller,
            Err(words) => return Reply::refusal(StatusCode::UNAUTHORIZED, &words),
        };
        let (resource, verb) = match (rest.strip_prefix(&format!("/{VERSION}")), &asked.method) {
            (None, _) if rest.is_empty() => return Reply::json(&group()),
            (Some(""), _) => return Reply::json(&resources()),
            (Some("/changes"), &Method::GET) => ("changes", "list"),
            (Some("/states"), &Method::GET) => ("states", "list"),
            (Some("/queries"), &Method::POST) => ("queries", "create"),
            (Some("/verifications"), &Method::POST) => ("verifications", "create"),
            _ => return Reply::refusal(StatusCode::NOT_FOUND, "the history has no such resource"),
        };
        if let Err(reply) = self.callers.authorize(&caller, resource, verb).await {
            return reply;
        }
        let database = Arc::clone(&self.database);
        let work = move || match resource {
            "changes" => changes::list(&database, &asked.query),
            "states" => states::list(&database, &asked.query),
            "queries" => query(&database, &asked.body),
            _ => verification(&database, &asked.body),
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| {
            Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, "the answer was not finished")
        })
    }
}

fn spec<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Reply> {
    let wrong = |words: &str| Reply::refusal(StatusCode::BAD_REQUEST, words);
    let mut object: Value =
        serde_json::from_slice(body).map_err(|error| wrong(&format!("the body: {error}")))?;
    let spec = object.get_mut("spec").map(Value::take).unwrap_or_default();
    let spec = if spec.is_null() { json!({}) } else { spec };
    serde_json::from_value(spec).map_err(|error| wrong(&format!("spec: {error}")))
}

fn object(kind: &str, status: &impl serde::Serialize) -> Reply {
    let status = serde_json::to_value(status).unwrap_or_default();
    Reply::json(
        &json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "metadata": {}, "status": status}),
    )
}

fn query(database: &Database, body: &[u8]) -> Reply {
    let spec: QuerySpec = match spec(body) {
        Ok(spec) => spec,
        Err(reply) => return reply,
    };
    let answer = Question::new(&spec.r#where, spec.as_of, spec.group_by.as_deref())
        .and_then(|question| question.answer(database));
    match answer {
        Ok(answer) => object("Query", &answer),
        Err(error) if error.is_refusal() => {
            Reply::refusal(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string())
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &QueryError) -> Reply {
    Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, &muster_base::error::chain(error))
}

fn verification(database: &Database, body: &[u8]) -> Reply {
    let spec: VerificationSpec = match spec(body) {
        Ok(spec) => spec,
        Err(reply) => return reply,
    };
    let anchor = match spec.anchor.as_deref().map(Anchor::parse).transpose() {
        Ok(anchor) => anchor,
        Err(words) => return Reply::refusal(StatusCode::UNPROCESSABLE_ENTITY, &words),
    };
    match database.verify(anchor.as_ref()) {
        Ok(verdict) => object("Verification", &verdict),
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &LogError) -> Reply {
    Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, &muster_base::error::chain(error))
}

fn group() -> Value {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    json!({"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version})
}

fn resources() -> Value {
    let one = |name: &str, singular: &str, kind: &str, verb: &str| json!({"name": name, "singularName": singular, "namespaced": false, "kind": kind, "verbs": [verb]});
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"), "resources": [
        one("changes", "change", "Change", "list"),
        one("states", "state", "State", "list"),
        one("queries", "query", "Query", "create"),
        one("verifications", "verification", "Verification", "create"),
    ]})
}
