//! One record: of a write in a segment, of an entry in a checkpoint.
//!
//! Little-endian, beginning at a multiple of 8: length u32 (of what follows the checksum), CRC32C u32 (of the file's
//! seed, the length and all that follows), revision u64, base u64, op u8, flags u8 (1 ends a batch, 2 is sealed), lengths of resource, namespace and
//! name u16 each, these three, the body; then zeros up to the next multiple of 8.

use crate::key::{Key, Revision};
use crate::log::header::{le32, le64};

pub(crate) const PREFIX_BYTES: usize = 8;
const FIXED_BYTES: usize = 24;
const ALIGN: usize = 8;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const ENDS_BATCH: u8 = 1;
const SEALED: u8 = 2;

/// What a record says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    Put { body: &'a [u8], form: Form },
    Delete,
}

/// Whether a value is written as it is or encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Sealed,
}

/// Whether more records of the same batch follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    Continues,
    Ends,
}

/// A record, borrowed from what is written or was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) revision: Revision,
    /// In a segment: the last revision that was known to be synced when this was written. In a checkpoint: the
    /// revision that created the entry.
    pub(crate) base: Revision,
    pub(crate) op: Op<'a>,
    pub(crate) batch: Batch,
    pub(crate) resource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// Bytes that a frame of this key and body takes.
pub(crate) fn frame_bytes(key: &Key, body: usize) -> usize {
    let content = FIXED_BYTES + key.resource.len() + key.namespace.len() + key.name.len() + body;
    (PREFIX_BYTES + content).next_multiple_of(ALIGN)
}

impl Frame<'_> {
    pub(crate) fn key(&self) -> Key {
        Key::new(self.resource, self.namespace, self.name)
    }

    /// Appends the frame. `seed` is the number of the file, so that a frame is valid in its own file only.
    pub(crate) fn encode(&self, seed: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX_BYTES]);
        out.extend_from_slice(&self.revision.get().to_le_bytes());
        out.extend_from_slice(&self.base.get().to_le_bytes());
        let (op, body, sealed): (u8, &[u8], u8) = match self.op {
            Op::Put { body, form: Form::Plain } => (PUT, body, 0),
            Op::Put { body, form: Form::Sealed } => (PUT, body, SEALED),
            Op::Delete => (DELETE, &[], 0),
        };
        let ends = match self.batch {
            Batch::Continues => 0,
            Batch::Ends => ENDS_BATCH,
        };
        let flags = ends | sealed;
        out.extend_from_slice(&[op, flags]);
        let parts = [self.resource, self.namespace, self.name];
        for part in parts {
            let length = u16::try_from(part.len()).expect("commit limits the parts of a key to 4096 bytes");
            out.extend_from_slice(&length.to_le_bytes());
        }
        for part in parts {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(body);
        let content = start + PREFIX_BYTES;
        let length = u32::try_from(out.len() - content).expect("commit limits a batch to 32 MiB");
        let crc = checksum(seed, length, &out[content..]);
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        out[start + 4..content].copy_from_slice(&crc.to_le_bytes());
        out.resize(out.len().next_multiple_of(ALIGN), 0);
    }
}

/// What is at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read<'a> {
    Frame {
        frame: Frame<'a>,
        next: usize,
    },
    /// Nothing but zeros until the end of the file.
    End,
    Bad {
        reason: &'static str,
    },
}

/// Reads the frame at `at`, a multiple of 8 within the file.
pub(crate) fn read(file: &[u8], at: usize, seed: u64) -> Read<'_> {
    let rest = &file[at..];
    if rest.len() < PREFIX_BYTES || le32(rest, 0) == 0 {
        if is_zero(rest) {
            return Read::End;
        }
        return Read::Bad { reason: "zeros where a record should begin" };
    }
    let length = le32(rest, 0) as usize;
    let Some(content) = rest.get(PREFIX_BYTES..PREFIX_BYTES + length) else {
        return Read::Bad { reason: "a record reaches beyond the end of the file" };
    };
    match decode(seed, le32(rest, 4), content) {
        Ok(frame) => {
            let end = at + PREFIX_BYTES + length;
            let next = end.next_multiple_of(ALIGN).min(file.len());
            if file[end..next].iter().any(|byte| *byte != 0) {
                return Read::Bad { reason: "bytes between two records are not zero" };
            }
            Read::Frame { frame, next }
        }
        Err(reason) => Read::Bad { reason },
    }
}

/// In blocks that the compiler turns into wide instructions: a reserved segment ends in 64 MiB of zeros.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|block| block.iter().fold(0, |bits, byte| bits | byte) == 0)
}

/// The frame with this content and checksum.
pub(crate) fn decode(seed: u64, crc: u32, content: &[u8]) -> Result<Frame<'_>, &'static str> {
    let length = u32::try_from(content.len()).map_err(|_| "a record is longer than any can be")?;
    if content.len() < FIXED_BYTES {
        return Err("a record is shorter than any can be");
    }
    if checksum(seed, length, content) != crc {
        return Err("the checksum of a record is wrong");
    }
    parse(content).ok_or("a record with a right checksum has a wrong form")
}

/// Whether a record may begin here, judged without its checksum; `after` is below its revision.
pub(crate) fn plausible(rest: &[u8], after: Revision) -> bool {
    if rest.len() < PREFIX_BYTES + FIXED_BYTES {
        return false;
    }
    let (length, revision, base) = (le32(rest, 0) as usize, le64(rest, 8), le64(rest, 16));
    FIXED_BYTES <= length && length <= rest.len() - PREFIX_BYTES && after.get() < revision && base < revision
}

fn parse(content: &[u8]) -> Option<Frame<'_>> {
    let length = |at: usize| usize::from(u16::from_le_bytes([content[at], content[at + 1]]));
    let (resource, rest) = content[FIXED_BYTES..].split_at_checked(length(18))?;
    let (namespace, rest) = rest.split_at_checked(length(20))?;
    let (name, body) = rest.split_at_checked(length(22))?;
    let op = match content[16] {
        PUT if content[17] & SEALED == 0 => Op::Put { body, form: Form::Plain },
        PUT => Op::Put { body, form: Form::Sealed },
        DELETE if body.is_empty() && content[17] & SEALED == 0 => Op::Delete,
        _ => return None,
    };
    let batch = match content[17] & !SEALED {
        0 => Batch::Continues,
        ENDS_BATCH => Batch::Ends,
        _ => return None,
    };
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let (revision, base) = (Revision::new(le64(content, 0)), Revision::new(le64(content, 8)));
    Some(Frame {
        revision,
        base,
        op,
        batch,
        resource: text(resource)?,
        namespace: text(namespace)?,
        name: text(name)?,
    })
}

fn checksum(seed: u64, length: u32, content: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&seed.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &length.to_le_bytes()), content)
}
