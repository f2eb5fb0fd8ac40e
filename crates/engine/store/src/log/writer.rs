//! Appends to the last segment, begins the next one.

use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::Failure;
use crate::key::Revision;
use crate::log::header::{HEADER_BYTES, Header, Magic};
use crate::log::names;

/// The log being written. After a failure it must not be used again: what the disk kept is unknown.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    current: Segment,
    /// First revision of each segment on disk, rising; the last is the current one.
    segments: Vec<Revision>,
    /// The last revision recorded.
    last: Revision,
    synced: Revision,
    /// Bytes of frames since the last checkpoint began.
    since_checkpoint_bytes: u64,
}

struct Segment {
    name: String,
    first: Revision,
    file: Box<dyn DiskFile>,
    end: u64,
    reserved: u64,
}

impl Log {
    /// Begins a segment at `first`, above all segments on disk; `last` is the last revision they record.
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        segments: Vec<Revision>,
        last: Revision,
        first: Revision,
    ) -> Result<Self, Failure> {
        let current = Segment::create(disk.as_ref(), first, last, segment_bytes)?;
        let mut log =
            Self { disk, segment_bytes, current, segments, last, synced: last, since_checkpoint_bytes: 0 };
        log.segments.push(first);
        Ok(log)
    }

    /// The last revision known to be on disk.
    pub(crate) fn synced(&self) -> Revision {
        self.synced
    }

    /// The last revision recorded, synced or not.
    pub(crate) fn last(&self) -> Revision {
        self.last
    }

    /// The number that the frames of the current segment are sealed with.
    pub(crate) fn seed(&self) -> u64 {
        self.current.first.get()
    }

    pub(crate) fn since_checkpoint_bytes(&self) -> u64 {
        self.since_checkpoint_bytes
    }

    /// Counts log that was there already.
    pub(crate) fn count_replayed(&mut self, bytes: u64) {
        self.since_checkpoint_bytes += bytes;
    }

    /// Makes room for a group of this many bytes, beginning with revision `first`.
    pub(crate) fn make_room(&mut self, bytes: u64, first: Revision) -> Result<(), Failure> {
        if self.current.reserved < self.current.end + bytes {
            self.rotate(first)?;
        }
        Ok(())
    }

    /// Writes a group of frames that ends with revision `last`.
    pub(crate) fn append(&mut self, frames: &[u8], last: Revision) -> Result<(), Failure> {
        let segment = &mut self.current;
        let written = segment.file.write_at(segment.end, frames);
        written.map_err(|source| Failure::new(&segment.name, "append", source))?;
        segment.end += frames.len() as u64;
        self.last = last;
        self.since_checkpoint_bytes += frames.len() as u64;
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        let done = self.current.file.sync();
        done.map_err(|source| Failure::new(&self.current.name, "sync", source))?;
        self.synced = self.last;
        Ok(())
    }

    /// Gives back the space that is reserved behind the last record, and syncs.
    pub(crate) fn seal(&mut self) -> Result<(), Failure> {
        let segment = &mut self.current;
        let cut = segment.file.truncate(segment.end);
        cut.map_err(|source| Failure::new(&segment.name, "truncate", source))?;
        self.sync()
    }

    /// Ends the current segment, synced, and begins the next at `first`. A segment without records, which begins at
    /// `first` itself, goes on.
    pub(crate) fn rotate(&mut self, first: Revision) -> Result<(), Failure> {
        if self.current.end == HEADER_BYTES as u64 {
            return Ok(());
        }
        self.seal()?;
        self.current = Segment::create(self.disk.as_ref(), first, self.last, self.segment_bytes)?;
        self.segments.push(first);
        Ok(())
    }

    /// Counts the log from here on for the next checkpoint.
    pub(crate) fn begin_checkpoint(&mut self) {
        self.since_checkpoint_bytes = 0;
    }

    /// The segments with no record above this revision.
    pub(crate) fn covered_by(&self, revision: Revision) -> impl Iterator<Item = Revision> {
        let pairs = self.segments.windows(2);
        pairs.filter(move |pair| pair[1] <= revision.next()).map(|pair| pair[0])
    }

    /// Forgets segments that were removed.
    pub(crate) fn forget_covered_by(&mut self, revision: Revision) {
        let covered = self.covered_by(revision).count();
        self.segments.drain(..covered);
    }
}

impl Segment {
    /// A segment appears under its name with its header on disk, or not at all.
    fn create(disk: &dyn Disk, first: Revision, last: Revision, bytes: u64) -> Result<Self, Failure> {
        let name = names::segment(first);
        let unfinished = names::unfinished(&name);
        Self::create_as(disk, &name, &unfinished, first, last, bytes).inspect_err(|failure| {
            if let Err(error) = disk.remove(&unfinished) {
                tracing::debug!(file = %unfinished, %error, %failure, "unfinished segment is not removed");
            }
        })
    }

    fn create_as(
        disk: &dyn Disk,
        name: &str,
        unfinished: &str,
        first: Revision,
        last: Revision,
        bytes: u64,
    ) -> Result<Self, Failure> {
        let failed = |step: &'static str| move |source| Failure::new(name, step, source);
        let header = Header { magic: Magic::Segment, revision: first, other: last.get() }.encode();
        let mut file = disk.create(unfinished, bytes).map_err(failed("create"))?;
        file.write_at(0, &header).map_err(failed("write the header"))?;
        file.sync().map_err(failed("sync"))?;
        disk.rename(unfinished, name).map_err(failed("rename"))?;
        disk.sync_directory().map_err(failed("sync the directory"))?;
        Ok(Self { name: name.to_owned(), first, file, end: HEADER_BYTES as u64, reserved: bytes })
    }
}
