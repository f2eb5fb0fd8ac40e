//! Erasing disks: each named, none in use, overwritten whole, and read back.
//!
//! All are found and opened exclusively before the first is touched, so that an order with one wrong name destroys nothing.
//! The kernel refuses the exclusive open of a disk that is mounted, swapped to or part of another device, also by one of
//! its partitions. Overwriting is what NIST SP 800-88 calls *clear*: spare areas of flash may keep what was there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use muster_api::inventory::Disk;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::inventory;

/// Bytes overwritten with one call.
const CHUNK: u64 = 256 << 20;
/// Bytes read back at one place.
const SAMPLE: u64 = 64 << 10;
/// Places of a disk that are read back, its begin and end among them.
const SAMPLES: u64 = 1024;

/// Where disks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disks {
    /// What the kernel tells of them: `/sys/block`.
    pub sys: PathBuf,
    /// Their devices: `/dev`.
    pub dev: PathBuf,
}

impl Default for Disks {
    fn default() -> Self {
        Self { sys: PathBuf::from("/sys/block"), dev: PathBuf::from("/dev") }
    }
}

/// Why disks are not erased.
#[derive(Debug, thiserror::Error)]
pub(super) enum EraseError {
    #[error("arguments.disks: no disk is named, and none is not all")]
    Nothing,
    #[error("arguments.disks: no disk here is called {disk:?}; there are {known}")]
    Unknown { disk: String, known: String },
    #[error(
        "arguments.disks: {disk} has the serial number {serial:?}: name it by that, for kernel names move"
    )]
    Serial { disk: String, serial: String },
    #[error("arguments.disks: several disks have the serial number {serial:?}")]
    Several { serial: String },
    #[error("disk {disk} is in use: mounted, swapped to or part of another device; nothing was erased")]
    InUse { disk: String },
    #[error("disk {disk} cannot be opened; nothing was erased")]
    Open {
        disk: String,
        #[source]
        source: io::Error,
    },
    #[error("disk {disk} has {found} bytes and not {told}, as the kernel tells: nothing was erased")]
    Size { disk: String, found: u64, told: u64 },
    #[error("disk {disk} is erased up to byte {at} and no further")]
    Write {
        disk: String,
        at: u64,
        #[source]
        source: io::Error,
    },
    #[error("disk {disk} cannot be read back at byte {at}")]
    Read {
        disk: String,
        at: u64,
        #[source]
        source: io::Error,
    },
    #[error("disk {disk} still has data near byte {at} after it was overwritten: destroy it")]
    Left { disk: String, at: u64 },
}

impl EraseError {
    /// Whether nothing was touched.
    pub(super) const fn is_refusal(&self) -> bool {
        match self {
            Self::Nothing
            | Self::Unknown { .. }
            | Self::Serial { .. }
            | Self::Several { .. }
            | Self::InUse { .. }
            | Self::Open { .. }
            | Self::Size { .. } => true,
            Self::Write { .. } | Self::Read { .. } | Self::Left { .. } => false,
        }
    }
}

/// A disk that nobody else has.
struct Taken {
    disk: Disk,
    file: File,
}

/// Erases the disks of these names and tells of each what was done.
pub(super) fn erase(disks: &Disks, names: &[String]) -> Result<Vec<String>, EraseError> {
    let there = inventory::disks(&disks.sys);
    let names: Vec<&str> = names
        .iter()
        .flat_map(|name| name.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        return Err(EraseError::Nothing);
    }
    let mut wanted: Vec<&Disk> = Vec::new();
    for name in names {
        let found = find(&there, name)?;
        if !wanted.contains(&found) {
            wanted.push(found);
        }
    }
    let taken: Vec<Taken> =
        wanted.into_iter().map(|disk| take(disks, disk)).collect::<Result<_, EraseError>>()?;
    taken.into_iter().map(overwrite).collect()
}

