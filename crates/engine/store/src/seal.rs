//! Values that are encrypted on disk: which resources, and with which key.
//!
//! A sealed value is its key's number (u32, little-endian), a random nonce, and the AES-256-GCM cipher text, bound to the
//! entry's name: a value copied under another name does not open. Names and the sizes of values stay readable.

mod keys;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ring::aead::{Aad, NONCE_LEN, Nonce};
use ring::rand::{SecureRandom, SystemRandom};

pub use keys::{DataKeys, KeyError};

use crate::entry::{DecodeError, Payload};
use crate::error::OpenError;
use crate::key::Key;
use crate::log::frame::Form;

const NUMBER_BYTES: usize = 4;

/// The resources whose values are encrypted in log and checkpoints, and the keys.
#[derive(Clone, Debug)]
pub struct Sealing {
    resources: BTreeSet<String>,
    keys: Arc<DataKeys>,
}

impl PartialEq for Sealing {
    fn eq(&self, other: &Self) -> bool {
        self.resources == other.resources && Arc::ptr_eq(&self.keys, &other.keys)
    }
}

impl Eq for Sealing {}

/// A value as it is written, and whether it is sealed.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) form: Form,
}

impl Body {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Sealing {
    /// Encrypts the values of these resources with the newest of the keys.
    pub fn new(keys: DataKeys, resources: &[&str]) -> Self {
        let resources = resources.iter().map(|name| (*name).to_owned()).collect();
        Self { resources, keys: Arc::new(keys) }
    }

    pub(crate) fn keys(&self) -> &DataKeys {
        &self.keys
    }

    fn seal(&self, key: &Key, bytes: &mut Vec<u8>) {
        let (number, aead) = self.keys.newest();
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).expect("the system gives random bytes");
        let tag = aead.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), bound_to(key), bytes);
        let tag = tag.expect("a commit is far below the limit of the cipher");
        let mut sealed = Vec::with_capacity(NUMBER_BYTES + NONCE_LEN + bytes.len() + tag.as_ref().len());
        sealed.extend_from_slice(&number.to_le_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.append(bytes);
        sealed.extend_from_slice(tag.as_ref());
        *bytes = sealed;
    }

    fn open(&self, key: &Key, bytes: &[u8]) -> Result<Bytes, DecodeError> {
        let refuse = |reason: String| DecodeError { reason };
        let parts = bytes.split_first_chunk::<NUMBER_BYTES>();
        let parts = parts.and_then(|(number, rest)| Some((number, rest.split_first_chunk::<NONCE_LEN>()?)));
        let Some((number, (nonce, text))) = parts else {
            return Err(refuse("it is sealed but shorter than any sealed value".to_owned()));
        };
        let number = u32::from_le_bytes(*number);
        let file = self.keys.path().display();
        let Some(aead) = self.keys.numbered(number) else {
            return Err(refuse(format!(
                "it is encrypted with key {number:08x}, which {file} does not hold; restore that file as it was"
            )));
        };
        let mut text = text.to_vec();
        let opened = aead.open_in_place(Nonce::assume_unique_for_key(*nonce), bound_to(key), &mut text);
        let length = opened.map(|plain| plain.len()).map_err(|_| {
            refuse(format!("key {number:08x} of {file} does not open it; restore that file as it was"))
        })?;
        text.truncate(length);
        Ok(Bytes::from(text))
    }
}

fn bound_to(key: &Key) -> Aad<String> {
    Aad::from(format!("{}\0{}\0{}", key.resource, key.namespace, key.name))
}

/// Encodes a value for the disk.
pub(crate) fn encode<T: Payload>(sealing: Option<&Sealing>, key: &Key, value: &T) -> Body {
    let mut bytes = Vec::with_capacity(value.weight());
    value.encode(&mut bytes);
    match sealing.filter(|sealing| sealing.resources.contains(&*key.resource)) {
        Some(sealing) => {
            sealing.seal(key, &mut bytes);
            Body { bytes, form: Form::Sealed }
        }
        None => Body { bytes, form: Form::Plain },
    }
}

/// Reads the value of a record at `offset` of `file`. One that is not sealed, as older programs wrote all of them, is
/// read as it is.
pub(crate) fn decode<T: Payload>(
    sealing: Option<&Sealing>,
    key: &Key,
    (form, body): (Form, &[u8]),
    (file, offset): (&str, u64),
) -> Result<T, OpenError> {
    let bytes = match (form, sealing) {
        (Form::Plain, _) => Ok(Bytes::copy_from_slice(body)),
        (Form::Sealed, Some(sealing)) => sealing.open(key, body),
        (Form::Sealed, None) => Err(DecodeError { reason: "no keys were given to open it with".to_owned() }),
    };
    let file = file.to_owned();
    match bytes {
        Ok(bytes) => T::decode(key, bytes).map_err(|source| OpenError::Decode {
            file,
            offset,
            key: key.clone(),
            source,
        }),
        Err(source) => Err(OpenError::Sealed { file, offset, key: key.clone(), source }),
    }
}
