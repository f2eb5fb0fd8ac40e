//! Reads a segment and tells a torn end from damage.
//!
//! What a crash may leave of writes that were not synced is any part of them, later parts without earlier ones
//! included. So an unreadable record alone says nothing. But every record carries how far the log was known to be
//! synced when it was written: if such a record follows the unreadable one and says that one was synced, then it was
//! acknowledged and has been damaged since.

use std::collections::VecDeque;

use crate::error::{OpenError, Torn};
use crate::key::Revision;
use crate::log::frame::{self, Batch, Frame, Read};
use crate::log::header::{HEADER_BYTES, Header};

/// Whether other segments follow this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Middle,
    Last,
}

/// How a segment ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Bytes to keep.
    pub(crate) bytes: u64,
    /// Bytes that are known to be synced; those behind were read, which does not say that the disk has them.
    pub(crate) synced: u64,
    /// The last revision recorded, if any.
    pub(crate) last: Option<Revision>,
    pub(crate) torn: Option<Torn>,
}

/// A record and where it begins.
pub(crate) type Record<'a> = (u64, Frame<'a>);

/// Hands over each complete batch in order.
pub(crate) fn scan<'a>(
    file: &str,
    bytes: &'a [u8],
    header: Header,
    place: Place,
    apply: &mut dyn FnMut(&[Record<'a>]) -> Result<(), OpenError>,
) -> Result<End, OpenError> {
    let seed = header.revision.get();
    let (mut at, mut kept) = (HEADER_BYTES, HEADER_BYTES);
    let (mut expected, mut last) = (header.revision, None);
    let mut batch: Vec<Record<'a>> = Vec::new();
    let mut unsure: VecDeque<(Revision, usize)> = VecDeque::new();
    let reason = loop {
        match frame::read(bytes, at, seed) {
            Read::Frame { frame, .. } if frame.revision != expected => {
                let reason = format!("revision {} is recorded where {expected} should be", frame.revision);
                return Err(OpenError::Corrupt { file: file.to_owned(), offset: at as u64, reason });
            }
            Read::Frame { frame, next } => {
                batch.push((at as u64, frame));
                unsure.push_back((frame.revision, at));
                while unsure.pop_front_if(|(revision, _)| *revision <= frame.base).is_some() {}
                (at, expected) = (next, expected.next());
                if frame.batch == Batch::Ends {
                    apply(&batch)?;
                    batch.clear();
                    (kept, last) = (at, Some(frame.revision));
                }
            }
            Read::End if batch.is_empty() => {
                let synced = unsure.front().map_or(kept, |(_, at)| *at) as u64;
                return Ok(End { bytes: kept as u64, synced, last, torn: None });
            }
            Read::End => break "the end of a batch is missing",
            Read::Bad { reason } => break reason,
        }
    };
    refuse_damage(file, bytes, at, place, expected, seed, reason)?;
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(kept, |last| last + 1);
    let torn = Torn {
        file: file.to_owned(),
        offset: kept as u64,
        bytes: written.saturating_sub(kept) as u64,
        reason,
    };
    let synced = unsure.front().map_or(kept, |(_, at)| kept.min(*at)) as u64;
    Ok(End { bytes: kept as u64, synced, last, torn: Some(torn) })
}

/// Fails if the unreadable record at `at`, of revision `lost`, had been synced.
fn refuse_damage(
    file: &str,
    bytes: &[u8],
    at: usize,
    place: Place,
    lost: Revision,
    seed: u64,
    reason: &str,
) -> Result<(), OpenError> {
    let corrupt = |reason| OpenError::Corrupt { file: file.to_owned(), offset: at as u64, reason };
    match place {
        Place::Middle => Err(corrupt(format!("{reason}, in a segment that others follow"))),
        Place::Last => match written_later(bytes, at, lost, seed) {
            Some(later) => {
                Err(corrupt(format!("{reason}, yet byte {later} was written after it was safe on disk")))
            }
            None => Ok(()),
        },
    }
}

/// Where a record begins that was written when `lost` was known to be synced.
fn written_later(bytes: &[u8], at: usize, lost: Revision, seed: u64) -> Option<usize> {
    (at + 8..bytes.len()).step_by(8).find(|offset| {
        frame::plausible(&bytes[*offset..], lost)
            && matches!(
                frame::read(bytes, *offset, seed),
                Read::Frame { frame, .. } if lost <= frame.base
            )
    })
}
