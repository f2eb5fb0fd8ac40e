//! The object in the log and in checkpoints: a header line, then the document with an empty revision.
//!
//! The header is repeated so that a start does not have to read every body.

use bytes::Bytes;
use muster_store::{DecodeError, Key, Payload};
use serde::{Deserialize, Serialize};

use super::{Deletion, Header, Object, intern};

const MARK: &[u8] = b"\"metadata\":{\"resourceVersion\":\"";

#[derive(Serialize, Deserialize)]
struct Line {
    uid: Box<str>,
    labels: Vec<(String, String)>,
    owners: Vec<Box<str>>,
    fields: Vec<(String, Box<str>)>,
    created: i64,
    generation: i64,
    deletion: bool,
    metadata_end: usize,
}

impl Payload for Object {
    fn encode(&self, out: &mut Vec<u8>) {
        let pairs = |list: &[(std::sync::Arc<str>, std::sync::Arc<str>)]| {
            list.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
        };
        let header = &self.header;
        let line = Line {
            uid: header.uid.clone(),
            labels: pairs(&header.labels),
            owners: header.owners.clone(),
            fields: header.fields.iter().map(|(path, value)| (path.to_string(), value.clone())).collect(),
            created: header.created_seconds,
            generation: header.generation,
            deletion: header.deletion == Deletion::Requested,
            metadata_end: self.metadata_end,
        };
        serde_json::to_writer(&mut *out, &line).expect("writing to memory does not fail");
        out.push(b'\n');
        out.extend_from_slice(self.stamp.as_bytes());
        out.extend_from_slice(&self.tail);
    }

    fn decode(_key: &Key, bytes: Bytes) -> Result<Self, DecodeError> {
        decode(bytes).map_err(|what| DecodeError { reason: what.to_owned() })
    }

    fn weight(&self) -> usize {
        let header = &self.header;
        let pairs = header.labels.len() * 32 + header.fields.len() * 40 + header.owners.len() * 52;
        size_of::<Self>() + header.uid.len() + pairs + self.tail.len()
    }
}

fn decode(bytes: Bytes) -> Result<Object, &'static str> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n').ok_or("the header line does not end")?;
    let line: Line =
        serde_json::from_slice(&bytes[..line_end]).map_err(|_| "the header line is not readable")?;
    let body = bytes.slice(line_end + 1..);
    let mark =
        body.windows(MARK.len()).position(|window| window == MARK).ok_or("the document has no stamp")?;
    let stamp_end = mark + MARK.len();
    let stamp = std::str::from_utf8(&body[..stamp_end]).map_err(|_| "the document's stamp is not text")?;
    let tail = body.slice(stamp_end..);
    if line.metadata_end > tail.len() {
        return Err("the metadata ends beyond the document");
    }
    Ok(Object {
        header: Header {
            uid: line.uid,
            labels: line.labels.iter().map(|(key, value)| (intern::text(key), intern::text(value))).collect(),
            owners: line.owners,
            fields: line.fields.into_iter().map(|(path, value)| (intern::text(&path), value)).collect(),
            created_seconds: line.created,
            generation: line.generation,
            deletion: if line.deletion { Deletion::Requested } else { Deletion::None },
        },
        stamp: intern::text(stamp),
        tail,
        metadata_end: line.metadata_end,
    })
}
