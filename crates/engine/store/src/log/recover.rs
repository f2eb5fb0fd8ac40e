//! Brings state back: the older checkpoint, then the log.

use std::io::{self, Read};
use std::sync::Arc;

use crate::config::Config;
use crate::disk::Disk;
use crate::entry::{Event, Payload};
use crate::error::{Failure, OpenError, Recovery, Torn};
use crate::key::Revision;
use crate::log::frame::Op;
use crate::log::header::{HEADER_BYTES, Header, Magic};
use crate::log::names::{self, Files};
use crate::log::segment::{self, Place, Record};
use crate::log::writer::Log;
use crate::log::{UNSYNCED_WRITES_MAX, checkpoint};
use crate::memory::sequencer::{Sequencer, Tables};
use crate::memory::shared::Shared;
use crate::seal::{self, Sealing};

/// Events gathered before they go to the rings.
const PUBLISH_EVERY: usize = 1024;

/// A store's parts, as far as the disk had them.
pub(crate) struct Recovered<T> {
    pub(crate) sequencer: Sequencer<T>,
    pub(crate) shared: Shared<T>,
    pub(crate) log: Log,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) recovery: Recovery,
}

/// What there is of checkpoints.
pub(crate) struct Checkpoints {
    /// Rising.
    pub(crate) revisions: Vec<Revision>,
    /// Bytes of the one that was read; 0 where none was.
    pub(crate) bytes: u64,
}

/// Reads everything first; only when all of it is sound is anything on disk changed.
pub(crate) fn recover<T: Payload>(disk: Arc<dyn Disk>, config: &Config) -> Result<Recovered<T>, OpenError> {
    let listed = disk.list().map_err(|source| OpenError::Read { file: ".".to_owned(), source })?;
    let files = Files::sort(listed);
    let mut replay = Replay::begin(disk.as_ref(), &files, config)?;
    let segments = replay.needed(disk.as_ref(), &files.segments)?;
    for (index, (first, header)) in segments.iter().enumerate() {
        let place = if index + 1 == segments.len() { Place::Last } else { Place::Middle };
        replay.segment(disk.as_ref(), *first, *header, place)?;
    }
    replay.publish_rest();
    replay.settle(disk, &files, &segments, config)
}

struct Replay<T> {
    sequencer: Sequencer<T>,
    shared: Shared<T>,
    base: Revision,
    checkpoint_bytes: u64,
    /// The newest checkpoint, whose log counts towards the next one.
    newest: Revision,
    /// The last revision recorded.
    last: Option<Revision>,
    pending: Vec<Event<T>>,
    /// Where the last segment ends, and what it has that may not be on disk.
    tail: Option<(segment::End, Vec<u8>)>,
    bytes: u64,
    writes: u64,
    sealing: Option<Sealing>,
}

impl<T: Payload> Replay<T> {
    fn begin(disk: &dyn Disk, files: &Files, config: &Config) -> Result<Self, OpenError> {
        let (base, (sequencer, checkpoint_bytes)) = match older_checkpoint(files) {
            Some(revision) => (revision, checkpoint::load(disk, revision, config.sealing.as_ref())?),
            None => (Revision::ZERO, (Sequencer::new(Tables::new(), Revision::ZERO), 0)),
        };
        let newest = files.checkpoints.last().copied().unwrap_or_default();
        let shared = Shared::new(Tables::new(), base, config.ring_bytes);
        Ok(Self {
            sequencer,
            shared,
            base,
            checkpoint_bytes,
            newest,
            last: None,
            pending: Vec::new(),
            tail: None,
            bytes: 0,
            writes: 0,
            sealing: config.sealing.clone(),
        })
    }

    /// The segments from the checkpoint on, with their headers. Older ones are left over from a clean-up.
    fn needed(&self, disk: &dyn Disk, segments: &[Revision]) -> Result<Vec<(Revision, Header)>, OpenError> {
        let mut needed = Vec::new();
        for first in segments.iter().rev() {
            let name = names::segment(*first);
            let head =
                read_head(disk, &name).map_err(|source| OpenError::Read { file: name.clone(), source })?;
            let header = Header::decode(&name, Magic::Segment, &head)?;
            header.check_name(&name, *first)?;
            needed.push((*first, header));
            if header.other <= self.base.get() {
                break;
            }
        }
        needed.reverse();
        match needed.first() {
            Some((first, header)) if self.base.get() < header.other => {
                Err(OpenError::Missing { after: self.base, before: *first })
            }
            None if self.base != Revision::ZERO => {
                Err(OpenError::Missing { after: self.base, before: self.base.next() })
            }
            Some(_) | None => Ok(needed),
        }
    }

    fn segment(
        &mut self,
        disk: &dyn Disk,
        first: Revision,
        header: Header,
        place: Place,
    ) -> Result<(), OpenError> {
        let name = names::segment(first);
        if let Some(last) = self.last
            && last.get() != header.other
        {
            return Err(OpenError::Missing { after: last, before: first });
        }
        self.last = Some(Revision::new(header.other));
        let bytes = disk.read(&name).map_err(|source| OpenError::Read { file: name.clone(), source })?;
        let end = segment::scan(&name, &bytes, header, place, &mut |batch| self.batch(&name, batch))?;
        self.last = end.last.or(self.last);
        if self.newest < first {
            self.bytes += end.bytes;
        }
        let unsure = bytes[end.synced as usize..end.bytes as usize].to_vec();
        self.tail = Some((end, unsure));
        Ok(())
    }

