//! The sockets of the cluster DNS.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use muster_base::error::chain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

use super::upstream::Upstream;
use super::wire::{self, Query, Step, Transport};
use super::zone::Zone;
use crate::directory::Directory;

/// Questions over UDP that wait for other servers; one more is answered with a failure at once.
const FORWARDS_MAX: usize = 512;
/// Open TCP connections; one more is closed at once.
const CONNECTIONS_MAX: usize = 128;
const TCP_IDLE: Duration = Duration::from_secs(10);
const PACKET_BYTES_MAX: usize = 65_535;

/// Why the DNS cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error(
        "the DNS cannot have {protocol} {address}; end the program that holds it or set another network.dns.address"
    )]
    Bind {
        protocol: &'static str,
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("network.dns.domain: {domain:?} is not a domain name")]
    Domain { domain: String },
}

/// What the directory is now; `None` until it is known.
pub type Picture = watch::Receiver<Option<Arc<Directory>>>;

/// The bound server.
#[derive(Debug)]
pub struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    zone: Zone,
    picture: Picture,
    upstream: Upstream,
}

impl Server {
    pub async fn bind(
        address: SocketAddr,
        zone: Zone,
        picture: Picture,
        upstream: Upstream,
    ) -> Result<Self, DnsError> {
        let bind = |protocol| move |source| DnsError::Bind { protocol, address, source };
        let udp = UdpSocket::bind(address).await.map_err(bind("UDP"))?;
        let tcp = TcpListener::bind(address).await.map_err(bind("TCP"))?;
        Ok(Self { udp, tcp, shared: Arc::new(Shared { zone, picture, upstream }) })
    }

    /// Serves until dropped.
    pub async fn run(self) {
        let Self { udp, tcp, shared } = self;
        tokio::join!(serve_udp(&udp, &shared), serve_tcp(&tcp, &shared));
    }
}

async fn serve_udp(socket: &UdpSocket, shared: &Shared) {
    let mut waiting: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = next_done(&mut waiting) => continue,
        };
        let (length, client) = match received {
            Ok(received) => received,
            // An ICMP message about an earlier answer: that client is gone.
            Err(error) => {
                tracing::debug!(%error, "receiving a DNS question");
                continue;
            }
        };
        let reply = match shared.step(&buffer[..length], Transport::Udp) {
            Immediate::Reply(reply) => reply,
            Immediate::Ignore => continue,
            Immediate::Ask(step) if waiting.len() < FORWARDS_MAX => {
                waiting.push(Box::pin(async move { send(socket, client, &shared.ask(step).await).await }));
                continue;
            }
            Immediate::Ask(step) => step.failure(),
        };
        send(socket, client, &reply).await;
    }
}

async fn next_done(waiting: &mut FuturesUnordered<BoxFuture<'_, ()>>) {
    if waiting.is_empty() {
        pending::<()>().await;
    }
    waiting.next().await;
}

async fn send(socket: &UdpSocket, client: SocketAddr, reply: &[u8]) {
    if reply.is_empty() {
        return;
    }
    if let Err(error) = socket.send_to(reply, client).await {
        tracing::debug!(%error, %client, "sending a DNS answer");
    }
}

async fn serve_tcp(listener: &TcpListener, shared: &Shared) {
    let mut open: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = next_done(&mut open) => continue,
        };
        match accepted {
            Ok((stream, _)) if open.len() < CONNECTIONS_MAX => open.push(Box::pin(converse(stream, shared))),
            Ok((_, client)) => tracing::debug!(%client, "too many DNS connections; one is closed"),
            Err(error) => {
                tracing::warn!(%error, "accepting a DNS connection");
                // Out of file descriptors: without a pause this would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, shared: &Shared) {
    while let Ok(Ok(question)) = timeout(TCP_IDLE, read_framed(&mut stream)).await {
        let reply = match shared.step(&question, Transport::Tcp) {
            Immediate::Reply(reply) => reply,
            Immediate::Ask(step) => shared.ask(step).await,
            Immediate::Ignore => return,
        };
        let Ok(length) = u16::try_from(reply.len()) else { return };
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        if !matches!(timeout(TCP_IDLE, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

enum Immediate {
    Reply(Vec<u8>),
    Ask(Ask),
    Ignore,
}

enum Ask {
    Forward(Query),
    Chase { query: Query, alias: Box<hickory_proto::rr::Record>, question: Vec<u8> },
}

impl Ask {
    fn failure(&self) -> Vec<u8> {
        match self {
            Self::Forward(query) | Self::Chase { query, .. } => wire::failure(query),
        }
    }
}

impl Shared {
    fn step(&self, bytes: &[u8], transport: Transport) -> Immediate {
        let picture = self.picture.borrow().clone();
        match wire::step(&self.zone, picture.as_ref(), bytes, transport) {
            Step::Reply(reply) => Immediate::Reply(reply),
            Step::Ignore => Immediate::Ignore,
            Step::Forward(query) => Immediate::Ask(Ask::Forward(query)),
            Step::Chase { query, alias, question } => Immediate::Ask(Ask::Chase { query, alias, question }),
        }
    }

    async fn ask(&self, ask: Ask) -> Vec<u8> {
        let asked = match &ask {
            Ask::Forward(query) => self.upstream.ask(&query.bytes, query.transport).await,
            Ask::Chase { query, question, .. } => self.upstream.ask(question, query.transport).await,
        };
        match (asked, ask) {
            (Ok(answer), Ask::Forward(_)) => answer,
            (Ok(found), Ask::Chase { query, alias, .. }) => wire::with_target(&query, *alias, Some(&found)),
            (Err(error), ask) => {
                tracing::debug!(error = chain(&error), "a name outside the cluster could not be resolved");
                ask.failure()
            }
        }
    }
}
