//! Asking the servers that know the names outside the cluster.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use super::wire::Transport;

/// How long one server may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Clients give up after five seconds, so a third server would answer nobody.
const SERVERS_MAX: usize = 2;
/// How long the content of resolv.conf is believed.
const REREAD: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 65_535;

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("there is no usable nameserver in {path}")]
    NoServer { path: PathBuf },
    #[error("asking the nameserver {server}")]
    Talk {
        server: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the nameserver {server} did not answer within {ATTEMPT:?}")]
    Timeout { server: SocketAddr },
}

/// The servers of a resolv.conf.
#[derive(Debug)]
pub struct Upstream {
    resolv_conf: PathBuf,
    /// Our own addresses: asking them would ask ourselves.
    own: Vec<IpAddr>,
    known: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

impl Upstream {
    pub fn new(resolv_conf: PathBuf, own: Vec<IpAddr>) -> Self {
        Self { resolv_conf, own, known: Mutex::new(None) }
    }

    /// Sends `query` as it is to one server after the other and returns the first answer as it is.
    pub async fn ask(&self, query: &[u8], transport: Transport) -> Result<Vec<u8>, UpstreamError> {
        let mut last = UpstreamError::NoServer { path: self.resolv_conf.clone() };
        for server in self.servers() {
            let attempt = async {
                match transport {
                    Transport::Udp => ask_udp(server, query).await,
                    Transport::Tcp => ask_tcp(server, query).await,
                }
            };
            match timeout(ATTEMPT, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(source)) => last = UpstreamError::Talk { server, source },
                Err(_) => last = UpstreamError::Timeout { server },
            }
            self.put_last(server);
        }
        Err(last)
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read_at, servers)) = &*known
            && read_at.elapsed() < REREAD
        {
            return servers.clone();
        }
        let servers = read(&self.resolv_conf, &self.own);
        *known = Some((Instant::now(), servers.clone()));
        servers
    }

    /// A server that failed is asked last until the file is read again.
    fn put_last(&self, failed: SocketAddr) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, servers)) = &mut *known {
            servers.sort_by_key(|server| *server == failed);
        }
    }
}

fn read(path: &Path, own: &[IpAddr]) -> Vec<SocketAddr> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, own),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "resolv.conf cannot be read; outside names fail");
            Vec::new()
        }
    }
}

/// The servers named in the text of a resolv.conf (resolv.conf(5)), without our `own`. A port may follow as `[ADDR]:PORT`
/// or `ADDR:PORT`.
pub fn parse(text: &str, own: &[IpAddr]) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some("nameserver"), Some(word)) = (words.next(), words.next()) else { continue };
        let server = word.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)).or_else(|_| word.parse());
        match server {
            Ok(server) if own.contains(&server.ip()) || SERVERS_MAX <= servers.len() => {}
            Ok(server) => servers.push(server),
            Err(_) => {
                tracing::warn!(nameserver = word, "a nameserver in resolv.conf is no address; left out")
            }
        }
    }
    servers
}

/// From a port of its own, so that a forged answer must guess it besides the question's number.
async fn ask_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(query, &buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if answers(query, &answer) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Same number, and marked as an answer.
fn answers(query: &[u8], answer: &[u8]) -> bool {
    answer.len() >= 12 && query.len() >= 12 && answer[..2] == query[..2] && answer[2] & 0x80 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_come_in_order_without_ourselves_and_without_nonsense() {
        let own = ["10.96.0.10".parse().unwrap()];
        let text = "# comment\nsearch example.com\nnameserver 10.96.0.10\nnameserver nonsense\n\
                    nameserver 192.0.2.1\noptions ndots:1\nnameserver 2001:db8::1\nnameserver 192.0.2.3\n";
        let servers: Vec<String> = parse(text, &own).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53"]);
        assert_eq!(parse("", &own), []);
    }
}
