//! Files reached from a root part by part, each directory by its descriptor and none by a symbolic link, so that nobody who
//! may write a directory on the way leads us elsewhere, not even while we are at it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

/// Bytes of a file that may be in the place of ours.
pub(super) const FORMER_BYTES_MAX: u64 = 1 << 20;
/// A file on its way; one that a dead agent left is replaced.
const NEW: &str = ".muster-new";

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Base64, for a file need not be text.
    pub(super) content: String,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl State {
    pub(super) fn new(content: &[u8], mode: u32) -> Self {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Self { content: STANDARD.encode(content), mode, uid, gid }
    }
}

/// Why a file cannot be reached or may not be touched.
#[derive(Debug, thiserror::Error)]
pub(in crate::orders) enum TreeError {
    #[error("{part} is a symbolic link, which could lead anywhere: name the file by its real path")]
    Link { part: String },
    #[error("{part} is no directory")]
    NoDirectory { part: String },
    #[error("{part} is Muster's own data")]
    Ours { part: String },
    #[error("there is something there that is no plain file: move it away")]
    NoFile,
    #[error("{bytes} bytes are in its place, more than {FORMER_BYTES_MAX} that can be kept: move them away")]
    Large { bytes: u64 },
    #[error("cannot {step}")]
    Io {
        step: &'static str,
        #[source]
        source: io::Error,
    },
}

fn failed<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> TreeError {
    move |source| TreeError::Io { step, source: source.into() }
}

/// A directory nothing is written in, told by its device and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forbidden {
    device: u64,
    inode: u64,
}

impl Forbidden {
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let found = fs::metadata(directory)?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }
}

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens the directory of `path` below `root`. None: it is not there.
pub(super) fn open(root: &Path, path: &str, forbidden: Forbidden) -> Result<Option<OwnedFd>, TreeError> {
    let root = File::open(root).map_err(failed("open the root"))?;
    let mut directory = OwnedFd::from(root);
    for (part, name) in directories(path) {
        directory = match openat(&directory, name, DIRECTORY, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(unopened(&directory, name, part, errno)),
        };
        let found = fstat(&directory).map_err(failed("look at a directory"))?;
        if (Forbidden { device: found.st_dev, inode: found.st_ino }) == forbidden {
            return Err(TreeError::Ours { part: part.to_owned() });
        }
    }
    Ok(Some(directory))
}

/// Which directories on the way to `path` are not there.
pub(super) fn lacking(root: &Path, path: &str, forbidden: Forbidden) -> Result<Vec<String>, TreeError> {
    let mut lacking = Vec::new();
    for (part, _) in directories(path) {
        if open(root, &format!("{part}/x"), forbidden)?.is_none() {
            lacking.push(part.to_owned());
        }
    }
    Ok(lacking)
}

/// Makes one directory whose parent is there.
pub(super) fn make(root: &Path, part: &str, forbidden: Forbidden) -> Result<(), TreeError> {
    let step = "make its directory";
    let Some(parent) = open(root, part, forbidden)? else {
        return Err(failed(step)(io::Error::from(io::ErrorKind::NotFound)));
    };
    match mkdirat(&parent, name(part), Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => nix::unistd::fsync(&parent).map_err(failed(step)),
        Err(errno) => Err(failed(step)(errno)),
    }
}

/// Removes a directory; one that is not empty stays.
pub(super) fn unmake(root: &Path, part: &str, forbidden: Forbidden) -> Result<(), TreeError> {
    let Some(parent) = open(root, part, forbidden)? else { return Ok(()) };
    match unlinkat(&parent, name(part), UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => Ok(()),
        Err(errno) => Err(failed("remove its directory")(errno)),
    }
}

/// The directories on the way to `path`, each as it is called and by its last part.
fn directories(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    ends.map(|end| (&path[..end], name(&path[..end])))
}

/// The last part of a path.
pub(super) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn unopened(directory: &OwnedFd, name: &str, part: &str, errno: Errno) -> TreeError {
    let kind = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(|found| kind(found.st_mode));
    match kind {
        Ok(SFlag::S_IFLNK) => TreeError::Link { part: part.to_owned() },
        Ok(SFlag::S_IFDIR) | Err(_) => failed("open a directory on the way")(errno),
        Ok(_) => TreeError::NoDirectory { part: part.to_owned() },
    }
}

fn kind(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits())
}

/// What the file is. None: it is not there.
pub(super) fn read(directory: &OwnedFd, path: &str) -> Result<Option<State>, TreeError> {
    let step = "read what is there";
    match fstatat(directory, name(path), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(failed(step)(errno)),
        Ok(found) => match kind(found.st_mode) {
            SFlag::S_IFREG => {}
            SFlag::S_IFLNK => return Err(TreeError::Link { part: path.to_owned() }),
            _ => return Err(TreeError::NoFile),
        },
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(directory, name(path), flags, Mode::empty()).map_err(failed(step))?;
    let file = File::from(file);
    let found = file.metadata().map_err(failed(step))?;
    if !found.is_file() {
        return Err(TreeError::NoFile);
    }
    let mut content = Vec::new();
    file.take(FORMER_BYTES_MAX + 1).read_to_end(&mut content).map_err(failed(step))?;
    if FORMER_BYTES_MAX < content.len() as u64 {
        return Err(TreeError::Large { bytes: found.len() });
    }
    let content = STANDARD.encode(content);
    Ok(Some(State { content, mode: found.mode() & 0o7777, uid: found.uid(), gid: found.gid() }))
}

/// Whole or not at all: written beside its place, made durable, put in place.
pub(super) fn write(directory: &OwnedFd, path: &str, state: &State) -> Result<(), TreeError> {
    remove(directory, NEW)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let step = "write beside it";
    let file = openat(directory, NEW, flags, Mode::from_bits_truncate(0o600)).map_err(failed(step))?;
    let put = |mut file: File| -> io::Result<()> {
        file.write_all(&STANDARD.decode(&state.content).map_err(io::Error::other)?)?;
        fchown(&file, Some(state.uid), Some(state.gid))?;
        file.set_permissions(fs::Permissions::from_mode(state.mode))?;
        file.sync_all()
    };
    put(File::from(file)).map_err(failed(step))?;
    renameat(directory, NEW, directory, name(path)).map_err(failed("put it in its place"))?;
    nix::unistd::fsync(directory).map_err(failed("make it durable"))
}

/// Removes the file; one that is not there is left at that.
pub(super) fn remove(directory: &OwnedFd, path: &str) -> Result<(), TreeError> {
    match unlinkat(directory, name(path), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(failed("remove it")(errno)),
    }
}
