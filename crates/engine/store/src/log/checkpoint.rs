//! All entries at one revision, in one sorted file.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::{Disk, DiskFile};
use crate::entry::{Entry, Payload};
use crate::error::{Failure, OpenError};
use crate::key::Revision;
use crate::log::frame::{self, Batch, Frame, Op, PREFIX_BYTES};
use crate::log::header::{HEADER_BYTES, Header, Magic, le32};
use crate::log::names;
use crate::memory::sequencer::{Sequencer, Tables};
use crate::memory::table::Table;
use crate::seal::{self, Body, Sealing};

/// Written at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Synced in steps, so that the log's own syncs do not queue behind one large one.
const SYNC_EVERY_BYTES: u64 = 8 << 20;

/// A checkpoint to be written in the background.
pub(crate) struct Job<T> {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) revision: Revision,
    pub(crate) tables: Tables<T>,
    /// Segments and checkpoints that nothing needs any more once this checkpoint is there.
    pub(crate) obsolete: Vec<String>,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) sealing: Option<Sealing>,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Written {
        revision: Revision,
        bytes: u64,
    },
    Cancelled,
    /// There is no such checkpoint; the log goes on as it was.
    Failed(Failure),
    /// The checkpoint is there, an obsolete file too: the next checkpoint removes it.
    NotTidied {
        revision: Revision,
        failure: Failure,
    },
}

impl<T: Payload> Job<T> {
    pub(crate) fn run(self) -> Outcome {
        let name = names::checkpoint(self.revision);
        let unfinished = names::unfinished(&name);
        match self.write(&name, &unfinished) {
            Ok(Some(bytes)) => match self.tidy() {
                Ok(()) => Outcome::Written { revision: self.revision, bytes },
                Err(failure) => Outcome::NotTidied { revision: self.revision, failure },
            },
            Ok(None) => {
                remove_unfinished(self.disk.as_ref(), &unfinished);
                Outcome::Cancelled
            }
            Err(failure) => {
                remove_unfinished(self.disk.as_ref(), &unfinished);
                Outcome::Failed(failure)
            }
        }
    }

    /// The size of the checkpoint, none if cancelled.
    fn write(&self, name: &str, unfinished: &str) -> Result<Option<u64>, Failure> {
        let failed = |step: &'static str| move |source| Failure::new(name, step, source);
        let file = self.disk.create(unfinished, 0).map_err(failed("create"))?;
        let mut output = Output::new(file);
        let count = self.tables.values().map(Table::len).sum::<usize>() as u64;
        let header = Header { magic: Magic::Checkpoint, revision: self.revision, other: count };
        output.buffer.extend_from_slice(&header.encode());
        let mut resources: Vec<_> = self.tables.iter().collect();
        resources.sort_unstable_by_key(|(name, _)| *name);
        for (_, table) in resources {
            for entry in table.range(std::ops::Bound::Unbounded) {
                if self.cancelled.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let body = seal::encode(self.sealing.as_ref(), &entry.key, &entry.value);
                as_frame(entry, &body).encode(self.revision.get(), &mut output.buffer);
                output.spill().map_err(failed("write"))?;
            }
        }
        let bytes = output.finish().map_err(failed("write"))?;
        self.disk.rename(unfinished, name).map_err(failed("rename"))?;
        self.disk.sync_directory().map_err(failed("sync the directory"))?;
        Ok(Some(bytes))
    }

    fn tidy(&self) -> Result<(), Failure> {
        for file in &self.obsolete {
            match self.disk.remove(file) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Failure::new(file, "remove", source)),
            }
        }
        self.disk.sync_directory().map_err(|source| Failure::new("data directory", "sync", source))
    }
}

fn remove_unfinished(disk: &dyn Disk, name: &str) {
    if let Err(error) = disk.remove(name) {
        tracing::debug!(file = %name, %error, "unfinished checkpoint is not removed");
    }
}

fn as_frame<'a, T>(entry: &'a Entry<T>, body: &'a Body) -> Frame<'a> {
    Frame {
        revision: entry.revision,
        base: entry.created,
        op: Op::Put { body: &body.bytes, form: body.form },
        batch: Batch::Ends,
        resource: &entry.key.resource,
        namespace: &entry.key.namespace,
        name: &entry.key.name,
    }
}

struct Output {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
}

impl Output {
    fn new(file: Box<dyn DiskFile>) -> Self {
        Self { file, buffer: Vec::with_capacity(CHUNK_BYTES), written: 0, synced: 0 }
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.buffer.len() < CHUNK_BYTES {
            return Ok(());
        }
        self.flush()?;
        if SYNC_EVERY_BYTES <= self.written - self.synced {
            self.sync()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.synced = self.written;
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        self.sync()?;
        Ok(self.written)
    }
}

/// Reads a checkpoint, whole or not at all: damage anywhere refuses it. Gives the bytes it takes too.
pub(crate) fn load<T: Payload>(
    disk: &dyn Disk,
    revision: Revision,
    sealing: Option<&Sealing>,
) -> Result<(Sequencer<T>, u64), OpenError> {
    let name = names::checkpoint(revision);
    let unreadable = |source| OpenError::Read { file: name.clone(), source };
    let input = disk.open(&name).map_err(unreadable)?;
    let mut input = io::BufReader::with_capacity(CHUNK_BYTES, input);
    let mut header = Vec::new();
    input.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(unreadable)?;
    let header = Header::decode(&name, Magic::Checkpoint, &header)?;
    header.check_name(&name, revision)?;
    let mut at = HEADER_BYTES as u64;
    let mut sequencer = Sequencer::new(Tables::new(), Revision::ZERO);
    let mut content = Vec::new();
    for _ in 0..header.other {
        let corrupt =
            |reason: &str| OpenError::Corrupt { file: name.clone(), offset: at, reason: reason.to_owned() };
        let crc = read_content(&mut input, &mut content).map_err(unreadable)?.map_err(corrupt)?;
        let frame = frame::decode(header.revision.get(), crc, &content).map_err(corrupt)?;
        let Op::Put { body, form } = frame.op else { return Err(corrupt("an entry is a deletion")) };
        let key = frame.key();
        let value = seal::decode(sealing, &key, (form, body), (&name, at))?;
        sequencer.restore(Entry { key, created: frame.base, revision: frame.revision, value });
        at += (PREFIX_BYTES + content.len()).next_multiple_of(8) as u64;
    }
    sequencer.skip_to(header.revision);
    Ok((sequencer, at))
}

/// The content of the next frame; gives its checksum, or says what is wrong.
fn read_content(input: &mut impl Read, content: &mut Vec<u8>) -> io::Result<Result<u32, &'static str>> {
    const ENDS: &str = "the file ends before its last entry";
    content.clear();
    input.by_ref().take(PREFIX_BYTES as u64).read_to_end(content)?;
    if content.len() < PREFIX_BYTES {
        return Ok(Err(ENDS));
    }
    let (length, crc) = (le32(content, 0) as usize, le32(content, 4));
    content.clear();
    let padded = length.next_multiple_of(8);
    if input.by_ref().take(padded as u64).read_to_end(content)? < padded {
        return Ok(Err(ENDS));
    }
    if content[length..].iter().any(|byte| *byte != 0) {
        return Ok(Err("bytes between two entries are not zero"));
    }
    content.truncate(length);
    Ok(Ok(crc))
}
