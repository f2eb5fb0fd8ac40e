//! The way to servers that extend this one: webhooks and aggregated APIs. HTTPS, with connections kept.

mod resolve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use muster_store::Store;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;

use crate::object::Object;
use crate::pki::{AnyCertificate, FrontProxy};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
const IDLE_MAX: usize = 32;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At a name or address.
    Host { host: String, port: u16 },
    /// Behind a Service; resolved whenever a connection is made.
    Service { namespace: String, name: String, port: u16 },
}

impl Place {
    /// The host that requests and certificates name.
    fn host(&self) -> String {
        match self {
            Self::Host { host, .. } => host.clone(),
            Self::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        }
    }

    /// Host and port as a URL has them.
    pub(crate) fn authority(&self) -> String {
        let (Self::Host { port, .. } | Self::Service { port, .. }) = self;
        format!("{}:{port}", self.host())
    }

    fn addresses(&self, store: &Store<Object>) -> Result<Vec<SocketAddr>, String> {
        match self {
            Self::Host { .. } => Ok(Vec::new()),
            Self::Service { namespace, name, port } => resolve::service(store, namespace, name, *port),
        }
    }
}

/// Which certificates a server may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those that an authority of this PEM bundle signed.
    Bundle(Vec<u8>),
    /// Those that the system's authorities signed.
    System,
    /// Any (`insecureSkipTLSVerify`).
    Anything,
}

/// Why no request can be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// The host is no name that a certificate could be for.
    #[error("{host:?} is not a valid server name")]
    ServerName { host: String },
    /// The bundle holds no certificate.
    #[error("unable to load root certificates: unable to parse bytes as PEM block")]
    Bundle,
    /// The client certificate or the protocol versions do not fit.
    #[error("TLS refuses the settings: {0}")]
    Tls(#[from] rustls::Error),
}

/// Finds a connection to a place.
#[derive(Clone)]
struct Dial {
    place: Arc<Place>,
    store: Store<Object>,
}

impl Dial {
    async fn connect(self) -> std::io::Result<TokioIo<TcpStream>> {
        let addresses = self.place.addresses(&self.store).map_err(std::io::Error::other)?;
        let connect = async {
            match &*self.place {
                Place::Host { host, port } => {
                    let bare = host.trim_start_matches('[').trim_end_matches(']');
                    let refused = |error| std::io::Error::other(format!("dial tcp {host}:{port}: {error}"));
                    TcpStream::connect((bare, *port)).await.map_err(refused)
                }
                Place::Service { .. } => first(&addresses).await,
            }
        };
        let late = |_| std::io::Error::other(format!("dial tcp {}: i/o timeout", self.place.authority()));
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(late)??;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }
}

async fn first(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    let mut failed = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(std::io::Error::other(format!("dial tcp {address}: {error}"))),
        }
    }
    Err(failed.unwrap_or_else(|| std::io::Error::other("no endpoints available")))
}

impl tower::Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// A server, with the connections to it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Backend {
    place: Arc<Place>,
    client: Client<HttpsConnector<Dial>, Full<Bytes>>,
}

impl Backend {
    /// A way to `place`, which must show a certificate of `trust` and is shown `own`.
    pub(crate) fn new(
        place: Place,
        trust: &Trust,
        own: Option<&FrontProxy>,
        store: &Store<Object>,
    ) -> Result<Self, BackendError> {
        let host = place.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| BackendError::ServerName { host })?;
        let place = Arc::new(place);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(trust, own)?)
            .https_only()
            .with_server_name_resolver(FixedServerNameResolver::new(name))
            .enable_http1()
            .wrap_connector(Dial { place: Arc::clone(&place), store: store.clone() });
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { place, client })
    }

    /// The URL of a path there.
    pub(crate) fn url(&self, path_and_query: &str) -> String {
        format!("https://{}{path_and_query}", self.place.authority())
    }

    /// Sends a request. The caller sets the time it may take.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        self.client.request(request).await
    }
}

/// What went wrong, with the causes that say where: those of TLS and of the system.
pub(crate) fn explain(error: &ClientError) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn tls(trust: &Trust, own: Option<&FrontProxy>) -> Result<ClientConfig, BackendError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::Bundle(pem) => builder.with_root_certificates(bundle(pem)?),
        Trust::System => builder.with_root_certificates(system()),
        Trust::Anything => {
            let verifier = Arc::new(AnyCertificate::new(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    Ok(match own {
        Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
        None => builder.with_no_client_auth(),
    })
}

fn bundle(pem: &[u8]) -> Result<RootCertStore, BackendError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| BackendError::Bundle)?)?;
    }
    if roots.is_empty() { Err(BackendError::Bundle) } else { Ok(roots) }
}

fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
