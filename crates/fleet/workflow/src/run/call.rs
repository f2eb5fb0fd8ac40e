//! Calls web services, each apart from the passes, and keeps the answers until the run has taken them over.
//!
//! Answers are kept in memory alone: after a crash a call is repeated under the same key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::{Client, Config};
use muster_api::workflow::WebhookTemplate;
use muster_base::task::{Kind, Tasks};
use muster_control::{Cause, ObjectKey, Queue, explain};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Semaphore;

/// Calls under way at once; further ones wait.
const CALLS_MAX: usize = 64;
/// Bytes of an answer that are kept.
const ANSWER_MAX: usize = 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const KEY_HEADER: &str = "idempotency-key";

/// A call that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Run, step and attempt.
    pub key: String,
    pub webhook: WebhookTemplate,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    UnderWay,
    /// It was answered.
    Status {
        /// Of HTTP.
        code: u16,
        /// The begin of the body.
        text: String,
    },
    /// It was not.
    Failed(String),
}

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("the address is no URL")]
    Address(#[from] http::uri::InvalidUri),
    #[error("the certificate authority is not PEM: {0}")]
    Authority(rustls::pki_types::pem::Error),
    #[error("the request cannot be built")]
    Request(#[from] http::Error),
    #[error("no answer")]
    Send(#[from] kube::Error),
    #[error("no answer within {} s", .0.as_secs())]
    TooLate(Duration),
}

/// Makes calls.
#[derive(Clone)]
pub(crate) struct Caller {
    tasks: Tasks,
    places: Arc<Semaphore>,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
}

impl Caller {
    pub(crate) fn new(tasks: &Tasks) -> Self {
        Self { tasks: tasks.clone(), places: Arc::new(Semaphore::new(CALLS_MAX)), answers: Arc::default() }
    }

    pub(crate) fn answer(&self, key: &str) -> Option<Answer> {
        self.answers.lock().get(key).cloned()
    }

    /// The answer was taken over.
    pub(crate) fn forget(&self, key: &str) {
        let mut answers = self.answers.lock();
        if !matches!(answers.get(key), Some(Answer::UnderWay)) {
            answers.remove(key);
        }
    }

    /// Begins a call, unless it is under way; `run` is looked at when it has its answer.
    pub(crate) fn begin(&self, call: Call, run: ObjectKey, queue: &Queue<ObjectKey>) {
        let known = self.answers.lock().insert(call.key.clone(), Answer::UnderWay);
        if known == Some(Answer::UnderWay) {
            return;
        }
        let (caller, queue) = (self.clone(), queue.clone());
        self.tasks.spawn(Kind::Job, format!("call {}", call.key), async move {
            let answer = caller.make(&call).await;
            caller.answers.lock().insert(call.key, answer);
            queue.add(run, Cause::Watch);
        });
    }

    async fn make(&self, call: &Call) -> Answer {
        let Ok(_place) = self.places.acquire().await else {
            return Answer::Failed("this program ends".to_owned());
        };
        let timeout = call.webhook.timeout.map_or(TIMEOUT, |timeout| timeout.0).min(TIMEOUT_MAX);
        let sent = tokio::time::timeout(timeout, send(call, timeout)).await;
        match sent.unwrap_or(Err(CallError::TooLate(timeout))) {
            Ok((code, text)) => Answer::Status { code, text },
            Err(error) => Answer::Failed(explain(&error)),
        }
    }
}

/// The client of a service: the URL without its path, and whom it trusts.
fn client(webhook: &WebhookTemplate, timeout: Duration) -> Result<(Client, String), CallError> {
    let url: http::Uri = webhook.url.parse()?;
    let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut base = url.into_parts();
    base.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let base = http::Uri::from_parts(base).map_err(http::Error::from)?;
    let mut config = Config::new(base);
    config.connect_timeout = Some(timeout);
    config.read_timeout = Some(timeout);
    if !webhook.ca.is_empty() {
        let certificates = CertificateDer::pem_slice_iter(webhook.ca.as_bytes());
        let certificates: Result<Vec<_>, _> =
            certificates.map(|certificate| certificate.map(|der| der.to_vec())).collect();
        config.root_cert = Some(certificates.map_err(CallError::Authority)?);
    }
    Ok((Client::try_from(config)?, path))
}

async fn send(call: &Call, timeout: Duration) -> Result<(u16, String), CallError> {
    let (client, path) = client(&call.webhook, timeout)?;
    let mut request = http::Request::post(path).header(KEY_HEADER, &call.key);
    if !call.webhook.headers.keys().any(|name| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str())) {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in &call.webhook.headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(call.webhook.body.clone().into_bytes()))?;
    let response = client.send(request).await?;
    let code = response.status().as_u16();
    let mut body = response.into_body();
    let mut text: Vec<u8> = Vec::new();
    while text.len() < ANSWER_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Ok(data) = frame.into_data() {
            text.extend_from_slice(&data);
        }
    }
    text.truncate(ANSWER_MAX);
    Ok((code, String::from_utf8_lossy(&text).trim().to_owned()))
}
