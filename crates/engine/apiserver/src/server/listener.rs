//! The port: TLS, HTTP/1.1 and HTTP/2, client certificates, and an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use muster_base::task::Kind;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{ApiServer, Reply};
use crate::authn::{Identity, of_certificate};

/// TLS settings, see [`crate::pki::Pki::tls`].
pub type Tls = Arc<rustls::ServerConfig>;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const STREAMS_MAX: u32 = 1000;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the port ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The listener's address is not to be had from the system.
    #[error("the listener's own address is unknown")]
    LocalAddress(#[source] std::io::Error),
}

/// Who a connection belongs to.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    certificate: Option<(Identity, std::ops::RangeInclusive<i64>)>,
}

impl ApiServer {
    /// Serves `listener` until `shutdown`; then lets requests under way end. Connections are tasks of the
    /// server's own set, so that draining that set waits for them.
    pub async fn run(
        &self,
        listener: TcpListener,
        tls: Tls,
        shutdown: CancellationToken,
    ) -> Result<(), ListenError> {
        let acceptor = TlsAcceptor::from(tls);
        let local = listener.local_addr().map_err(ListenError::LocalAddress)?;
        tracing::info!(address = %local, "serving the API");
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => return Ok(()),
            };
            match accepted {
                Ok((stream, address)) => {
                    let connection =
                        self.clone().connection(stream, address, acceptor.clone(), shutdown.clone());
                    self.0.tasks.spawn(Kind::Request, "api connection", connection);
                }
                Err(error) => {
                    // Out of file descriptors, most likely: connections that end give some back.
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(
        self,
        stream: TcpStream,
        address: SocketAddr,
        acceptor: TlsAcceptor,
        shutdown: CancellationToken,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%address, %error, "cannot turn off Nagle's algorithm");
        }
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(%address, %error, "no TLS with a client"),
            Err(_) => return debug!(%address, "a client did not finish the TLS handshake in time"),
        };
        let certificate =
            stream.get_ref().1.peer_certificates().and_then(|chain| of_certificate(chain.first()?));
        let peer = Peer { address, certificate };
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, peer) = (self.clone(), peer.clone());
            async move { Ok::<_, std::convert::Infallible>(server.answer_socket(&peer, request).await) }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%address, %error, "a connection ended early");
        }
    }

    async fn answer_socket(&self, peer: &Peer, mut request: Request<Incoming>) -> Reply {
        request.extensions_mut().insert(peer.address);
        let now = self.0.clock.now().as_second();
        let certified = peer.certificate.as_ref().filter(|(_, validity)| validity.contains(&now));
        match self.authenticate(certified.map(|(identity, _)| identity), request.headers()) {
            Ok(identity) => self.handle(identity, request).await,
            Err(refusal) => super::reply::refusal(&refusal, crate::request::Syntax::Json),
        }
    }
}
