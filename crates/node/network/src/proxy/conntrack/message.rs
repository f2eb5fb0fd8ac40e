//! The messages of ctnetlink (linux/netfilter/nfnetlink_conntrack.h) that are needed here.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::Stale;

const HEADER_BYTES: usize = 16;
const FAMILY_BYTES: usize = 4;
const ATTRIBUTE_BYTES: usize = 4;

const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;

const FAMILY_IPV4: u8 = 2;
const PROTOCOL_UDP: u8 = 17;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_SOURCE: u16 = 1;
const IP_DESTINATION: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE: u16 = 2;
const PROTOCOL_DESTINATION: u16 = 3;
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

/// One message of the kernel.
pub(super) enum Frame<'a> {
    Flow(Flow<'a>),
    Done,
    /// An error number; 0 acknowledges.
    Error(i32),
    Other,
}

/// A UDP flow: where its first packet was sent, and who answers.
pub(super) struct Flow<'a> {
    dialed: SocketAddrV4,
    answers: SocketAddrV4,
    /// The tuple as the kernel wrote it; it names the flow.
    pub(super) original: &'a [u8],
}

impl Flow<'_> {
    pub(super) fn is_any_of(&self, stale: &BTreeSet<Stale>) -> bool {
        let (port, target) = (self.dialed.port(), self.answers);
        [Some(*self.dialed.ip()), None]
            .iter()
            .any(|address| stale.contains(&Stale { address: *address, port, target }))
    }
}

/// Asks for all flows.
pub(super) fn list() -> Vec<u8> {
    message(GET, REQUEST | DUMP, &[])
}

/// Asks to delete the flow with this original tuple.
pub(super) fn delete(original: &[u8]) -> Vec<u8> {
    let length =
        u16::try_from(ATTRIBUTE_BYTES + original.len()).expect("the kernel wrote this tuple in 16 bits");
    let attribute = [&length.to_ne_bytes(), &(TUPLE_ORIGINAL | NESTED).to_ne_bytes(), original].concat();
    message(DELETE, REQUEST | ACKNOWLEDGE, &attribute)
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length =
        u32::try_from(HEADER_BYTES + FAMILY_BYTES + body.len()).expect("a message has some 100 bytes");
    let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8]].concat();
    [&header[..], &[FAMILY_IPV4, 0, 0, 0], body].concat()
}

/// The messages in what was received at once.
pub(super) fn frames(received: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    let mut rest = received;
    while let Some(length) = u32_at(rest, 0).and_then(|length| usize::try_from(length).ok()) {
        if length < HEADER_BYTES || rest.len() < length {
            break;
        }
        frames.push(frame(&rest[..length]));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    frames
}

fn frame(message: &[u8]) -> Frame<'_> {
    match u16_at(message, 4) {
        Some(MESSAGE_DONE) => Frame::Done,
        // The kernel writes the negated number.
        Some(MESSAGE_ERROR) => {
            Frame::Error(u32_at(message, HEADER_BYTES).map_or(0, |code| code.cast_signed().wrapping_neg()))
        }
        Some(NEW) => flow(&message[(HEADER_BYTES + FAMILY_BYTES).min(message.len())..])
            .map_or(Frame::Other, Frame::Flow),
        Some(_) | None => Frame::Other,
    }
}

/// `None` for what is not UDP over IPv4.
fn flow(attributes: &[u8]) -> Option<Flow<'_>> {
    let original = attribute(attributes, TUPLE_ORIGINAL)?;
    let (_, dialed) = tuple(original)?;
    let (answers, _) = tuple(attribute(attributes, TUPLE_REPLY)?)?;
    Some(Flow { dialed, answers, original })
}

/// Source and destination.
fn tuple(tuple: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4)> {
    let (ip, protocol) = (attribute(tuple, TUPLE_IP)?, attribute(tuple, TUPLE_PROTOCOL)?);
    if attribute(protocol, PROTOCOL_NUMBER)? != [PROTOCOL_UDP] {
        return None;
    }
    let end = |address, port| -> Option<SocketAddrV4> {
        let octets: [u8; 4] = attribute(ip, address)?.try_into().ok()?;
        let port: [u8; 2] = attribute(protocol, port)?.try_into().ok()?;
        Some(SocketAddrV4::new(Ipv4Addr::from(octets), u16::from_be_bytes(port)))
    };
    Some((end(IP_SOURCE, PROTOCOL_SOURCE)?, end(IP_DESTINATION, PROTOCOL_DESTINATION)?))
}

fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = attributes;
    loop {
        let (length, kind) = (usize::from(u16_at(rest, 0)?), u16_at(rest, 2)? & TYPE_MASK);
        let value = rest.get(ATTRIBUTE_BYTES..length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_or_foreign_is_no_flow_and_ends() {
        let whole = delete(&[0; 8]);
        for length in 0..whole.len() {
            assert!(frames(&whole[..length]).is_empty(), "{length}");
        }
        assert!(matches!(frames(&whole)[..], [Frame::Other]));
        assert!(frames(&[0; 64]).is_empty());
        assert!(attribute(&[0; 16], 1).is_none());
    }
}
