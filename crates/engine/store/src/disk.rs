//! The seam to the file system: one directory of flat files. The real one is [`real::Directory`]; tests put a simulated
//! one in its place that loses everything not yet synced.

pub(crate) mod lock;
pub(crate) mod real;
#[cfg(test)]
pub(crate) mod sim;

use std::io::{self, Read};

/// One directory. Changes of names are lasting only after [`Disk::sync_directory`].
pub(crate) trait Disk: Send + Sync + 'static {
    /// The names in it.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A new file, with zeros up to `reserve_bytes` where the file system can reserve space; replaces one of this name.
    fn create(&self, name: &str, reserve_bytes: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Reads from the beginning.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;

    /// An existing file, to write to.
    fn edit(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Replaces `to` if there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    fn remove(&self, name: &str) -> io::Result<()>;

    fn sync_directory(&self) -> io::Result<()>;

    /// The whole content.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(name)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A file being written. What was written is lasting only after [`DiskFile::sync`].
pub(crate) trait DiskFile: Send {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// `fdatasync`.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file, giving back reserved space behind.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;
}
