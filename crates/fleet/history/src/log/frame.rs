//! The bytes of a segment.
//!
//! Header, 68 bytes, little-endian: `MUSTHIST`, format u32, segment u32, sequence number of the first record u64, chain
//! before it 32 bytes, zeros, CRC32C of all before u32.
//!
//! Frame: length u32 of the content, CRC32C u32 over segment, length, link and content; link u64, the first eight bytes
//! of the chain after this record; then the content: tag u8; of a record the sequence number, by how much the first of
//! its group (what was written before one sync) is smaller, and the body; of a seal the next sequence number and the
//! chain. The chain is the SHA-256 over the chain before and the content.

use sha2::{Digest as _, Sha256};

use crate::codec::{Reader, put_number};

const MAGIC: &[u8; 8] = b"MUSTHIST";
pub(super) const FORMAT: u32 = 1;
pub(super) const HEADER_BYTES: usize = 68;
pub(super) const PREFIX_BYTES: usize = 16;
/// An object of the API is smaller than 3 MiB.
const CONTENT_BYTES_MAX: usize = 16 << 20;
const RECORD: u8 = 1;
const SEAL: u8 = 2;

/// Where a record begins: segment and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(u64);

impl Position {
    /// The offset is below 4 GiB: a segment is sealed at 64 MiB.
    pub(crate) fn new(segment: u32, offset: u64) -> Self {
        Self(u64::from(segment) << 32 | offset & u64::from(u32::MAX))
    }

    pub(crate) fn from_number(number: u64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}

/// The hash over everything so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain(pub(super) [u8; 32]);

impl Chain {
    pub(super) fn after(self, content: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(content);
        Self(hash.finalize().into())
    }

    pub(super) fn link(self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("eight bytes"))
    }
}

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) segment: u32,
    pub(super) first: u64,
    pub(super) chain: [u8; 32],
}

/// Why a header does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    Format(u32),
    Damaged(&'static str),
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.chain);
        bytes.resize(HEADER_BYTES - 4, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    pub(super) fn decode(file: &[u8]) -> Result<Self, BadHeader> {
        let bytes = file.get(..HEADER_BYTES).ok_or(BadHeader::Damaged("the header is cut off"))?;
        let (content, crc) = bytes.split_at(HEADER_BYTES - 4);
        if crc32c::crc32c(content) != le32(crc) {
            return Err(BadHeader::Damaged("the checksum of the header is wrong"));
        }
        if &content[..8] != MAGIC {
            return Err(BadHeader::Damaged("it does not begin as a history does"));
        }
        match le32(&content[8..]) {
            FORMAT => Ok(Self {
                segment: le32(&content[12..]),
                first: le64(&content[16..]),
                chain: content[24..56].try_into().expect("32 bytes"),
            }),
            other => Err(BadHeader::Format(other)),
        }
    }
}

/// One frame, borrowed from what is written or was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Record { sequence: u64, group_first: u64, body: &'a [u8] },
    Seal { next: u64, chain: [u8; 32] },
}

/// A frame with what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) link: u64,
    pub(super) content: &'a [u8],
    pub(super) next: usize,
}

impl Frame<'_> {
    /// Appends the frame; a record moves the chain on.
    pub(super) fn encode(&self, segment: u32, chain: &mut Chain, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX_BYTES]);
        match self {
            Self::Record { sequence, group_first, body } => {
                out.push(RECORD);
                put_number(out, *sequence);
                put_number(out, sequence - group_first);
                out.extend_from_slice(body);
                *chain = chain.after(&out[start + PREFIX_BYTES..]);
            }
            Self::Seal { next, chain } => {
                out.push(SEAL);
                put_number(out, *next);
                out.extend_from_slice(chain);
            }
        }
        let length = u32::try_from(out.len() - start - PREFIX_BYTES).expect("records are limited to 16 MiB");
        let link = chain.link();
        let crc = checksum(segment, length, link, &out[start + PREFIX_BYTES..]);
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        out[start + 8..start + PREFIX_BYTES].copy_from_slice(&link.to_le_bytes());
    }
}

fn checksum(segment: u32, length: u32, link: u64, content: &[u8]) -> u32 {
    let mut crc = crc32c::crc32c(&segment.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &length.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &link.to_le_bytes());
    crc32c::crc32c_append(crc, content)
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

fn le64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

/// Bytes of the frame that begins here, as far as its length can be trusted.
pub(super) fn bytes_wanted(bytes: &[u8]) -> Option<usize> {
    let length = le32(bytes.get(..4)?) as usize;
    (length <= CONTENT_BYTES_MAX).then_some(PREFIX_BYTES + length)
}

/// Reads the frame at `at`.
pub(super) fn frame_at(bytes: &[u8], at: usize, segment: u32) -> Result<Found<'_>, &'static str> {
    let rest = bytes.get(at..).ok_or("there is no such place")?;
    let prefix = rest.get(..PREFIX_BYTES).ok_or("a record is cut off")?;
    let length = le32(prefix) as usize;
    if length > CONTENT_BYTES_MAX {
        return Err("a record is longer than any can be");
    }
    let content = rest.get(PREFIX_BYTES..PREFIX_BYTES + length).ok_or("a record is cut off")?;
    let link = le64(&prefix[8..]);
    if checksum(segment, le32(prefix), link, content) != le32(&prefix[4..]) {
        return Err("the checksum of a record is wrong");
    }
    let frame = parse(content).ok_or("a record with a right checksum has a wrong form")?;
    Ok(Found { frame, link, content, next: at + PREFIX_BYTES + length })
}

fn parse(content: &[u8]) -> Option<Frame<'_>> {
    let mut reader = Reader::new(content);
    match reader.byte().ok()? {
        RECORD => {
            let sequence = reader.number().ok()?;
            let group_first = sequence.checked_sub(reader.number().ok()?)?;
            Some(Frame::Record { sequence, group_first, body: reader.rest() })
        }
        SEAL => Some(Frame::Seal { next: reader.number().ok()?, chain: reader.array().ok()? }),
        _ => None,
    }
}

/// The body of the record at `at`.
pub(super) fn body_at(bytes: &[u8], at: usize, segment: u32) -> Result<Vec<u8>, &'static str> {
    match frame_at(bytes, at, segment)?.frame {
        Frame::Record { body, .. } => Ok(body.to_vec()),
        Frame::Seal { .. } => Err("there is no record at this place"),
    }
}
