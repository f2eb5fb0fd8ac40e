//! Forgetting UDP flows to endpoints that are gone.
//!
//! A translation is decided once per flow. A TCP client notices that its endpoint is gone; a UDP client that keeps its
//! port would send to the dead address for as long as it goes on sending.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::element::{Elements, Key, Value};
use crate::view::Protocol;

mod message;

use message::{Frame, frames};

/// A translation that is no longer made: what clients dial (no address: a node port) and where it led.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stale {
    pub address: Option<Ipv4Addr>,
    pub port: u16,
    pub target: SocketAddrV4,
}

/// Why flows may be left that lead nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    #[error("opening the kernel's connection table")]
    Open(#[source] io::Error),
    #[error("listing the kernel's connection table")]
    List(#[source] io::Error),
    #[error("deleting a flow from the kernel's connection table")]
    Delete(#[source] io::Error),
}

/// The UDP translations in `before` that `after` does not have.
pub fn stale(before: &Elements, after: &Elements) -> BTreeSet<Stale> {
    let after = translations(after);
    translations(before).difference(&after).copied().collect()
}

fn translations(elements: &Elements) -> BTreeSet<Stale> {
    let translation = |(key, value): (&Key, &Value)| {
        let (address, protocol, port) = match key {
            Key::FrontBucket(front, ..) => (Some(front.address), front.protocol, front.port),
            Key::NodePortBucket(port, ..) => (None, port.protocol, port.port),
            Key::Front(_) | Key::NodePort(_) | Key::Hairpin(_) => return None,
        };
        match value {
            Value::Target(target) if protocol == Protocol::Udp => {
                Some(Stale { address, port, target: *target })
            }
            Value::Target(_) | Value::Way(_) | Value::Present => None,
        }
    };
    elements.iter().filter_map(translation).collect()
}

/// The kernel answers at once; a table of a million flows takes about a second to list.
const WAIT_S: i64 = 5;
/// Larger than the parts the kernel sends a listing in.
const BUFFER_BYTES: usize = 64 * 1024;

/// Deletes the flows that `stale` describes and returns how many there were. Blocks for as long as a listing takes.
pub fn forget(stale: &BTreeSet<Stale>) -> Result<usize, ConntrackError> {
    let kernel = Kernel::open().map_err(ConntrackError::Open)?;
    let flows = kernel.flows(stale).map_err(ConntrackError::List)?;
    for flow in &flows {
        kernel.delete(flow).map_err(ConntrackError::Delete)?;
    }
    Ok(flows.len())
}

struct Kernel(OwnedFd);

impl Kernel {
    fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(WAIT_S))?;
        Ok(Self(fd))
    }

    /// The original tuples, as the kernel wrote them, of the flows that `stale` describes.
    fn flows(&self, stale: &BTreeSet<Stale>) -> io::Result<Vec<Vec<u8>>> {
        self.send(&message::list())?;
        let mut flows = Vec::new();
        loop {
            for frame in frames(&self.receive()?) {
                match frame {
                    Frame::Done => return Ok(flows),
                    Frame::Error(0) => {}
                    Frame::Error(code) => return Err(io::Error::from_raw_os_error(code)),
                    Frame::Flow(flow) if flow.is_any_of(stale) => flows.push(flow.original.to_vec()),
                    Frame::Flow(_) | Frame::Other => {}
                }
            }
        }
    }

    /// A flow that has ended by itself in the meantime is as good as deleted.
    fn delete(&self, original: &[u8]) -> io::Result<()> {
        self.send(&message::delete(original))?;
        loop {
            for frame in frames(&self.receive()?) {
                match frame {
                    Frame::Error(0) => return Ok(()),
                    Frame::Error(code) if code == nix::errno::Errno::ENOENT as i32 => return Ok(()),
                    Frame::Error(code) => return Err(io::Error::from_raw_os_error(code)),
                    Frame::Done | Frame::Flow(_) | Frame::Other => {}
                }
            }
        }
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        sendto(self.0.as_raw_fd(), message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        buffer.truncate(length);
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::plan::{Here, plan};
    use crate::world::directory;

    #[test]
    fn only_udp_translations_that_ended_are_stale() {
        let here =
            Here { node: "n1".into(), pod_cidr: "10.244.1.0/24".parse().unwrap(), own_addresses: Vec::new() };
        let world = |endpoints: &str| {
            let text = format!(
                "service default/dns 10.96.0.5 53/udp@30053 80\nslice default/dns 5353/udp {endpoints}\n\
                 slice default/dns 8080 {endpoints}"
            );
            plan(&directory(&text), &here, &Elements::new())
        };
        let (before, after) = (world("10.244.2.1 10.244.2.2"), world("10.244.2.2 10.244.2.3"));
        let target = "10.244.2.1:5353".parse().unwrap();
        let front = Stale { address: Some("10.96.0.5".parse().unwrap()), port: 53, target };
        let node_port = Stale { address: None, port: 30053, target };
        assert_eq!(stale(&before, &after), [node_port, front].into());
        assert_eq!(stale(&before, &before), BTreeSet::new());
    }
}
