//! The object in the log and in checkpoints: its header in binary, then the document without stamp and revision.
//!
//! Little-endian: a mark (2), flags u8 (1 deletion asked for, 2 the uid is 16 bytes), number of the dictionary u8, bytes
//! of the document when unpacked u32, where its metadata ends u32, created i64, generation i64; then texts, each behind
//! its length: the uid, the stamp's own part, and three lists behind their counts: labels, owners, fields. The rest is
//! the document. Lengths and counts are LEB128.
//!
//! What older programs wrote (a header line in JSON, then the document with stamp) is read as well.

mod first;
mod text;

use bytes::Bytes;
use muster_store::{DecodeError, Key, Payload};
use uuid::Uuid;

use super::pack::Body;
use super::{Deletion, Header, Object, STAMP_BEGIN, STAMP_END, intern};
use text::{Input, push_length, push_text};

const MARK: u8 = 2;
const DELETION: u8 = 1;
const BINARY_UID: u8 = 2;

impl Payload for Object {
    fn encode(&self, out: &mut Vec<u8>) {
        let header = &self.header;
        let uid = uuid(&header.uid);
        let deletion = if header.deletion == Deletion::Requested { DELETION } else { 0 };
        let flags = deletion | if uid.is_some() { BINARY_UID } else { 0 };
        out.extend_from_slice(&[MARK, flags, self.body.dictionary()]);
        out.extend_from_slice(&self.body.length().to_le_bytes());
        out.extend_from_slice(&self.metadata_end.to_le_bytes());
        out.extend_from_slice(&header.created_seconds.to_le_bytes());
        out.extend_from_slice(&header.generation.to_le_bytes());
        match uid {
            Some(uid) => out.extend_from_slice(uid.as_bytes()),
            None => push_text(&header.uid, out),
        }
        push_text(own_part(&self.stamp), out);
        push_length(header.labels.len(), out);
        for (key, value) in &header.labels {
            push_text(key, out);
            push_text(value, out);
        }
        push_length(header.owners.len(), out);
        header.owners.iter().for_each(|owner| push_text(owner, out));
        push_length(header.fields.len(), out);
        for (path, value) in &header.fields {
            push_text(path, out);
            push_text(value, out);
        }
        out.extend_from_slice(self.body.stored());
    }

    fn decode(_key: &Key, bytes: Bytes) -> Result<Self, DecodeError> {
        let decoded = match bytes.first() {
            Some(&MARK) => decode(&bytes),
            Some(_) | None => first::decode(&bytes),
        };
        decoded.map_err(|what| DecodeError { reason: what.to_owned() })
    }

    fn weight(&self) -> usize {
        let header = &self.header;
        let pairs = header.labels.len() * 32 + header.fields.len() * 40 + header.owners.len() * 52;
        size_of::<Self>() + header.uid.len() + pairs + self.body.stored().len()
    }
}

/// The bytes of a uid that is written as all of ours are.
fn uuid(uid: &str) -> Option<Uuid> {
    let parsed = Uuid::try_parse(uid).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (*parsed.hyphenated().encode_lower(&mut buffer) == *uid).then_some(parsed)
}

fn own_part(stamp: &str) -> &str {
    let part = stamp.strip_prefix(STAMP_BEGIN).and_then(|rest| rest.strip_suffix(STAMP_END));
    part.expect("every stamp is made by `stamp`")
}

fn decode(bytes: &[u8]) -> Result<Object, &'static str> {
    let mut input = Input::new(&bytes[1..]);
    let [flags, dictionary] = input.array()?;
    let length = u32::from_le_bytes(input.array()?);
    let metadata_end = u32::from_le_bytes(input.array()?);
    let created_seconds = i64::from_le_bytes(input.array()?);
    let generation = i64::from_le_bytes(input.array()?);
    let uid: Box<str> = if flags & BINARY_UID == 0 {
        input.text()?.into()
    } else {
        Uuid::from_bytes(input.array()?).to_string().into()
    };
    let own = input.text()?;
    let stamp = intern::text(&[STAMP_BEGIN, own, STAMP_END].concat());
    let labels = input.list(|input| Ok((intern::text(input.text()?), intern::text(input.text()?))))?;
    let owners = input.list(|input| Ok(Box::from(input.text()?)))?;
    let fields = input.list(|input| Ok((intern::text(input.text()?), Box::from(input.text()?))))?;
    if length < metadata_end {
        return Err("the metadata ends beyond the document");
    }
    let deletion = if flags & DELETION == 0 { Deletion::None } else { Deletion::Requested };
    Ok(Object {
        header: Header { uid, labels, owners, fields, created_seconds, generation, deletion },
        stamp,
        body: Body::restore(input.rest(), length, dictionary)?,
        metadata_end,
    })
}
