//! The sweep of an address range: which controllers answer there, and what they say their machines are.
//!
//! Whether somebody answers is asked without credentials: a Redfish service tells its root to anyone, and IPMI has the
//! presence ping of RMCP (ASF 2.0, 3.2.4). Credentials go only to those that answered, protected as their Secret says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use ipnet::IpNet;
use muster_api::inventory::bmc::Identity;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::access::{Access, Transport};
use crate::address::{Address, Protocol};
use crate::bmc::{ReadError, connect};
use crate::redfish::Redfish;

/// Addresses that one sweep may ask: those of a /16.
pub const ADDRESSES_MAX: u128 = 1 << 16;
/// Asked at once.
const AT_ONCE: usize = 64;
/// A /16 without anybody in it takes at least so long for each 64 addresses.
const BATCH: Duration = Duration::from_millis(200);

/// Header, ASF message of IANA 4542, presence ping.
const PING: [u8; 12] = [6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0];
const PONG: u8 = 0x40;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whom.
    pub addresses: Vec<IpAddr>,
    /// How, and at which port.
    pub protocols: Vec<(Protocol, u16)>,
    /// Who asks for identities; none: nobody is asked for one.
    pub access: Option<Access>,
    /// How the Redfish root is asked.
    pub transport: Transport,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// One machine behind a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is to be reached.
    pub address: Address,
    /// What it says it is.
    pub identity: Identity,
    /// Why it could not be asked, where that is so.
    pub note: String,
}

/// What is wrong with a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRange {
    /// It is no range.
    #[error("{text:?} is no range of addresses: write one address, or a network such as 10.0.0.0/24")]
    Syntax {
        /// As written.
        text: String,
    },
    /// It is too large to be meant.
    #[error("{text} has {count} addresses; one sweep asks at most {ADDRESSES_MAX}: name a smaller network")]
    TooLarge {
        /// As written.
        text: String,
        /// Its size.
        count: u128,
    },
}

/// The addresses of a range, without those of the network itself and of all its hosts.
///
/// # Errors
/// It is no range, or larger than a /16.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, BadRange> {
    if let Ok(one) = text.parse::<IpAddr>() {
        return Ok(vec![one]);
    }
    let network: IpNet = text.parse().map_err(|_| BadRange::Syntax { text: text.to_owned() })?;
    let bits = u32::from(network.max_prefix_len() - network.prefix_len());
    let count = 1u128.checked_shl(bits).unwrap_or(u128::MAX);
    if count > ADDRESSES_MAX {
        return Err(BadRange::TooLarge { text: text.to_owned(), count });
    }
    Ok(network.hosts().collect())
}

/// Asks everybody. Found machines come in the order of their addresses; `progress` is called for each that was asked.
pub async fn sweep(question: &Question, mut progress: impl FnMut()) -> Vec<Found> {
    let mut found = Vec::new();
    let mut asked = 0;
    for batch in question.addresses.chunks(AT_ONCE) {
        let next = Instant::now() + BATCH;
        found.extend(join_all(batch.iter().map(|ip| host(question, *ip))).await.into_iter().flatten());
        asked += batch.len();
        batch.iter().for_each(|_| progress());
        if asked < question.addresses.len() {
            tokio::time::sleep_until(next).await;
        }
    }
    found
}

async fn host(question: &Question, ip: IpAddr) -> Vec<Found> {
    for (protocol, port) in &question.protocols {
        let address =
            Address { protocol: *protocol, host: ip.to_string(), port: *port, system: String::new() };
        let found = match protocol {
            Protocol::Redfish => redfish(question, address).await,
            Protocol::Ipmi => ipmi(question, address, ip).await,
        };
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

async fn redfish(question: &Question, address: Address) -> Vec<Found> {
    if !Redfish::is_there(address.clone(), question.transport, question.timeout).await {
        return Vec::new();
    }
    let unnamed =
        |note: String| vec![Found { address: address.clone(), identity: Identity::default(), note }];
    let Some(access) = &question.access else { return unnamed(String::new()) };
    let systems = match Redfish::new(address.clone(), access.clone(), question.timeout) {
        Ok(service) => service.systems().await,
        Err(error) => Err(error),
    };
    let systems = match systems {
        Ok(systems) => systems,
        Err(error) => return unnamed(error.to_string()),
    };
    let mut found = Vec::new();
    for path in systems {
        let system = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        found.push(identified(Address { system, ..address.clone() }, access, question.timeout).await);
    }
    found
}

async fn ipmi(question: &Question, address: Address, ip: IpAddr) -> Vec<Found> {
    if !pong(SocketAddr::new(ip, address.port), question.timeout).await.unwrap_or(false) {
        return Vec::new();
    }
    match &question.access {
        Some(access) => vec![identified(address, access, question.timeout).await],
        None => vec![Found { address, identity: Identity::default(), note: String::new() }],
    }
}

async fn identified(address: Address, access: &Access, timeout: Duration) -> Found {
    let identity = match connect(&address, access.clone(), timeout) {
        Ok(bmc) => bmc.identity().await,
        Err(error) => Err(error),
    };
    let note = identity.as_ref().err().map(ReadError::to_string).unwrap_or_default();
    Found { address, identity: identity.unwrap_or_default(), note }
}

/// Whether an RMCP presence ping is answered. Two are sent, for a datagram may be lost.
async fn pong(to: SocketAddr, timeout: Duration) -> std::io::Result<bool> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    for _ in 0..2 {
        socket.send(&PING).await?;
        let mut answer = [0u8; 64];
        match tokio::time::timeout(timeout / 4, socket.recv(&mut answer)).await {
            Ok(Ok(length)) => return Ok(length >= 12 && answer[3] == 6 && answer[8] == PONG),
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_counted_and_one_too_large_is_refused() {
        assert_eq!(addresses("10.0.0.7").unwrap().len(), 1);
        assert_eq!(addresses("10.0.0.0/24").unwrap().len(), 254);
        assert_eq!(addresses("10.0.0.0/16").unwrap().len(), 65534);
        assert_eq!(addresses("fd00::/120").unwrap().len(), 256);
        assert_eq!(
            addresses("10.0.0.0/15").unwrap_err().to_string(),
            "10.0.0.0/15 has 131072 addresses; one sweep asks at most 65536: name a smaller network"
        );
        assert!(matches!(addresses("::/0"), Err(BadRange::TooLarge { .. })));
        for text in ["", "10.0.0", "10.0.0.0/33", "*", "bmc-7"] {
            assert_eq!(addresses(text), Err(BadRange::Syntax { text: text.to_owned() }));
        }
    }
}
