//! Opening a log: every record is read, a torn end is cut off, damage is refused.

use super::files::{self, Files};
use super::frame::{BadHeader, Chain, FORMAT, Frame, HEADER_BYTES, Header, PREFIX_BYTES, frame_at};
use super::{LogError, Position, Sink, failed};

/// What a crash had left at the end of the log; it was never synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Which file.
    pub file: String,
    /// Where it was cut.
    pub offset: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
}

/// Where the log ends.
pub(super) struct End {
    /// 0: there is no segment yet.
    pub(super) segment: u32,
    pub(super) bytes: u64,
    pub(super) next: u64,
    pub(super) chain: Chain,
    pub(super) sealed: bool,
}

pub(super) fn recover(files: &dyn Files, record: Sink<'_>) -> Result<(End, Option<Torn>), LogError> {
    let names = files.list().map_err(failed("history", "list the directory"))?;
    let segments = files::segments(&names);
    let mut end = End { segment: 0, bytes: 0, next: 1, chain: Chain::default(), sealed: true };
    for (index, segment) in segments.iter().enumerate() {
        let name = files::name(*segment);
        let bytes = files.read(&name).map_err(failed(&name, "read"))?;
        let is_last = index + 1 == segments.len();
        if is_last && end.sealed && bytes.len() <= HEADER_BYTES && Header::decode(&bytes).is_err() {
            files.remove(&name).map_err(failed(&name, "remove"))?;
            files.sync_directory().map_err(failed(&name, "sync the directory of"))?;
            return Ok((end, Some(Torn { file: name, offset: 0, bytes: bytes.len() as u64 })));
        }
        begin(&mut end, *segment, &name, &bytes)?;
        if let Some(torn) = walk(&mut end, &name, &bytes, record)? {
            if !is_last {
                return Err(damaged(&name, torn, "it ends without a seal, and a later segment is there"));
            }
            files.truncate(&name, torn).map_err(failed(&name, "cut"))?;
            files.sync(&name).map_err(failed(&name, "sync"))?;
            let cut = bytes.len() as u64 - torn;
            return Ok((end, (cut > 0).then_some(Torn { file: name, offset: torn, bytes: cut })));
        }
    }
    Ok((end, None))
}

fn damaged(file: &str, offset: u64, reason: &str) -> LogError {
    LogError::Damaged { file: file.to_owned(), offset, reason: reason.to_owned() }
}

fn begin(end: &mut End, segment: u32, name: &str, bytes: &[u8]) -> Result<(), LogError> {
    let header = Header::decode(bytes).map_err(|bad| match bad {
        BadHeader::Format(found) => LogError::Format { file: name.to_owned(), found, known: FORMAT },
        BadHeader::Damaged(reason) => damaged(name, 0, reason),
    })?;
    if segment != end.segment + 1 || header.segment != segment {
        return Err(damaged(name, 0, &format!("segment {} should stand here", end.segment + 1)));
    }
    if (header.first, header.chain) != (end.next, end.chain.0) {
        return Err(damaged(name, 0, "it does not continue the segment before"));
    }
    (end.segment, end.bytes, end.sealed) = (segment, HEADER_BYTES as u64, false);
    Ok(())
}

/// Hands over the records of a segment; the offset where it ends if it is not sealed.
fn walk(end: &mut End, name: &str, bytes: &[u8], record: Sink<'_>) -> Result<Option<u64>, LogError> {
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let found = match frame_at(bytes, at, end.segment) {
            Ok(found) => found,
            Err(reason) if was_synced(bytes, at, end) => return Err(damaged(name, at as u64, reason)),
            Err(_) => break,
        };
        match found.frame {
            Frame::Record { sequence, body, .. } => {
                let chain = end.chain.after(found.content);
                if sequence != end.next || chain.link() != found.link {
                    return Err(damaged(name, at as u64, "the record does not continue the chain"));
                }
                record(Position::new(end.segment, at as u64), sequence, body)
                    .map_err(|reason| damaged(name, at as u64, &reason))?;
                (end.chain, end.next) = (chain, sequence + 1);
            }
            Frame::Seal { next, chain } => {
                if (next, chain) != (end.next, end.chain.0) || found.next != bytes.len() {
                    return Err(damaged(name, at as u64, "the seal does not fit the segment"));
                }
                end.sealed = true;
            }
        }
        at = found.next;
        end.bytes = at as u64;
    }
    Ok((!end.sealed).then_some(end.bytes))
}

/// Whether what should begin at `at` was synced once: a whole frame of a later group stands behind it.
fn was_synced(bytes: &[u8], at: usize, end: &End) -> bool {
    (at + 1..bytes.len().saturating_sub(PREFIX_BYTES)).any(|later| {
        frame_at(bytes, later, end.segment).is_ok_and(|found| match found.frame {
            Frame::Record { group_first, .. } => group_first > end.next,
            Frame::Seal { .. } => true,
        })
    })
}
