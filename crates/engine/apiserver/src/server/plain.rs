//! Paths that are no resource: health, version, discovery, OpenAPI, metrics, token keys.

use bytes::Bytes;
use http::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use super::metrics::EXPOSITION_TYPE;
use super::{ApiServer, Reply, ReplyBody, document, raw};
use crate::discovery::{self, Rendered};
use crate::extend::aggregation;
use crate::request::{Accept, Query};
use crate::status::Refusal;

/// Answers a path that is no resource.
pub(super) async fn answer<B>(
    server: &ApiServer,
    method: &Method,
    path: &str,
    query: &Query,
    accept: &Accept,
    headers: &HeaderMap,
    _body: B,
) -> Result<Reply, Refusal> {
    if ![Method::GET, Method::HEAD].contains(method) {
        return Err(Refusal::method_not_allowed());
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["healthz" | "livez", ..] => Ok(health(server, Probe::Live, &parts, query)),
        ["readyz", ..] => Ok(health(server, Probe::Ready, &parts, query)),
        ["version"] => Ok(document(StatusCode::OK, &version(server), accept.syntax())),
        ["metrics"] => Ok(raw(StatusCode::OK, EXPOSITION_TYPE, (server.0.exposition)())),
        [".well-known", "openid-configuration"] => Ok(openid(server)),
        ["openid", "v1", "jwks"] => {
            let keys = server.0.tokens.key_set().to_string();
            Ok(raw(StatusCode::OK, "application/jwk-set+json", keys))
        }
        [""] => {
            Ok(document(StatusCode::OK, &discovery::paths(&aggregation::discovered(server)), accept.syntax()))
        }
        ["openapi", rest @ ..] => {
            let rendered = discovery::open_api(&aggregation::discovered(server), rest, accept)?;
            Ok(cached(&rendered, headers))
        }
        ["api" | "apis", ..] => {
            let registry = aggregation::discovered(server);
            let rendered = discovery::resources(&registry, &parts, accept, server.0.config.advertise)?;
            Ok(cached(&rendered, headers))
        }
        _ => Err(Refusal::no_such_resource()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    Live,
    Ready,
}

fn health(server: &ApiServer, probe: Probe, parts: &[&str], query: &Query) -> Reply {
    let store = server.0.store.failure().map(|failure| format!("read-only since a failed write: {failure}"));
    let bootstrap = (!server.is_ready()).then(|| "not finished, or shutting down".to_owned());
    let checks: Vec<(&str, Option<String>)> = match probe {
        Probe::Live => vec![("ping", None)],
        Probe::Ready => vec![("ping", None), ("store", store), ("bootstrap", bootstrap)],
    };
    let good = checks.iter().all(|(_, fault)| fault.is_none());
    let code = if good { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    // Like the model, a failed probe always tells which check it was.
    let text = if parts.len() == 1 && (query.flag("verbose") || !good) {
        let lines: String = checks.iter().map(told).collect();
        format!("{lines}{} check {}\n", parts[0], if good { "passed" } else { "failed" })
    } else if good {
        "ok".to_owned()
    } else {
        format!("{} check failed: not ready\n", parts[0])
    };
    let mut reply = raw(code, "text/plain; charset=utf-8", text);
    reply.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    reply
}

fn told((name, fault): &(&str, Option<String>)) -> String {
    match fault {
        None => format!("[+]{name} ok\n"),
        Some(fault) => format!("[-]{name} failed: {fault}\n"),
    }
}

fn version(server: &ApiServer) -> serde_json::Value {
    json!({
        "major": "1", "minor": "37",
        "emulationMajor": "1", "emulationMinor": "37",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "36",
        "gitVersion": server.0.config.git_version,
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    })
}

/// The architecture as Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn openid(server: &ApiServer) -> Reply {
    let issuer = server.0.tokens.issuer();
    let text = json!({
        "issuer": issuer,
        "jwks_uri": format!("https://{}/openid/v1/jwks", server.0.config.advertise),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    raw(StatusCode::OK, "application/json", text.to_string())
}

fn cached(rendered: &Rendered, headers: &HeaderMap) -> Reply {
    let etag = format!("\"{}\"", rendered.etag);
    let known = headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes());
    let mut reply = if known {
        let mut reply = Reply::new(ReplyBody::full(Bytes::new()));
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        reply
    } else {
        raw(StatusCode::OK, rendered.content_type, rendered.bytes.clone())
    };
    if let Ok(value) = HeaderValue::from_str(&etag) {
        reply.headers_mut().insert(ETAG, value);
    }
    reply.headers_mut().insert("vary", HeaderValue::from_static("Accept"));
    reply.headers_mut().insert("cache-control", HeaderValue::from_static("public"));
    reply
}
