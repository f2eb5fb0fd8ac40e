//! Calls web services and sends e-mails, each apart from the passes, and keeps the answers until they were taken over.
//!
//! Answers are kept in memory alone: after a crash a call is repeated under the same key.

pub(crate) mod mail;
pub(crate) mod notice;

use std::collections::HashMap;
use std::future::Future;
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

use notice::Telling;

pub use mail::Letter;

/// Calls under way at once; further ones wait.
const CALLS_MAX: usize = 64;
/// Bytes of an answer that are kept.
const ANSWER_MAX: usize = 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// How long one e-mail may take, the Secret included.
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);
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
        /// Of HTTP or SMTP.
        code: u16,
        /// The begin of the body, or what the mail server said.
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
}

/// Makes calls and sends e-mails.
#[derive(Clone)]
pub(crate) struct Caller {
    tasks: Tasks,
    /// Reads the Secrets of mail servers.
    client: Client,
    places: Arc<Semaphore>,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
}

impl Caller {
    pub(crate) fn new(tasks: &Tasks, client: Client) -> Self {
        let places = Arc::new(Semaphore::new(CALLS_MAX));
        Self { tasks: tasks.clone(), client, places, answers: Arc::default() }
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

    /// Begins a telling, unless it is under way.
    pub(crate) fn tell(&self, telling: Telling, of: ObjectKey, queue: &Queue<ObjectKey>) {
        match telling {
            Telling::Call(call) => self.call(*call, of, queue),
            Telling::Letter(letter) => self.mail(*letter, of, queue),
        }
    }

    /// Begins a call, unless it is under way; `of` is looked at when it has its answer.
    pub(crate) fn call(&self, call: Call, of: ObjectKey, queue: &Queue<ObjectKey>) {
        let timeout = call.webhook.timeout.map_or(TIMEOUT, |timeout| timeout.0).min(TIMEOUT_MAX);
        self.begin(call.key.clone(), of, queue, timeout, async move {
            match send(&call, timeout).await {
                Ok((code, text)) => Answer::Status { code, text },
                Err(error) => Answer::Failed(explain(&error)),
            }
        });
    }

    /// The same of an e-mail.
    pub(crate) fn mail(&self, letter: Letter, of: ObjectKey, queue: &Queue<ObjectKey>) {
        let client = self.client.clone();
        self.begin(
            letter.key.clone(),
            of,
            queue,
            MAIL_TIMEOUT,
            async move { deliver(&client, &letter).await },
        );
    }

    fn begin<F>(&self, key: String, of: ObjectKey, queue: &Queue<ObjectKey>, timeout: Duration, doing: F)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let known = self.answers.lock().insert(key.clone(), Answer::UnderWay);
        if known == Some(Answer::UnderWay) {
            return;
        }
        let (caller, queue) = (self.clone(), queue.clone());
        self.tasks.spawn(Kind::Job, format!("call {key}"), async move {
            let answer = match caller.places.acquire().await {
                Ok(_place) => within(timeout, doing).await,
                Err(_) => Answer::Failed("this program ends".to_owned()),
            };
            caller.answers.lock().insert(key, answer);
            queue.add(of, Cause::Watch);
        });
    }
}

async fn within(timeout: Duration, doing: impl Future<Output = Answer>) -> Answer {
    let done = tokio::time::timeout(timeout, doing).await;
    done.unwrap_or_else(|_| Answer::Failed(format!("no answer within {} s", timeout.as_secs_f32())))
}

async fn deliver(client: &Client, letter: &Letter) -> Answer {
    let sent = match mail::Access::read(client, &letter.mail).await {
        Ok(access) => mail::send(letter, &access).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok((code, text)) => Answer::Status { code, text },
        Err(error) => Answer::Failed(explain(&error)),
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
