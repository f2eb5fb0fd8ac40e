//! One request, one connection: that a command could not be sent is then known for certain.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, ETAG, HOST, IF_MATCH};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::access::Access;
use crate::address::Address;

const BODY_BYTES_MAX: usize = 1 << 20;

/// How a request ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Before it was sent.
    Before(String),
    /// After it may have been sent.
    After(String),
}

impl Lost {
    pub(super) fn words(self) -> String {
        match self {
            Self::Before(words) | Self::After(words) => words,
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) etag: Option<String>,
    /// Null where the body was no JSON.
    pub(super) body: Value,
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    pub(super) if_match: Option<&'a str>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, if_match: None }
    }
}

pub(super) struct Http {
    address: Address,
    /// None: nobody is told who asks.
    authorization: Option<String>,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
}

impl Http {
    pub(super) fn new(
        address: Address,
        access: &Access,
        tls: Option<Arc<ClientConfig>>,
        timeout: Duration,
    ) -> Self {
        let authorization = (!access.username.is_empty()).then(|| {
            let pair = BASE64_STANDARD.encode(format!("{}:{}", access.username, access.password));
            format!("Basic {pair}")
        });
        Self { address, authorization, tls, timeout }
    }

    pub(super) async fn request(&self, ask: &Ask<'_>) -> Result<Reply, Lost> {
        let late = || format!("no answer within {} s", self.timeout.as_secs_f32());
        let deadline = tokio::time::Instant::now() + self.timeout;
        let request = self.build(ask)?;
        let connected = tokio::time::timeout_at(deadline, self.connect()).await;
        let stream =
            connected.map_err(|_| Lost::Before(late())).and_then(|stream| stream.map_err(Lost::Before))?;
        let exchanged = tokio::time::timeout_at(deadline, exchange(stream, request)).await;
        exchanged.map_err(|_| Lost::After(late())).and_then(|reply| reply.map_err(Lost::After))
    }

    fn build(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, Lost> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(ask.path)
            .header(HOST, self.address.controller())
            .header(ACCEPT, "application/json")
            .header("OData-Version", "4.0")
            .header(CONNECTION, "close");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(etag) = ask.if_match {
            request = request.header(IF_MATCH, etag);
        }
        let bytes = match ask.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(bytes)).map_err(|error| Lost::Before(format!("{}: {error}", ask.path)))
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let socket = TcpStream::connect((self.address.host.as_str(), self.address.port))
            .await
            .map_err(|error| error.to_string())?;
        let Some(config) = &self.tls else { return Ok(Box::new(socket)) };
        let name = ServerName::try_from(self.address.host.clone()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, socket)
            .await
            .map_err(|error| format!("TLS: {error}"))?;
        Ok(Box::new(stream))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn exchange(stream: Box<dyn Stream>, request: Request<Full<Bytes>>) -> Result<Reply, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
        let etag = head.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        Ok(Reply { status: head.status, etag, body })
    };
    let mut talk = std::pin::pin!(talk);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        reply = &mut talk => reply,
        // The connection may end before the body was read out of its buffers.
        ended = &mut connection => match ended {
            Ok(()) => talk.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
