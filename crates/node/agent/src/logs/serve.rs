//! `/containerLogs/NAMESPACE/POD/CONTAINER` over mutual TLS: what a Kubernetes API server asks of a node.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_base::clock::SharedClock;
use muster_base::port;
use muster_base::task::Tasks;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::read::{Follow, Options, Reader, Since, Timestamps, Which};
use super::{LogError, Logs, Target};

/// Who may ask, and as whom we answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The authority that signs client certificates.
    pub client_ca: PathBuf,
    /// Common names and organizations that may read logs. A certificate of the authority alone is not enough.
    pub readers: Vec<String>,
    /// Names and addresses in our own certificate.
    pub names: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("log server: cannot read the client CA {}", .path.display())]
    ClientCa {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("log server: the client CA {} is not usable", .path.display())]
    Verifier {
        path: PathBuf,
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    #[error("log server: the client CA {} holds a certificate that is not one", .path.display())]
    Root {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("log server: cannot make a certificate of our own")]
    Certificate(#[source] rcgen::Error),
    #[error("log server: the TLS settings do not fit together")]
    Tls(#[source] rustls::Error),
    #[error("log server: cannot listen on {address}: give the agent another address or port")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// A bound server.
pub struct Server {
    listener: TcpListener,
    desk: Arc<Desk>,
}

/// What answers a connection.
struct Desk {
    acceptor: TlsAcceptor,
    readers: Arc<[String]>,
    logs: Logs,
    clock: SharedClock,
}

type Body = BoxBody<Bytes, io::Error>;

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// A log that is followed holds one.
const CONNECTIONS_MAX: usize = 1024;
const LOOK_EVERY: Duration = Duration::from_millis(200);

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServeError> {
    let path = || tls.client_ca.clone();
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&tls.client_ca)
        .map_err(|source| ServeError::ClientCa { path: path(), source })?;
    for certificate in certificates {
        let certificate = certificate.map_err(|source| ServeError::ClientCa { path: path(), source })?;
        roots.add(certificate).map_err(|source| ServeError::Root { path: path(), source })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build();
    let verifier = verifier.map_err(|source| ServeError::Verifier { path: path(), source })?;
    let own = rcgen::generate_simple_self_signed(tls.names.clone()).map_err(ServeError::Certificate)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServeError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.cert.der().clone()], key)
        .map_err(ServeError::Tls)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The common name and the organizations of a certificate.
fn subject(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return Vec::new() };
    let subject = parsed.subject();
    let names = subject.iter_common_name().chain(subject.iter_organization());
    names.filter_map(|name| name.as_str().ok().map(str::to_owned)).collect()
}

impl Server {
    /// # Errors
    /// The settings are wrong or the address is taken.
    pub async fn bind(
        address: SocketAddr,
        tls: &Tls,
        logs: Logs,
        clock: SharedClock,
    ) -> Result<Self, ServeError> {
        let acceptor = acceptor(tls)?;
        let listener =
            TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self {
            listener,
            desk: Arc::new(Desk { acceptor, readers: tls.readers.clone().into(), logs, clock }),
        })
    }

    /// Serves until shutdown begins.
    pub fn start(self, tasks: &Tasks) {
        port::serve(self.listener, CONNECTIONS_MAX, "log", tasks, move |stream, shutdown| {
            let desk = Arc::clone(&self.desk);
            async move { shutdown.run_until_cancelled(desk.connection(stream)).await.unwrap_or_default() }
        });
    }
}

