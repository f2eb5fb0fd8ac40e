//! The form before: a header line in JSON, then the document with its stamp.

use serde::Deserialize;

use super::super::pack::Body;
use super::super::{Deletion, Header, Object, STAMP_BEGIN, STAMP_END, intern};

#[derive(Deserialize)]
struct Line {
    uid: Box<str>,
    labels: Vec<(String, String)>,
    owners: Vec<Box<str>>,
    fields: Vec<(String, Box<str>)>,
    created: i64,
    generation: i64,
    deletion: bool,
    metadata_end: u32,
}

pub(super) fn decode(bytes: &[u8]) -> Result<Object, &'static str> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n').ok_or("the header line does not end")?;
    let line: Line =
        serde_json::from_slice(&bytes[..line_end]).map_err(|_| "the header line is not readable")?;
    let document = &bytes[line_end + 1..];
    let mark = STAMP_END.as_bytes();
    let mark_at = document.windows(mark.len()).position(|window| window == mark);
    let (stamp, tail) = document.split_at(mark_at.ok_or("the document has no stamp")? + mark.len());
    let stamp = std::str::from_utf8(stamp).map_err(|_| "the document's stamp is not text")?;
    if !stamp.starts_with(STAMP_BEGIN) {
        return Err("the document does not begin with its stamp");
    }
    if tail.len() < line.metadata_end as usize {
        return Err("the metadata ends beyond the document");
    }
    Ok(Object {
        header: Header {
            uid: line.uid,
            labels: line.labels.iter().map(|(key, value)| (intern::text(key), intern::text(value))).collect(),
            owners: line.owners.into(),
            fields: line.fields.into_iter().map(|(path, value)| (intern::text(&path), value)).collect(),
            created_seconds: line.created,
            generation: line.generation,
            deletion: if line.deletion { Deletion::Requested } else { Deletion::None },
        },
        stamp: intern::text(stamp),
        body: Body::new(stamp, tail),
        metadata_end: line.metadata_end,
    })
}
