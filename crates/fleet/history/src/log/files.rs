//! The seam to the file system. Tests put a simulated one in its place that loses everything not yet synced.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;

use super::LogError;

const SUFFIX: &str = ".history";
const LOCK: &str = "lock";

/// The name of a segment's file.
pub(super) fn name(segment: u32) -> String {
    format!("{segment:010}{SUFFIX}")
}

/// The numbers of the segments among `names`, in order.
pub(super) fn segments(names: &[String]) -> Vec<u32> {
    let number = |name: &String| name.strip_suffix(SUFFIX)?.parse().ok();
    let mut found: Vec<u32> = names.iter().filter_map(number).collect();
    found.sort_unstable();
    found
}

/// One directory of flat files. A new name is lasting only after [`Files::sync_directory`], what was written only after
/// [`Files::sync`].
pub(crate) trait Files: Send + Sync + 'static {
    fn list(&self) -> io::Result<Vec<String>>;
    fn create(&self, name: &str) -> io::Result<()>;
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync(&self, name: &str) -> io::Result<()>;
    fn sync_directory(&self) -> io::Result<()>;
    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Up to so many bytes; fewer at the end of the file.
    fn read_at(&self, name: &str, offset: u64, count: usize) -> io::Result<Vec<u8>>;
    /// The whole content.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
}

/// A real directory, its files open.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    open: Mutex<HashMap<String, Arc<File>>>,
    held: Option<Flock<File>>,
}

impl Directory {
    /// Makes the directory if absent, readable by its owner alone, and keeps other processes out.
    ///
    /// # Errors
    /// Another process holds it, or the file system refuses.
    pub(crate) fn hold(path: &Path) -> Result<Self, LogError> {
        let shown = path.display().to_string();
        let failed = |step| super::failed(&shown, step);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed("make the directory"))?;
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed("open the lock of"))?;
        let held = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|_| LogError::Held { directory: shown.clone() })?;
        Ok(Self { held: Some(held), ..Self::look(path) })
    }

    /// For reading alone, also while another process writes.
    pub(crate) fn look(path: &Path) -> Self {
        Self { path: path.to_owned(), open: Mutex::default(), held: None }
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock();
        if let Some(file) = open.get(name) {
            return Ok(Arc::clone(file));
        }
        let writes = self.held.is_some();
        let file = Arc::new(OpenOptions::new().read(true).write(writes).open(self.path.join(name))?);
        open.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

impl Files for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = Arc::new(options.open(self.path.join(name))?);
        self.open.lock().insert(name.to_owned(), file);
        Ok(())
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, offset)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.file(name)?.set_len(bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.open.lock().remove(name);
        fs::remove_file(self.path.join(name))
    }

    fn read_at(&self, name: &str, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        let file = self.file(name)?;
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }
}
