//! A server in memory with a clock that stands still, and short words for requests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use muster_apiserver::pki::{Pki, ServingNames};
use muster_apiserver::{
    ApiServer, Config, Identity, InProcess, Metrics, NodeDialer, Object, Parts, ReplyBody,
};
use muster_base::clock::{Clock, ManualClock, SystemClock};
use muster_base::task::Tasks;
use muster_store::{Limits, Store};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const START: &str = "2026-11-23T06:00:00Z";

pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) pki: Pki,
    pub(crate) tasks: Tasks,
    pub(crate) directory: tempfile::TempDir,
}

/// An answer: code, headers, document.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_dialer(Arc::new(muster_apiserver::NoNodes)).await
    }

    /// A server that real clients can talk to: they check certificates against the real time.
    pub(crate) async fn of_today() -> Self {
        Self::build(Arc::new(muster_apiserver::NoNodes), SystemClock.now(), None).await
    }

    pub(crate) async fn with_dialer(dialer: Arc<dyn NodeDialer>) -> Self {
        Self::build(dialer, START.parse().expect("a time"), None).await
    }

    /// A server on a store of its own.
    pub(crate) async fn on(store: Store<Object>) -> Self {
        Self::build(Arc::new(muster_apiserver::NoNodes), START.parse().expect("a time"), Some(store)).await
    }

    async fn build(
        dialer: Arc<dyn NodeDialer>,
        start: jiff::Timestamp,
        store: Option<Store<Object>>,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(ManualClock::new(start));
        let config = Config::new(([127, 0, 0, 1], 6443).into());
        let names = ServingNames { dns: vec!["machine-1".into()], addresses: config.serving_addresses() };
        let pki = Pki::open(&directory.path().join("pki"), &names, clock.now()).expect("keys");
        let tasks = Tasks::new();
        let metrics = Metrics::register(&mut Registry::default());
        let parts = Parts {
            clock: clock.clone(),
            tasks: tasks.clone(),
            signing_key: pki.signing_key().expect("a signing key"),
            authority_pem: pki.authority_pem().to_owned(),
            front_proxy: pki.front_proxy(clock.now()).expect("keys"),
            metrics,
            exposition: Arc::new(|| "# EOF\n".to_owned()),
            dialer,
        };
        let store = store.unwrap_or_else(|| Store::in_memory(Limits::default()));
        let server = ApiServer::build(config, store, parts).await.expect("a server");
        Self { server, clock, pki, tasks, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn admin(&self) -> User<'_> {
        self.user(Identity::new("admin", &["system:masters"]))
    }

    pub(crate) fn user(&self, identity: Identity) -> User<'_> {
        User { world: self, identity }
    }

    /// A ServiceAccount `default` in `default`, so that pods can be made.
    pub(crate) async fn with_default_account(self) -> Self {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let made = self.admin().post("/api/v1/namespaces/default/serviceaccounts", &account).await;
        assert_eq!(made.code, 201, "{}", made.body);
        self
    }
}

pub(crate) struct User<'a> {
    world: &'a World,
    identity: Identity,
}

impl User<'_> {
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let service = InProcess::new(self.world.server.clone(), self.identity.clone());
        let reply = service.oneshot(request).await.expect("the service does not fail");
        let (parts, body) = reply.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { code: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Vec::new()).await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send("GET", path, &[("accept", accept)], Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().into_bytes()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string().into_bytes()).await
    }

    pub(crate) async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        let content_type = format!("application/{kind}");
        self.send("PATCH", path, &[("content-type", &content_type)], body.to_string().into_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Answer {
        let body = if options.is_null() { Vec::new() } else { options.to_string().into_bytes() };
        self.send("DELETE", path, &[], body).await
    }

    /// Opens a watch.
    pub(crate) async fn watch(&self, path: &str) -> Events {
        let request = Request::get(path).body(Full::new(Bytes::new())).expect("a request");
        let service = InProcess::new(self.world.server.clone(), self.identity.clone());
        let reply = service.oneshot(request).await.expect("the service does not fail");
        assert_eq!(reply.status(), 200);
        Events { body: reply.into_body(), rest: Vec::new() }
    }
}

/// The frames of a watch.
pub(crate) struct Events {
    body: ReplyBody,
    rest: Vec<u8>,
}

impl Events {
    /// The next frame; `None` at the end. Fails after five seconds.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a frame is JSON"));
            }
            let frame = tokio::time::timeout(Duration::from_secs(5), self.body.frame()).await;
            let frame = frame.expect("a frame within five seconds")?.expect("no error");
            self.rest.extend_from_slice(frame.data_ref().expect("data"));
        }
    }

    /// The next frame as `TYPE name`, or `TYPE` alone.
    pub(crate) async fn line(&mut self) -> String {
        let frame = self.next().await.expect("another frame");
        let name = frame["object"]["metadata"]["name"].as_str().unwrap_or("");
        format!("{} {name}", frame["type"].as_str().unwrap_or("")).trim().to_owned()
    }
}

pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "example/app:1"}]},
    })
}

/// The parts of a Status that a client branches on.
pub(crate) fn status(answer: &Answer) -> String {
    let text = |key: &str| answer.body[key].as_str().unwrap_or("").to_owned();
    format!("{} {}: {}", answer.code.as_u16(), text("reason"), text("message"))
}
