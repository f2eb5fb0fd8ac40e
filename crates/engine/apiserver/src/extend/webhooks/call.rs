//! One call of one webhook.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use muster_store::Store;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::configuration::{Hook, Stage};
use super::review::{self, Shown, Verdict, Version};
use crate::extend::backend::{Backend, explain};
use crate::object::Object;

const ANSWER_BYTES_MAX: usize = 8 << 20;
const QUOTED_BYTES_MAX: usize = 512;

/// Asks a webhook; why it could not be asked, in words.
pub(super) async fn ask(
    store: &Store<Object>,
    stage: Stage,
    hook: &Hook,
    request: &Map<String, Value>,
    shown: &Shown<'_>,
) -> Result<Verdict, String> {
    let Some(version) = Version::first(&hook.versions) else {
        return Err(
            "could not create admission objects: webhook does not accept known AdmissionReview versions \
                    (v1, v1beta1)"
                .to_owned(),
        );
    };
    let backend = hook.backend(store).map_err(|error| format!("could not get REST client: {error}"))?;
    let uid = Uuid::new_v4().to_string();
    let body = Bytes::from(review::encode(version, &uid, request, shown));
    let path = format!("{}?timeout={}s", hook.path, hook.timeout.as_secs());
    let sent = async {
        let permit = hook.calls.acquire().await.map_err(|error| error.to_string())?;
        let answered = post(&backend, &path, body).await;
        drop(permit);
        answered
    };
    let answered = tokio::time::timeout(hook.timeout, sent).await;
    let answered = answered.unwrap_or_else(|_| {
        let url = backend.url(&path);
        Err(format!("Post {url:?}: context deadline exceeded"))
    });
    let bytes = answered.map_err(|why| format!("failed to call webhook: {why}"))?;
    review::decode(version, &uid, stage == Stage::Mutating, &bytes)
        .map_err(|why| format!("received invalid webhook response: {why}"))
}

/// A connection that was kept may have ended with the server's last process: a second try makes a new one.
async fn post(backend: &Backend, path: &str, body: Bytes) -> Result<Bytes, String> {
    let url = backend.url(path);
    let mut tries_left = 1;
    loop {
        let request = Request::post(&url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, */*")
            .header(USER_AGENT, "kube-apiserver-admission")
            .body(Full::new(body.clone()))
            .map_err(|error| format!("Post {url:?}: {error}"))?;
        match backend.send(request).await {
            Ok(response) => return read(&url, response).await,
            Err(error) if !error.is_connect() && tries_left > 0 => tries_left -= 1,
            Err(error) => return Err(format!("Post {url:?}: {}", explain(&error))),
        }
    }
}

async fn read(url: &str, response: http::Response<Incoming>) -> Result<Bytes, String> {
    let code = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let bytes = body.map_err(|error| format!("Post {url:?}: {error}"))?.to_bytes();
    if code.is_success() {
        return Ok(bytes);
    }
    let quoted = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED_BYTES_MAX)]).trim().to_owned();
    Err(match code {
        StatusCode::NOT_FOUND => "the server could not find the requested resource".to_owned(),
        code if code.is_server_error() => {
            format!("an error on the server ({quoted:?}) has prevented the request from succeeding")
        }
        code => format!(
            "the server responded with the status code {} but did not return more details: {quoted}",
            code.as_u16()
        ),
    })
}
