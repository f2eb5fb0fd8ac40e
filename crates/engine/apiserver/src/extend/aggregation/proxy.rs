//! Handing a request on.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyStream, Full};
use hyper::body::Incoming;
use tracing::debug;

use super::Remote;
use crate::authn::Identity;
use crate::extend::backend::explain;
use crate::server::{ApiServer, Reply, ReplyBody};
use crate::status::{Reason, Refusal};

/// Until an answer begins; what it then streams may last.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Concern one connection only.
const OF_CONNECTION: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Hands an authorized request on to the server behind, and its answer back as it comes.
pub(crate) async fn hand_on(
    server: &ApiServer,
    remote: &Remote,
    who: &Identity,
    parts: Parts,
    body: Bytes,
) -> Result<Reply, Refusal> {
    remote.available.as_ref().map_err(|why| unavailable(remote, why))?;
    let backend = remote.backend(server).map_err(|error| unavailable(remote, &error.to_string()))?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = backend.url(path).parse().map_err(Refusal::internal)?;
    *request.headers_mut() = headers(parts.headers, who)?;
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, backend.send(request)).await;
    let answered = answered.map_err(|_| unavailable(remote, "no answer within a minute"))?;
    let response = answered.map_err(|error| {
        unavailable(remote, &format!("error trying to reach service: {}", explain(&error)))
    })?;
    Ok(reply(remote, response))
}

fn unavailable(remote: &Remote, why: &str) -> Refusal {
    let text = "the server is currently unable to handle the request";
    Refusal::new(Reason::ServiceUnavailable, format!("{text} (APIService \"{}\": {why})", remote.name))
}

/// The client's headers without its credentials and what it claims to be, and who it is known to be.
fn headers(mut headers: HeaderMap, who: &Identity) -> Result<HeaderMap, Refusal> {
    let claims = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-remote-") || name.starts_with("impersonate-")
    };
    let mut dropped: Vec<HeaderName> = headers.keys().filter(|name| claims(name)).cloned().collect();
    dropped.extend(OF_CONNECTION);
    dropped.extend([AUTHORIZATION, HOST, HeaderName::from_static("content-length")]);
    for name in dropped {
        headers.remove(name);
    }
    let value = |text: &str| HeaderValue::from_str(text).map_err(Refusal::internal);
    headers.insert("x-remote-user", value(&who.user)?);
    if !who.uid.is_empty() {
        headers.insert("x-remote-uid", value(&who.uid)?);
    }
    for group in &who.groups {
        headers.append("x-remote-group", value(group)?);
    }
    for (key, values) in &who.extra {
        let name = format!("x-remote-extra-{}", escaped(key));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(Refusal::internal)?;
        for text in values {
            headers.append(&name, value(text)?);
        }
    }
    Ok(headers)
}

/// A key of `extra` as part of a header's name: what a name may not have, and `%`, in percent signs.
fn escaped(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            out.push(char::from(byte.to_ascii_lowercase()));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

fn reply(remote: &Remote, response: Response<Incoming>) -> Reply {
    let (mut parts, body) = response.into_parts();
    for name in OF_CONNECTION {
        parts.headers.remove(name);
    }
    let name = remote.name.clone();
    let chunks = BodyStream::new(body).filter_map(move |frame| {
        let chunk = match frame {
            Ok(frame) => frame.into_data().ok(),
            Err(error) => {
                debug!(name, %error, "a server behind this one broke off");
                None
            }
        };
        std::future::ready(chunk)
    });
    Response::from_parts(parts, ReplyBody::stream(chunks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_claims_is_replaced_by_what_is_known() {
        let mut sent = HeaderMap::new();
        for (name, text) in [
            ("authorization", "Bearer t"),
            ("x-remote-user", "root"),
            ("x-remote-extra-scopes", "all"),
            ("impersonate-user", "root"),
            ("accept", "application/json"),
        ] {
            sent.insert(name, HeaderValue::from_static(text));
        }
        let mut who = Identity::new("kim", &["ops"]);
        who.extra.insert("example.com/why".into(), vec!["ticket 7".into()]);
        let headers = headers(sent, &who).unwrap();
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "accept: application/json",
                "x-remote-extra-example.com%2fwhy: ticket 7",
                "x-remote-group: ops",
                "x-remote-group: system:authenticated",
                "x-remote-user: kim",
            ]
        );
    }
}
