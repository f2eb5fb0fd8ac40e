//! A directory that forgets: what was not synced is lost at a crash, wholly or in random pieces.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::Files;

const SECTOR_BYTES: usize = 32;

#[derive(Clone, Debug, Default)]
struct File {
    now: Vec<u8>,
    synced: Vec<u8>,
    name_lasts: bool,
}

#[derive(Debug, Default)]
pub(super) struct SimFiles {
    files: Mutex<BTreeMap<String, File>>,
    /// Operations until the power goes.
    fuse: Mutex<Option<u64>>,
}

impl SimFiles {
    pub(super) fn light(&self, operations: u64) {
        *self.fuse.lock() = Some(operations);
    }

    /// The power comes back. Of every sector that was not synced, the old or the new content is there.
    pub(super) fn crash(&self, rng: &mut StdRng) {
        *self.fuse.lock() = None;
        let keep = [0.0, 0.3, 0.8, 1.0][rng.random_range(0..4)];
        let mut files = self.files.lock();
        files.retain(|_, file| file.name_lasts || rng.random_bool(keep));
        for file in files.values_mut() {
            let longest = file.now.len().max(file.synced.len());
            let length = if rng.random_bool(keep) { file.now.len() } else { file.synced.len() };
            let mut left = file.synced.clone();
            left.resize(longest, 0);
            for start in (0..longest).step_by(SECTOR_BYTES) {
                let end = (start + SECTOR_BYTES).min(longest).min(file.now.len());
                if start < end && rng.random_bool(keep) {
                    left[start..end].copy_from_slice(&file.now[start..end]);
                }
            }
            left.truncate(length);
            (file.now, file.synced, file.name_lasts) = (left.clone(), left, true);
        }
    }

    pub(super) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(&mut self.files.lock().get_mut(name).unwrap().now);
    }

    pub(super) fn copy(&self) -> Self {
        Self { files: Mutex::new(self.files.lock().clone()), fuse: Mutex::default() }
    }

    fn step(&self) -> io::Result<()> {
        match &mut *self.fuse.lock() {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn with<T>(&self, name: &str, work: impl FnOnce(&mut File) -> T) -> io::Result<T> {
        self.files.lock().get_mut(name).map(work).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Files for SimFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.step()?;
        self.files.lock().insert(name.to_owned(), File::default());
        Ok(())
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let whole = self.step();
        let bytes = if whole.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        self.with(name, |file| {
            let offset = usize::try_from(offset).unwrap();
            let end = offset + bytes.len();
            if file.now.len() < end {
                file.now.resize(end, 0);
            }
            file.now[offset..end].copy_from_slice(bytes);
        })?;
        whole
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.step()?;
        self.with(name, |file| file.synced = file.now.clone())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.step()?;
        self.files.lock().values_mut().for_each(|file| file.name_lasts = true);
        Ok(())
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.step()?;
        self.with(name, |file| file.now.resize(usize::try_from(bytes).unwrap(), 0))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        self.files.lock().remove(name);
        Ok(())
    }

    fn read_at(&self, name: &str, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read(name)?;
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        Ok(bytes[start..(start + count).min(bytes.len())].to_vec())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.with(name, |file| file.now.clone())
    }
}
