//! The files: segments of records, appended, synced in groups, chained by SHA-256. Never rewritten.
//!
//! A segment begins with a header (format, number, first sequence number, the chain so far) and, once full, ends with a
//! seal that repeats the chain. What was not synced when the power went is cut off with a warning; anything else that
//! does not read as written is refused with its place.

mod files;
mod frame;
mod recover;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

pub(crate) use files::{Directory, Files};
pub(crate) use frame::Position;
use frame::{Chain, Frame, HEADER_BYTES, Header};
pub use recover::Torn;
pub(crate) use verify::{Anchor, Until, verify};
pub use verify::{Broken, Verdict};

/// A segment that has reached this is sealed, and the next begins.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;

/// Why the files cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("{file}: cannot {step}; check the owner and free space of the history directory")]
    File {
        /// Which file.
        file: String,
        /// What was tried.
        step: &'static str,
        /// Its answer.
        #[source]
        source: std::io::Error,
    },
    /// Something does not read as it was written.
    #[error(
        "{file}: damaged at offset {offset}: {reason}; nothing was changed; restore the file from a backup, or move the history directory away to begin a new one"
    )]
    Damaged {
        /// Which file.
        file: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Written by another version.
    #[error(
        "{file}: its format is {found}, this program reads {known}; use the version of Muster that wrote it"
    )]
    Format {
        /// Which file.
        file: String,
        /// What the file says.
        found: u32,
        /// What is understood.
        known: u32,
    },
    /// Another process writes there.
    #[error("{directory}: another process writes this history; end it first")]
    Held {
        /// The directory.
        directory: String,
    },
}

fn failed(file: &str, step: &'static str) -> impl FnOnce(std::io::Error) -> LogError {
    move |source| LogError::File { file: file.to_owned(), step, source }
}

/// Takes each record at opening: where it is, its sequence number, its body.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Position, u64, &[u8]) -> Result<(), String>;

/// The end of the log, where records are appended.
pub(crate) struct Log {
    files: Arc<dyn Files>,
    segment_bytes: u64,
    segment: u32,
    /// Bytes of the segment that are written and synced.
    end: u64,
    /// Sequence number of the next record.
    next: u64,
    group_first: u64,
    chain: Chain,
    group: Vec<u8>,
}

impl Log {
    /// Reads the whole log, handing every record to `record`, and stands at its end.
    ///
    /// # Errors
    /// Damage other than a torn end, and what the file system says.
    pub(crate) fn open(
        files: Arc<dyn Files>,
        segment_bytes: u64,
        record: Sink<'_>,
    ) -> Result<(Self, Option<Torn>), LogError> {
        let (end, torn) = recover::recover(&*files, record)?;
        let mut log = Self {
            files,
            segment_bytes,
            segment: end.segment,
            end: end.bytes,
            next: end.next,
            group_first: end.next,
            chain: end.chain,
            group: Vec::new(),
        };
        if end.sealed || end.segment == 0 {
            log.begin_segment()?;
        }
        Ok((log, torn))
    }

    #[cfg(test)]
    fn chain(&self) -> [u8; 32] {
        self.chain.0
    }

    /// The end of what is synced.
    pub(crate) fn until(&self) -> Until {
        Until { segment: self.segment, bytes: self.end }
    }

    /// Adds a record to the group that the next [`Log::commit`] makes durable.
    ///
    /// # Errors
    /// A full segment is sealed first, which the file system may refuse.
    pub(crate) fn append(&mut self, body: &[u8]) -> Result<Position, LogError> {
        if self.group.is_empty() {
            if self.end >= self.segment_bytes {
                self.seal()?;
            }
            self.group_first = self.next;
        }
        let position = Position::new(self.segment, self.end + self.group.len() as u64);
        let frame = Frame::Record { sequence: self.next, group_first: self.group_first, body };
        frame.encode(self.segment, &mut self.chain, &mut self.group);
        self.next += 1;
        Ok(position)
    }

    /// Writes the group and syncs it once.
    ///
    /// # Errors
    /// What the file system says; the log must then be opened anew.
    pub(crate) fn commit(&mut self) -> Result<(), LogError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let name = files::name(self.segment);
        self.files.write_at(&name, self.end, &self.group).map_err(failed(&name, "write"))?;
        self.files.sync(&name).map_err(failed(&name, "sync"))?;
        self.end += self.group.len() as u64;
        self.group.clear();
        Ok(())
    }

    /// The body of the record at `position`, which may still be in the group.
    ///
    /// # Errors
    /// Damage, and what the file system says.
    pub(crate) fn read(&self, position: Position) -> Result<Vec<u8>, LogError> {
        if position.segment() == self.segment
            && let Some(at) = position.offset().checked_sub(self.end)
        {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            return frame::body_at(&self.group, at, self.segment).map_err(|reason| damaged(position, reason));
        }
        read(&*self.files, position)
    }

    fn seal(&mut self) -> Result<(), LogError> {
        let mut seal = Vec::new();
        Frame::Seal { next: self.next, chain: self.chain.0 }.encode(self.segment, &mut self.chain, &mut seal);
        let name = files::name(self.segment);
        self.files.write_at(&name, self.end, &seal).map_err(failed(&name, "seal"))?;
        self.files.sync(&name).map_err(failed(&name, "sync"))?;
        self.begin_segment()
    }

    fn begin_segment(&mut self) -> Result<(), LogError> {
        self.segment += 1;
        let name = files::name(self.segment);
        let header = Header { segment: self.segment, first: self.next, chain: self.chain.0 };
        self.files.create(&name).map_err(failed(&name, "create"))?;
        self.files.write_at(&name, 0, &header.encode()).map_err(failed(&name, "write"))?;
        self.files.sync(&name).map_err(failed(&name, "sync"))?;
        self.files.sync_directory().map_err(failed(&name, "sync the directory of"))?;
        self.end = HEADER_BYTES as u64;
        Ok(())
    }
}

pub(crate) fn damaged(position: Position, reason: &str) -> LogError {
    let file = files::name(position.segment());
    LogError::Damaged { file, offset: position.offset(), reason: reason.to_owned() }
}

/// The body of a record that is synced.
///
/// # Errors
/// Damage, and what the file system says.
pub(crate) fn read(files: &dyn Files, position: Position) -> Result<Vec<u8>, LogError> {
    const GUESS_BYTES: usize = 512;
    let name = files::name(position.segment());
    let get = |count| files.read_at(&name, position.offset(), count).map_err(failed(&name, "read"));
    let mut bytes = get(GUESS_BYTES)?;
    if let Some(all) = frame::bytes_wanted(&bytes)
        && bytes.len() < all
    {
        bytes = get(all)?;
    }
    frame::body_at(&bytes, 0, position.segment()).map_err(|reason| damaged(position, reason))
}