    fn batch(&mut self, file: &str, records: &[Record<'_>]) -> Result<(), OpenError> {
        for (offset, frame) in records {
            if frame.revision <= self.base {
                continue;
            }
            let key = frame.key();
            let event = match frame.op {
                Op::Put { body, form } => {
                    let value = seal::decode(self.sealing.as_ref(), &key, (form, body), (file, *offset))?;
                    Some(self.sequencer.put(&key, value, frame.revision))
                }
                Op::Delete => self.sequencer.delete(&key, frame.revision),
            };
            let event = event.ok_or_else(|| OpenError::Corrupt {
                file: file.to_owned(),
                offset: *offset,
                reason: format!("{key} is deleted but was never written"),
            })?;
            self.pending.push(event);
            self.writes += 1;
        }
        if PUBLISH_EVERY <= self.pending.len() {
            self.publish_pending();
        }
        Ok(())
    }

    fn publish_pending(&mut self) {
        let events = std::mem::take(&mut self.pending);
        self.shared.publish(events, Tables::new(), self.sequencer.last());
    }

    fn publish_rest(&mut self) {
        self.publish_pending();
        self.shared.publish(Vec::new(), self.sequencer.tables().clone(), self.sequencer.last());
    }

    /// Cuts what is torn, removes what is left over, begins a segment.
    fn settle(
        mut self,
        disk: Arc<dyn Disk>,
        files: &Files,
        segments: &[(Revision, Header)],
        config: &Config,
    ) -> Result<Recovered<T>, OpenError> {
        let mut kept: Vec<Revision> = segments.iter().map(|(first, _)| *first).collect();
        let last = self.last.unwrap_or(self.base);
        let torn = self.cut(disk.as_ref(), kept.last().copied())?;
        // A checkpoint that was seen makes older files obsolete only once its name is on disk.
        let synced = disk.sync_directory();
        synced.map_err(|source| OpenError::Write(Failure::new("data directory", "sync", source)))?;
        let mut leftovers = files.unfinished.clone();
        leftovers.extend(
            files.segments.iter().filter(|first| !kept.contains(first)).map(|first| names::segment(*first)),
        );
        remove_all(disk.as_ref(), &leftovers)?;
        let first = match kept.last() {
            None => last.next(),
            Some(newest) => {
                let given = self.sequencer.last().max(last).get().max(newest.get() - 1);
                Revision::new(given + UNSYNCED_WRITES_MAX + 1)
            }
        };
        let empty =
            self.tail.as_ref().is_some_and(|(end, _)| end.last.is_none()).then(|| kept.pop()).flatten();
        let mut log =
            Log::begin(disk.clone(), config.segment_bytes, kept, last, first).map_err(OpenError::Write)?;
        log.count_replayed(self.bytes);
        if let Some(empty) = empty {
            remove_all(disk.as_ref(), &[names::segment(empty)])?;
        }
        let revision = Revision::new(first.get() - 1);
        self.sequencer.skip_to(revision);
        self.shared.publish(Vec::new(), Tables::new(), revision);
        let recovery = Recovery { revision, entries: self.sequencer.len(), replayed: self.writes, torn };
        let (sequencer, shared) = (self.sequencer, self.shared);
        let checkpoints = Checkpoints { revisions: files.checkpoints.clone(), bytes: self.checkpoint_bytes };
        Ok(Recovered { sequencer, shared, log, checkpoints, recovery })
    }

    /// Cuts the last segment behind its last batch: a torn end, and the space that was reserved. What may not be on
    /// disk is written again: after a failed sync the cache has records that the disk never gets otherwise.
    fn cut(&mut self, disk: &dyn Disk, newest: Option<Revision>) -> Result<Option<Torn>, OpenError> {
        let (Some(first), Some((end, unsure))) = (newest, self.tail.as_mut()) else { return Ok(None) };
        let name = names::segment(first);
        let rewrite = |disk: &dyn Disk| {
            let mut file = disk.edit(&name)?;
            file.truncate(end.bytes)?;
            file.write_at(end.synced, unsure)?;
            file.sync()
        };
        rewrite(disk).map_err(|source| OpenError::Write(Failure::new(&name, "rewrite the end", source)))?;
        Ok(end.torn.take())
    }
}

/// The checkpoint before the newest. Before the first one there is the empty store, as long as its log is there.
fn older_checkpoint(files: &Files) -> Option<Revision> {
    let log_is_whole = files.segments.first() == Some(&Revision::ZERO.next());
    match files.checkpoints.as_slice() {
        [_] if log_is_whole => None,
        [.., older, _newest] => Some(*older),
        checkpoints => checkpoints.first().copied(),
    }
}

fn read_head(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    disk.open(name)?.take(HEADER_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn remove_all(disk: &dyn Disk, names: &[String]) -> Result<(), OpenError> {
    for name in names {
        let removed = disk.remove(name);
        removed.map_err(|source| OpenError::Write(Failure::new(name, "remove", source)))?;
    }
    Ok(())
}