fn find<'a>(there: &'a [Disk], name: &str) -> Result<&'a Disk, EraseError> {
    let mut with_serial = there.iter().filter(|disk| disk.serial == name);
    match (with_serial.next(), with_serial.next()) {
        (Some(disk), None) => return Ok(disk),
        (Some(_), Some(_)) => return Err(EraseError::Several { serial: name.to_owned() }),
        (None, _) => {}
    }
    match there.iter().find(|disk| disk.name == name) {
        Some(disk) if disk.serial.is_empty() => Ok(disk),
        Some(disk) => Err(EraseError::Serial { disk: name.to_owned(), serial: disk.serial.clone() }),
        None => {
            let called = |disk: &Disk| match disk.serial.as_str() {
                "" => disk.name.clone(),
                serial => format!("{serial} ({})", disk.name),
            };
            let known: Vec<String> = there.iter().map(called).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(EraseError::Unknown { disk: name.to_owned(), known })
        }
    }
}

fn take(disks: &Disks, disk: &Disk) -> Result<Taken, EraseError> {
    let name = || disk.name.clone();
    let exclusive = nix::libc::O_EXCL | nix::libc::O_CLOEXEC;
    let opened =
        OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(disks.dev.join(&disk.name));
    let mut file = opened.map_err(|source| match source.raw_os_error() {
        Some(nix::libc::EBUSY) => EraseError::InUse { disk: name() },
        Some(_) | None => EraseError::Open { disk: name(), source },
    })?;
    let found = file.seek(SeekFrom::End(0)).map_err(|source| EraseError::Open { disk: name(), source })?;
    if found != disk.size_bytes {
        return Err(EraseError::Size { disk: name(), found, told: disk.size_bytes });
    }
    Ok(Taken { disk: disk.clone(), file })
}

fn overwrite(taken: Taken) -> Result<String, EraseError> {
    let Taken { disk, mut file } = taken;
    let began = std::time::Instant::now();
    let mut at = 0;
    while at < disk.size_bytes {
        let length = CHUNK.min(disk.size_bytes - at);
        zero(&file, at, length).map_err(|source| EraseError::Write {
            disk: disk.name.clone(),
            at,
            source,
        })?;
        at += length;
        tracing::debug!(disk = disk.name, bytes = at, of = disk.size_bytes, "a disk is being erased");
    }
    file.sync_all().map_err(|source| EraseError::Write { disk: disk.name.clone(), at, source })?;
    let places = read_back(&disk, &mut file)?;
    let serial = if disk.serial.is_empty() { "none" } else { &disk.serial };
    Ok(format!(
        "{}, serial number {serial}: {} bytes overwritten with zeros in {} s, {places} places read back",
        disk.name,
        disk.size_bytes,
        began.elapsed().as_secs()
    ))
}

/// The kernel writes the zeros, with the device's own command for it where there is one.
fn zero(file: &File, at: u64, length: u64) -> io::Result<()> {
    let offset = |bytes: u64| i64::try_from(bytes).map_err(io::Error::other);
    fallocate(file, FallocateFlags::FALLOC_FL_ZERO_RANGE, offset(at)?, offset(length)?)?;
    Ok(())
}

fn read_back(disk: &Disk, file: &mut File) -> Result<u64, EraseError> {
    let length = SAMPLE.min(disk.size_bytes);
    let last = disk.size_bytes - length;
    let places = SAMPLES.min(disk.size_bytes.div_ceil(SAMPLE)).max(1);
    let mut buffer = vec![0_u8; usize::try_from(length).unwrap_or(usize::MAX)];
    for place in 0..places {
        // In whole blocks, the first at the begin and the last at the end.
        let at = if place + 1 == places { last } else { last / places * place / 4096 * 4096 };
        let failed = |source| EraseError::Read { disk: disk.name.clone(), at, source };
        file.seek(SeekFrom::Start(at)).map_err(failed)?;
        file.read_exact(&mut buffer).map_err(failed)?;
        if buffer.iter().any(|byte| *byte != 0) {
            return Err(EraseError::Left { disk: disk.name.clone(), at });
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests;
