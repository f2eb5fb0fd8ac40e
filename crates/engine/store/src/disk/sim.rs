//! A disk that forgets: what was not synced is lost at a crash, wholly or in random pieces.

use std::collections::BTreeMap;
use std::io::{self, Cursor, ErrorKind, Read};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;

use super::{Disk, DiskFile};

/// Smaller than a real one, so that small records are torn too.
const SECTOR_BYTES: usize = 64;

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power goes: this and every later operation fails.
    Crash,
    /// The disk is full: this and every later operation that takes space fails, a write after half of it.
    Full,
    /// A sync fails once, its data is dropped, and later syncs succeed: what Linux does.
    SyncFails,
}

/// What is left of unsynced changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    Pieces,
}

#[derive(Clone, Default)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    lasting_names: BTreeMap<String, u64>,
    renames: Vec<Rename>,
    operations: u64,
    fault: Option<(u64, Fault)>,
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    lasting: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize { bytes: usize },
}

#[derive(Clone)]
enum Rename {
    Add { name: String, file: u64 },
    Move { from: String, to: String },
    Remove { name: String },
}

impl SimDisk {
    /// Lets the operation that comes after this many others go wrong.
    pub(crate) fn fault_after(&self, operations: u64, fault: Fault) {
        let mut state = self.state.lock();
        state.fault = Some((state.operations + operations, fault));
    }

    pub(crate) fn repair(&self) {
        self.state.lock().fault = None;
    }

    pub(crate) fn has_crashed(&self) -> bool {
        let state = self.state.lock();
        matches!(state.fault, Some((at, Fault::Crash)) if at < state.operations)
    }

    /// The power goes and comes back.
    pub(crate) fn crash(&self, left: Left, rng: &mut StdRng) {
        let mut state = self.state.lock();
        state.fault = None;
        let keep = match left {
            Left::Nothing => 0.0,
            Left::Pieces => [0.1, 0.5, 0.9, 1.0][rng.random_range(0..4)],
        };
        let renames = std::mem::take(&mut state.renames);
        state.names = state.lasting_names.clone();
        for rename in renames {
            if rng.random_bool(keep) {
                rename.apply(&mut state.names);
            }
        }
        state.lasting_names = state.names.clone();
        for file in state.files.values_mut() {
            file.crash(keep, rng);
        }
    }

    /// The process ends; the disk and its cache live on.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state.lock().names.keys().cloned().collect()
    }

    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state.lock();
        state.files[&state.names[name]].now.clone()
    }

    /// Puts a file there as if it had always been.
    pub(crate) fn plant(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        let file = state.new_file(name);
        state.files.insert(file, Content { now: bytes.clone(), lasting: bytes, unsynced: Vec::new() });
        state.renames.clear();
        state.lasting_names = state.names.clone();
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state.lock().operations
    }
}

impl State {
    /// Counts an operation and says whether it goes wrong.
    fn step(&mut self) -> Result<Option<Fault>, io::Error> {
        let now = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, Fault::Crash)) if at <= now => Err(io::Error::other("the power is gone")),
            Some((at, fault)) if at <= now => Ok(Some(fault)),
            Some(_) | None => Ok(None),
        }
    }

    fn new_file(&mut self, name: &str) -> u64 {
        let file = self.files.len() as u64;
        self.files.insert(file, Content::default());
        self.rename(Rename::Add { name: name.to_owned(), file });
        file
    }

    fn rename(&mut self, rename: Rename) {
        rename.apply(&mut self.names);
        self.renames.push(rename);
    }

    fn find(&mut self, name: &str) -> io::Result<&mut Content> {
        let file = self.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(self.files.get_mut(file).expect("names lead to files"))
    }
}

impl Rename {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Add { name, file } => {
                names.insert(name.clone(), *file);
            }
            Self::Move { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove { name } => {
                names.remove(name);
            }
        }
    }
}

impl Content {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    /// What an earlier failed sync dropped stays in the cache and does not get to the disk: nobody knows it is missing.
    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.lasting);
        }
    }

    fn crash(&mut self, keep: f64, rng: &mut StdRng) {
        for change in std::mem::take(&mut self.unsynced) {
            for piece in change.pieces() {
                if rng.random_bool(keep) {
                    piece.apply(&mut self.lasting);
                }
            }
        }
        self.now.clone_from(&self.lasting);
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Resize { bytes } => content.resize(*bytes, 0),
        }
    }

    fn pieces(&self) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else { return vec![self.clone()] };
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let end = ((offset + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset;
            let end = end.min(bytes.len());
            pieces.push(Self::Write { offset: offset + at, bytes: bytes[at..end].to_vec() });
            at = end;
        }
        pieces
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.state.lock().step()?;
        Ok(self.names())
    }

    fn create(&self, name: &str, reserve_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        if state.step()? == Some(Fault::Full) {
            state.new_file(name);
            return Err(ErrorKind::StorageFull.into());
        }
        let file = state.new_file(name);
        let content = state.files.get_mut(&file).expect("it was just made");
        content.change(Change::Resize { bytes: usize::try_from(reserve_bytes).unwrap() });
        Ok(Box::new(SimFile { state: self.state.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let mut state = self.state.lock();
        state.step()?;
        let content = state.find(name)?.now.clone();
        Ok(Box::new(Cursor::new(content)))
    }

    fn edit(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.step()?;
        let file = *state.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { state: self.state.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.find(from)?;
        state.rename(Rename::Move { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.find(name)?;
        state.rename(Rename::Remove { name: name.to_owned() });
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.renames.clear();
        state.lasting_names = state.names.clone();
        Ok(())
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    file: u64,
}

impl DiskFile for SimFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let fault = state.step();
        let content = state.files.get_mut(&self.file).expect("it is open");
        let offset = usize::try_from(offset).unwrap();
        let half = Change::Write { offset, bytes: bytes[..bytes.len() / 2].to_vec() };
        match fault {
            Err(error) => {
                content.change(half);
                Err(error)
            }
            Ok(Some(Fault::Full)) => {
                content.change(half);
                Err(ErrorKind::StorageFull.into())
            }
            Ok(Some(Fault::Crash | Fault::SyncFails) | None) => {
                content.change(Change::Write { offset, bytes: bytes.to_vec() });
                Ok(())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.lock();
        let fault = state.step()?;
        if fault == Some(Fault::SyncFails) {
            state.fault = None;
        }
        let content = state.files.get_mut(&self.file).expect("it is open");
        if fault == Some(Fault::SyncFails) {
            content.unsynced.clear();
            return Err(io::Error::other("input/output error"));
        }
        content.sync();
        Ok(())
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        let content = state.files.get_mut(&self.file).expect("it is open");
        content.change(Change::Resize { bytes: usize::try_from(bytes).unwrap() });
        Ok(())
    }
}
