//! Bodies of kinds that there are a million of, kept compressed, in memory and on disk.
//!
//! A body of 2 KB shares most of its text with every other of its kind. Compressed against a dictionary of that text
//! it takes a sixth of that; packing takes some microseconds where the object is built, unpacking one or two where it
//! is read. What every object has in common is the dictionary's, so one is never changed: a better one has a number of
//! its own, and what was packed with the old one stays readable.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Shorter bodies gain nothing.
const PACKED_BYTES_MIN: usize = 192;
/// More than this is never kept for a body: a request may have 3 MiB, a patched object somewhat more.
pub(super) const BODY_BYTES_MAX: usize = 64 << 20;
/// The fastest; higher ones gain less than a hundredth here.
const LEVEL: i32 = 1;
const PLAIN: u8 = 0;

/// Kinds that are packed, as their stamp names them, and with which dictionary.
const PACKED: &[(&str, u8)] =
    &[("muster.dev/v1alpha1\",\"kind\":\"Machine\"", 1), ("muster.dev/v1alpha1\",\"kind\":\"Inventory\"", 1)];
/// By number, from 1. Made by `examples/dictionary.rs`; none of them may ever change.
const DICTIONARIES: &[&[u8]] = &[include_bytes!("pack/fleet-1.dict")];

static PACKERS: LazyLock<Vec<Packer>> = LazyLock::new(|| DICTIONARIES.iter().map(Packer::new).collect());

/// A dictionary made ready, and contexts that wait to be used again.
struct Packer {
    encoder: EncoderDictionary<'static>,
    decoder: DecoderDictionary<'static>,
    compressors: Mutex<Vec<Compressor<'static>>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
}

impl Packer {
    fn new(dictionary: &&'static [u8]) -> Self {
        Self {
            encoder: EncoderDictionary::copy(dictionary, LEVEL),
            decoder: DecoderDictionary::copy(dictionary),
            compressors: Mutex::default(),
            decompressors: Mutex::default(),
        }
    }

    /// Nothing where it does not get smaller.
    fn pack(&'static self, body: &[u8]) -> Option<Vec<u8>> {
        let waiting = self.compressors.lock().pop();
        let mut compressor = match waiting {
            Some(compressor) => compressor,
            None => self.compressor().ok()?,
        };
        let packed = compressor.compress(body).ok();
        self.compressors.lock().push(compressor);
        packed.filter(|packed| packed.len() < body.len())
    }

    fn compressor(&'static self) -> std::io::Result<Compressor<'static>> {
        let mut compressor = Compressor::with_prepared_dictionary(&self.encoder)?;
        compressor.include_checksum(false)?;
        compressor.include_dictid(false)?;
        Ok(compressor)
    }

    fn unpack(&'static self, packed: &[u8], length: usize) -> std::io::Result<Vec<u8>> {
        let waiting = self.decompressors.lock().pop();
        let mut decompressor = match waiting {
            Some(decompressor) => decompressor,
            None => Decompressor::with_prepared_dictionary(&self.decoder)?,
        };
        let unpacked = decompressor.decompress(packed, length);
        self.decompressors.lock().push(decompressor);
        unpacked
    }
}

fn packer(number: u8) -> Option<&'static Packer> {
    PACKERS.get(usize::from(number).checked_sub(1)?)
}

/// The bytes of a body, packed or as they are.
#[derive(Clone, Debug)]
pub(super) struct Body {
    bytes: Arc<[u8]>,
    length: u32,
    dictionary: u8,
}

impl Body {
    /// Packs what is worth it.
    pub(super) fn new(stamp: &str, plain: &[u8]) -> Self {
        let length = u32::try_from(plain.len()).expect("a body is far below 4 GiB");
        let number =
            PACKED.iter().find(|(kind, _)| stamp.contains(kind)).map_or(PLAIN, |(_, number)| *number);
        let worth = PACKED_BYTES_MIN <= plain.len();
        match packer(number).filter(|_| worth).and_then(|packer| packer.pack(plain)) {
            Some(packed) => Self { bytes: packed.into(), length, dictionary: number },
            None => Self { bytes: plain.into(), length, dictionary: PLAIN },
        }
    }

    /// What [`Body::stored`] and its companions gave.
    pub(super) fn restore(bytes: &[u8], length: u32, dictionary: u8) -> Result<Self, &'static str> {
        let plain_fits = dictionary != PLAIN || bytes.len() == length as usize;
        if !plain_fits || BODY_BYTES_MAX < length as usize {
            return Err("the length of the document is wrong");
        }
        if dictionary != PLAIN && packer(dictionary).is_none() {
            return Err("the document is packed with a dictionary that this program does not have");
        }
        Ok(Self { bytes: bytes.into(), length, dictionary })
    }

    /// The bytes as they are kept.
    pub(super) fn stored(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of the dictionary; 0 for none.
    pub(super) fn dictionary(&self) -> u8 {
        self.dictionary
    }

    /// Bytes when unpacked.
    pub(super) fn length(&self) -> u32 {
        self.length
    }

    /// The bytes of the document.
    pub(super) fn plain(&self) -> Cow<'_, [u8]> {
        match packer(self.dictionary) {
            None => Cow::Borrowed(&self.bytes),
            Some(packer) => Cow::Owned(
                packer
                    .unpack(&self.bytes, self.length as usize)
                    .expect("what we packed, or read with a right checksum, unpacks"),
            ),
        }
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        if self.dictionary == other.dictionary {
            return self.length == other.length && self.bytes == other.bytes;
        }
        self.plain() == other.plain()
    }
}

#[cfg(test)]
mod tests;
