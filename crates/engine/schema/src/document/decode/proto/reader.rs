//! The wire format: tags, varints, lengths.

use super::{ProtobufError, Result};

/// A value as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wired<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(ProtobufError::Truncated)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(ProtobufError::Overflow);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtobufError::Overflow)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ProtobufError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next field's number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Wired<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| ProtobufError::Overflow)?;
        let wired = match tag & 7 {
            0 => Wired::Varint(self.varint()?),
            1 => {
                let bytes: [u8; 8] = self.take(8)?.try_into().expect("eight bytes were taken");
                Wired::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| ProtobufError::Overflow)?;
                Wired::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wired::Fixed32
            }
            found => {
                let found = u8::try_from(found).expect("three bits fit");
                return Err(ProtobufError::WireType { field: number.to_string(), found });
            }
        };
        Ok(Some((number, wired)))
    }
}

impl<'a> Wired<'a> {
    pub(super) fn wire_type(self) -> u8 {
        match self {
            Wired::Varint(_) => 0,
            Wired::Fixed64(_) => 1,
            Wired::Bytes(_) => 2,
            Wired::Fixed32 => 5,
        }
    }

    fn wrong(self, field: &str) -> ProtobufError {
        ProtobufError::WireType { field: field.to_owned(), found: self.wire_type() }
    }

    pub(super) fn bytes(self, field: &str) -> Result<&'a [u8]> {
        match self {
            Wired::Bytes(bytes) => Ok(bytes),
            Wired::Varint(_) | Wired::Fixed64(_) | Wired::Fixed32 => Err(self.wrong(field)),
        }
    }

    pub(super) fn text(self, field: &str) -> Result<String> {
        let bytes = self.bytes(field)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError::Text { field: field.to_owned() })
    }

    pub(super) fn varint(self, field: &str) -> Result<u64> {
        match self {
            Wired::Varint(value) => Ok(value),
            Wired::Bytes(_) | Wired::Fixed64(_) | Wired::Fixed32 => Err(self.wrong(field)),
        }
    }

    pub(super) fn fixed64(self, field: &str) -> Result<u64> {
        match self {
            Wired::Fixed64(value) => Ok(value),
            Wired::Bytes(_) | Wired::Varint(_) | Wired::Fixed32 => Err(self.wrong(field)),
        }
    }
}
