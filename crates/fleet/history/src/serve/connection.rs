//! Connections: TLS, HTTP, limits on everything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use muster_base::port;
use muster_base::task::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Service;
use super::reply::{Asked, Reply};
use super::tls::{Keys, common_name};

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// A review holds an object twice, each below 1.5 MiB.
const BODY_BYTES_MAX: usize = 8 << 20;
const CONNECTIONS_MAX: usize = 256;
/// Questions worked on at once; others wait.
const STREAMS_MAX: u32 = 64;

/// Serves until shutdown begins.
pub(super) fn listen(listener: TcpListener, keys: Arc<Keys>, service: Arc<Service>, tasks: &Tasks) {
    port::serve(listener, CONNECTIONS_MAX, "history", tasks, move |stream, shutdown| {
        connection(stream, TlsAcceptor::from(keys.settings()), Arc::clone(&service), shutdown)
    });
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    service: Arc<Service>,
    shutdown: CancellationToken,
) {
    let stream = match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "no TLS with a client of the history"),
        Err(_) => return tracing::debug!("a client of the history did not finish the TLS handshake"),
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let proxy = certificates.and_then(|chain| common_name(chain.first()?));
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, proxy) = (Arc::clone(&service), proxy.clone());
        async move { Ok::<_, Infallible>(respond(&service, proxy, request).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client of the history left");
    }
}

async fn respond(
    service: &Service,
    proxy: Option<String>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Reply::refusal(StatusCode::BAD_REQUEST, "the body is too large or was cut off").response();
    };
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or("").to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
        proxy,
    };
    service.answer(asked).await.response()
}
