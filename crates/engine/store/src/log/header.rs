//! The first bytes of a segment or checkpoint: what it is, its format, where it stands in history.

use crate::error::OpenError;
use crate::key::Revision;
use crate::log::{FORMAT, OLDEST_FORMAT};

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 64;
const CRC_AT: usize = HEADER_BYTES - 4;

/// Which kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Magic {
    Segment,
    Checkpoint,
}

impl Magic {
    fn bytes(self) -> &'static [u8; 8] {
        match self {
            Self::Segment => b"MSTRLOG\n",
            Self::Checkpoint => b"MSTRCKP\n",
        }
    }
}

/// Two numbers: of a segment its first revision and the last one recorded before it; of a checkpoint its revision and
/// the count of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) magic: Magic,
    pub(crate) revision: Revision,
    pub(crate) other: u64,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(self.magic.bytes());
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.revision.get().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.other.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of `file`; the format is looked at before anything that another format may have changed.
    pub(crate) fn decode(file: &str, magic: Magic, bytes: &[u8]) -> Result<Self, OpenError> {
        let corrupt = |offset, reason: &str| OpenError::Corrupt {
            file: file.to_owned(),
            offset,
            reason: reason.to_owned(),
        };
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(corrupt(bytes.len() as u64, "the file ends within its header"));
        };
        if &bytes[..8] != magic.bytes() {
            return Err(corrupt(0, "the file does not begin with the mark of its kind"));
        }
        let found = le32(bytes, 8);
        if !(OLDEST_FORMAT..=FORMAT).contains(&found) {
            return Err(OpenError::Format { file: file.to_owned(), found, supported: FORMAT });
        }
        if crc32c::crc32c(&bytes[..CRC_AT]) != le32(bytes, CRC_AT) {
            return Err(corrupt(0, "the checksum of the header is wrong"));
        }
        Ok(Self { magic, revision: Revision::new(le64(bytes, 16)), other: le64(bytes, 24) })
    }

    /// A file that was renamed or copied over another is damage like any other.
    pub(crate) fn check_name(self, file: &str, revision: Revision) -> Result<(), OpenError> {
        if self.revision == revision {
            return Ok(());
        }
        let reason = format!("the file is named for revision {revision} but is of {}", self.revision);
        Err(OpenError::Corrupt { file: file.to_owned(), offset: 16, reason })
    }
}

/// The little-endian number at an offset that is known to be within.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The little-endian number at an offset that is known to be within.
pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}
