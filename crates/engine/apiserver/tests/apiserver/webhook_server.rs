//! A webhook on a port of its own: what it was asked, and answers that a test chooses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster_apiserver::pki::ServingNames;
use muster_base::clock::Clock;
use muster_base::task::Kind;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::World;

type Answer = dyn Fn(&Value) -> Value + Send + Sync;

pub(crate) struct WebhookServer {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Value>>>,
    connections: Arc<AtomicUsize>,
}

impl WebhookServer {
    /// Answers each `request` of a review with the `response` that `answer` makes; null never answers.
    pub(crate) async fn start(
        world: &World,
        answer: impl Fn(&Value) -> Value + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let acceptor = tokio_rustls::TlsAcceptor::from(tls(world));
        let server = Self { port, asked: Arc::default(), connections: Arc::default() };
        let (asked, connections) = (Arc::clone(&server.asked), Arc::clone(&server.connections));
        let answer: Arc<Answer> = Arc::new(answer);
        let tasks = world.tasks.clone();
        world.tasks.spawn(Kind::Request, "webhook", async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                connections.fetch_add(1, Ordering::Relaxed);
                let (asked, answer, acceptor) = (Arc::clone(&asked), Arc::clone(&answer), acceptor.clone());
                tasks.spawn(Kind::Request, "webhook connection", async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| respond(&asked, &*answer, request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    connection.await.unwrap_or_default();
                });
            }
        });
        server
    }

    /// The `request` of every review so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().clone()
    }

    /// The operations and kinds it was asked about: `CREATE ConfigMap a`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let line = |one: &Value| {
            format!("{} {} {}", text(&one["operation"]), text(&one["kind"]["kind"]), text(&one["name"]))
        };
        self.asked.lock().iter().map(line).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// `clientConfig` for a path of it.
    pub(crate) fn client(&self, world: &World, path: &str) -> Value {
        json!({"url": format!("https://127.0.0.1:{}{path}", self.port), "caBundle": bundle(world)})
    }
}

/// The test authority, as `caBundle`.
pub(crate) fn bundle(world: &World) -> String {
    STANDARD.encode(world.pki.authority_pem())
}

fn tls(world: &World) -> Arc<rustls::ServerConfig> {
    let names = ServingNames {
        dns: vec!["hook.default.svc".into()],
        addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
    };
    let made = world.pki.server("hook", &names, world.clock.now()).expect("a certificate");
    let chain = vec![CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("versions").with_no_client_auth().with_single_cert(chain, key);
    Arc::new(config.expect("a certificate with its key"))
}

async fn respond(
    asked: &Mutex<Vec<Value>>,
    answer: &Answer,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let body = request.into_body().collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body).expect("a review");
    let mut question = review["request"].clone();
    question["path"] = json!(path);
    asked.lock().push(question.clone());
    let mut response = answer(&question);
    if response.is_null() {
        std::future::pending::<()>().await;
    }
    response["uid"] = question["uid"].clone();
    let review =
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
    Ok(Response::new(Full::new(Bytes::from(review.to_string()))))
}

/// An answer that changes the object.
pub(crate) fn patched(operations: &Value) -> Value {
    let patch = STANDARD.encode(operations.to_string());
    json!({"allowed": true, "patchType": "JSONPatch", "patch": patch})
}
