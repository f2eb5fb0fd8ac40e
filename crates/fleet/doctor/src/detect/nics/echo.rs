//! Loss on the way to the default gateway of each interface, by ICMP echo (RFC 792, RFC 4443) over datagram sockets, which
//! need no privilege where the group of the process is within `net.ipv4.ping_group_range`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::gateways::{Gateway, gateways};
use super::meter::Meter;
use crate::kernel::{Roots, number};
use crate::rule::{Finding, Look, Rest, Rule, Sign};

const SOURCE: &str = "gateways";
/// The rest between two looks at the routes.
const ROUTES_EVERY: Duration = Duration::from_secs(10);
/// Types of the messages: a question of IPv4 and of IPv6.
const ASK_V4: u8 = 8;
const ASK_V6: u8 = 128;
const ANSWERS: [u8; 2] = [0, 129];
/// Bytes of a message: a header, and enough behind it to look like any other frame.
const PACKET: usize = 56;

/// What may be found here.
pub(crate) fn rule() -> Arc<Rule> {
    Rule::level(SOURCE, "nic-loss-gateway", "nic.loss", 1, 120)
}

/// Asks the gateways until shutdown.
pub(crate) async fn watch(roots: Roots, virtual_devices: bool, to: Sender<Look>, token: CancellationToken) {
    let mut told = false;
    loop {
        let targets = gateways(&roots, virtual_devices);
        let changed = async {
            loop {
                tokio::time::sleep(ROUTES_EVERY).await;
                if gateways(&roots, virtual_devices) != targets {
                    return;
                }
            }
        };
        let mut sockets = Vec::new();
        for target in &targets {
            match open(target) {
                Ok(socket) => sockets.push((target, socket)),
                Err(error) if !told => {
                    told = true;
                    let interface = target.interface.as_str();
                    tracing::info!(interface, %error, "no echo can be sent: what gets lost on the way is not seen (net.ipv4.ping_group_range)");
                }
                Err(_) => {}
            }
        }
        let asking = async {
            let follow = |(target, socket)| follow(&roots, target, socket, &to);
            join_all(sockets.into_iter().map(follow)).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = token.cancelled() => return,
            () = changed => {}
            () = asking => {}
        }
        // Who is not asked any more says nothing.
        if to.send(Look { source: SOURCE, found: Vec::new(), rest: Rest::Unseen }).await.is_err() {
            return;
        }
    }
}

/// A socket that speaks with this gateway over this interface alone.
fn open(target: &Gateway) -> io::Result<UdpSocket> {
    let (family, protocol) = if target.address.is_ipv4() {
        (AddressFamily::Inet, SockProtocol::Icmp)
    } else {
        (AddressFamily::Inet6, SockProtocol::IcmpV6)
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket: OwnedFd = socket(family, SockType::Datagram, flags, protocol)?;
    setsockopt(&socket, sockopt::BindToDevice, &(&target.interface).into())?;
    let socket = std::net::UdpSocket::from(socket);
    socket.connect(target.address)?;
    UdpSocket::from_std(socket)
}

/// Asks one gateway, and says what it makes of the answers, for as long as somebody listens.
async fn follow(roots: &Roots, target: &Gateway, socket: UdpSocket, to: &Sender<Look>) {
    let rule = rule();
    let dir = roots.sys.join("class/net").join(&target.interface);
    let link = || (number(&dir.join("carrier")), number(&dir.join("carrier_changes")));
    let ask = if target.address.is_ipv4() { ASK_V4 } else { ASK_V6 };
    let (mut meter, mut linked) = (Meter::default(), link());
    loop {
        if let Some(sequence) = meter.ask(Instant::now()) {
            // What cannot be sent is not answered either; the link itself is another one's business.
            if let Err(error) = socket.send(&question(ask, sequence)).await {
                tracing::debug!(%error, "an echo was not sent");
            }
        }
        listen(&socket, &mut meter).await;
        let now = link();
        if now != linked {
            linked = now;
            meter.forget();
        }
        let sign = match meter.look(Instant::now()) {
            None => continue,
            Some(Sign::Bad(text)) => Sign::Bad(format!("{text} on the way to {}", target.address.ip())),
            Some(sign @ (Sign::Good | Sign::More(_) | Sign::Unseen)) => sign,
        };
        let found = vec![Finding::new(&rule, &target.interface, sign)];
        if to.send(Look { source: SOURCE, found, rest: Rest::Untouched }).await.is_err() {
            return;
        }
    }
}

/// Takes answers in until the next question is due.
async fn listen(socket: &UdpSocket, meter: &mut Meter) {
    let until = Instant::now() + meter.pace();
    let mut answer = [0; PACKET * 2];
    while let Ok(came) = tokio::time::timeout_at(until, socket.recv(&mut answer)).await {
        match came {
            Ok(bytes) => {
                if let [kind, _, _, _, _, _, high, low, ..] = answer[..bytes]
                    && ANSWERS.contains(&kind)
                {
                    meter.answered(u16::from_be_bytes([high, low]), Instant::now());
                }
            }
            Err(error) => {
                tracing::debug!(%error, "an echo came to nothing");
                return tokio::time::sleep_until(until).await;
            }
        }
    }
}

/// The kernel puts in the identifier and the checksum.
fn question(kind: u8, sequence: u16) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = kind;
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet
}
