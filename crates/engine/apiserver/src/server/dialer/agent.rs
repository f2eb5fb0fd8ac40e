//! The way to a node's agent over its own port, as a Kubernetes API server goes to a kubelet.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, BodyStream, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use muster_base::task::{Kind, Tasks};
use muster_store::{Key, Store};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{ByteStream, DialError, Follow, LogOptions, NodeDialer, Previous, Timestamps};
use crate::object::Object;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const REFUSAL_BYTES_MAX: usize = 4096;

/// Dials the address and port in a Node's status, with a client certificate.
pub struct AgentDialer {
    store: Store<Object>,
    tls: TlsConnector,
    tasks: Tasks,
}

impl AgentDialer {
    /// A dialer; `tls` is what [`crate::pki::Pki::agent_tls`] makes.
    pub fn new(store: Store<Object>, tls: Arc<rustls::ClientConfig>, tasks: Tasks) -> Self {
        Self { store, tls: TlsConnector::from(tls), tasks }
    }

    fn address(&self, node: &str) -> Result<(String, u16), DialError> {
        let unreachable =
            |reason: &str| DialError::Unreachable { node: node.to_owned(), reason: reason.to_owned() };
        let entry = self
            .store
            .get(&Key::new("nodes", "", node))
            .ok_or_else(|| unreachable("there is no such node"))?;
        let document = entry.value.stored_document(entry.revision.get());
        let addresses = document["status"]["addresses"].as_array().cloned().unwrap_or_default();
        let of_kind = |kind: &str| addresses.iter().find(|one| one["type"] == kind);
        let address = of_kind("InternalIP").or_else(|| of_kind("Hostname"));
        let host = address.and_then(|one| one["address"].as_str());
        let host = host.ok_or_else(|| unreachable("it has reported no address"))?.to_owned();
        let port = document["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
        let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        Ok((host, port.ok_or_else(|| unreachable("it has reported no port of its agent"))?))
    }
}

impl NodeDialer for AgentDialer {
    fn logs(&self, node: &str, options: LogOptions) -> BoxFuture<'static, Result<ByteStream, DialError>> {
        let (tls, tasks, node) = (self.tls.clone(), self.tasks.clone(), node.to_owned());
        let address = self.address(&node);
        Box::pin(async move {
            let (host, port) = address?;
            let response = ask(&tls, &tasks, &host, port, &path(&options))
                .await
                .map_err(|reason| DialError::Unreachable { node: node.clone(), reason })?;
            read(&node, response).await
        })
    }
}

fn path(options: &LogOptions) -> String {
    let LogOptions { namespace, pod, container, .. } = options;
    let mut path = format!("/containerLogs/{namespace}/{pod}/{container}?");
    let flags = [
        ("follow", options.follow == Follow::Yes),
        ("previous", options.previous == Previous::Yes),
        ("timestamps", options.timestamps == Timestamps::Yes),
    ];
    for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
        path.push_str(&format!("{name}=true&"));
    }
    let values = [
        ("tailLines", options.tail_lines.map(|lines| lines.to_string())),
        ("limitBytes", options.limit_bytes.map(|bytes| bytes.to_string())),
        ("sinceSeconds", options.since_seconds.map(|seconds| seconds.to_string())),
        ("sinceTime", options.since_time.map(|time| time.to_string())),
    ];
    for (name, value) in values {
        if let Some(value) = value {
            path.push_str(&format!("{name}={value}&"));
        }
    }
    path.trim_end_matches(['&', '?']).to_owned()
}

async fn ask(
    tls: &TlsConnector,
    tasks: &Tasks,
    host: &str,
    port: u16,
    path: &str,
) -> Result<Response<Incoming>, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    let connect = async {
        let stream =
            TcpStream::connect((host, port)).await.map_err(|error| format!("{host}:{port}: {error}"))?;
        tls.connect(name, stream).await.map_err(|error| format!("{host}:{port}: no TLS: {error}"))
    };
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect)
        .await
        .map_err(|_| format!("{host}:{port}: no connection within {CONNECT_TIMEOUT:?}"))??;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("{host}:{port}: {error}"))?;
    tasks.spawn(Kind::Request, "connection to a node's agent", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a node's agent ended early");
        }
    });
    let request = Request::get(path).header("host", host).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request)).await;
    answer
        .map_err(|_| format!("{host}:{port}: no answer within {ANSWER_TIMEOUT:?}"))?
        .map_err(|error| format!("{host}:{port}: {error}"))
}

async fn read(node: &str, response: Response<Incoming>) -> Result<ByteStream, DialError> {
    let code = response.status();
    if code == StatusCode::OK {
        let frames = BodyStream::new(response.into_body());
        let chunks = futures::StreamExt::filter_map(frames, |frame| async {
            match frame {
                Ok(frame) => frame.into_data().ok(),
                Err(error) => {
                    tracing::debug!(%error, "a node's agent broke off");
                    None
                }
            }
        });
        return Ok(Box::pin(chunks));
    }
    let text = match Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(match code {
        StatusCode::NOT_FOUND => DialError::NotFound { reason: text },
        StatusCode::BAD_REQUEST => DialError::BadRequest { reason: text },
        code => {
            DialError::Unreachable { node: node.to_owned(), reason: format!("it answered {code}: {text}") }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_asked_for_what_the_client_asked_for() {
        let mut options = LogOptions {
            namespace: "default".into(),
            pod: "p".into(),
            container: "c".into(),
            ..LogOptions::default()
        };
        assert_eq!(path(&options), "/containerLogs/default/p/c");
        options.follow = Follow::Yes;
        options.tail_lines = Some(5);
        options.since_time = Some("2026-11-23T06:00:00Z".parse().unwrap());
        assert_eq!(
            path(&options),
            "/containerLogs/default/p/c?follow=true&tailLines=5&sinceTime=2026-11-23T06:00:00Z"
        );
    }
}