impl Desk {
    async fn connection(&self, stream: TcpStream) {
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, self.acceptor.accept(stream)).await else {
            return;
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let names = certificates.first().map(subject).unwrap_or_default();
        let allowed = names.iter().any(|name| self.readers.contains(name));
        let service = service_fn(|request: Request<Incoming>| async move {
            Ok::<_, Infallible>(if allowed {
                self.answer(&request)
            } else {
                plain(StatusCode::FORBIDDEN, "not a reader of logs\n")
            })
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "a log client left");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let parts: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let ["containerLogs", namespace, pod, container] = parts[..] else {
            return plain(StatusCode::NOT_FOUND, "unknown path\n");
        };
        if request.method() != http::Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        let options = match options(request.uri().query().unwrap_or_default()) {
            Ok(options) => options,
            Err(why) => return plain(StatusCode::BAD_REQUEST, &why),
        };
        let target =
            Target { namespace: namespace.to_owned(), pod: pod.to_owned(), container: container.to_owned() };
        match self.logs.stream(target, options, &self.clock) {
            Ok(stream) => Response::new(BodyExt::boxed(StreamBody::new(stream))),
            Err(error @ (LogError::NoPod { .. } | LogError::NoContainer { .. })) => {
                plain(StatusCode::NOT_FOUND, &error.to_string())
            }
            Err(error @ (LogError::NotStarted { .. } | LogError::NoPrevious { .. })) => {
                plain(StatusCode::BAD_REQUEST, &error.to_string())
            }
            Err(error @ LogError::Read { .. }) => {
                plain(StatusCode::INTERNAL_SERVER_ERROR, &muster_base::error::chain(&error))
            }
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// The query of the Kubernetes log endpoint. Names are fixed and values are numbers, times or flags: nothing to unescape but
/// the colons of a time.
fn options(query: &str) -> Result<Options, String> {
    let mut options = Options::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace("%3A", ":").replace("%3a", ":").replace("%2B", "+");
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value:?} is not a number\n"));
        let flag = matches!(value.as_str(), "true" | "1");
        match name {
            "follow" if flag => options.follow = Follow::ForEver,
            "timestamps" if flag => options.timestamps = Timestamps::Show,
            "previous" if flag => options.which = Which::Previous,
            "tailLines" => options.tail_lines = Some(number()?),
            "limitBytes" => options.limit_bytes = Some(number()?),
            "sinceSeconds" => {
                options.since = Some(Since::Seconds(i64::try_from(number()?).unwrap_or(i64::MAX)))
            }
            "sinceTime" => {
                let time =
                    value.parse().map_err(|_| format!("sinceTime: {value:?} is not a time (RFC 3339)\n"))?;
                options.since = Some(Since::Time(time));
            }
            _ => {}
        }
    }
    Ok(options)
}

struct Following {
    reader: Reader,
    logs: Logs,
    target: Target,
    follow: Follow,
    ended: bool,
}

impl Logs {
    /// A log as a stream of frames; with `follow` it ends when its container has.
    ///
    /// # Errors
    /// See [`Logs::open`].
    pub fn stream(
        &self,
        target: Target,
        options: Options,
        clock: &SharedClock,
    ) -> Result<impl Stream<Item = io::Result<Frame<Bytes>>> + Send + Sync + 'static, LogError> {
        let reader = self.open(&target, options, clock.now())?;
        let state = Following { reader, logs: self.clone(), target, follow: options.follow, ended: false };
        Ok(futures::stream::try_unfold(state, |mut state| async move {
            loop {
                let chunk = state.reader.next_chunk()?;
                if !chunk.is_empty() {
                    return Ok(Some((Frame::data(Bytes::from(chunk)), state)));
                }
                if state.ended || state.follow == Follow::ToTheEnd || state.reader.is_full() {
                    return Ok(None);
                }
                // Once its end is known, one more look takes what was written meanwhile.
                state.ended = !state.logs.may_grow(&state.target);
                if !state.ended {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_as_kubectl_writes_it() {
        let read = options(
            "follow=true&tailLines=5&timestamps=true&sinceTime=2026-11-01T14%3A00%3A00Z&previous=false",
        )
        .unwrap();
        let since = Since::Time("2026-11-01T14:00:00Z".parse().unwrap());
        let expect = Options {
            follow: Follow::ForEver,
            tail_lines: Some(5),
            timestamps: Timestamps::Show,
            since: Some(since),
            ..Options::default()
        };
        assert_eq!(read, expect);
        assert_eq!(options("tailLines=x").unwrap_err(), "tailLines: \"x\" is not a number\n");
        assert_eq!(options("").unwrap(), Options::default());
    }
}
