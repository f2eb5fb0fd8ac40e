//! Gives every power away that a doctor does not need: all of them.

mod calls;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use caps::CapSet;
use nix::errno::Errno;
use nix::unistd::{AccessFlags, Gid, Uid, access, chown, setgroups, setresgid, setresuid};

/// `nobody`, as Debian and most others number it.
const NOBODY: u32 = 65534;

/// Which power could not be given away.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A capability set.
    #[error("cannot empty the {set:?} capability set; the doctor must not run with powers")]
    Capabilities {
        /// Which set.
        set: CapSet,
        /// Why.
        #[source]
        source: caps::errors::CapsError,
    },
    /// The identity.
    #[error("cannot become the user nobody; the doctor must not run as root")]
    Identity(#[source] nix::Error),
    /// `no_new_privs`.
    #[error("cannot forbid new privileges to this process")]
    NoNewPrivileges(#[source] nix::Error),
    /// The system calls.
    #[error("cannot forbid the system calls that act; the kernel must filter them (CONFIG_SECCOMP_FILTER)")]
    Calls(#[source] seccompiler::Error),
}

/// Becomes `nobody` without any capability, and without the system calls that act, for good. Call it before the first
/// thread is started.
///
/// Called by a user who has no powers anyway it only forbids new ones.
///
/// # Errors
/// The first power that could not be given away.
pub fn confine() -> Result<(), ConfineError> {
    if Uid::effective().is_root() {
        clear(CapSet::Ambient)?;
        clear(CapSet::Bounding)?;
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        setgroups(&[]).map_err(ConfineError::Identity)?;
        setresgid(gid, gid, gid).map_err(ConfineError::Identity)?;
        setresuid(uid, uid, uid).map_err(ConfineError::Identity)?;
    }
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        clear(set)?;
    }
    nix::sys::prctl::set_no_new_privs().map_err(ConfineError::NoNewPrivileges)?;
    calls::forbid().map_err(ConfineError::Calls)
}

/// Makes a directory that the confined process may write to, and nobody else but root may read. Call it before
/// [`confine`].
///
/// # Errors
/// It cannot be made or given away.
pub fn hand_over(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    if Uid::effective().is_root() {
        let entries = std::fs::read_dir(dir)?.flatten().map(|entry| entry.path());
        for path in entries.chain([dir.to_owned()]) {
            chown(&path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY)))?;
        }
    }
    Ok(())
}

/// Goes to the deepest directory that holds all of `paths`, and names them from there. The confined process reaches them
/// even where it may not pass through the directories above. Call it before [`confine`].
///
/// # Errors
/// There is no such directory, or a path has no place of its own.
pub fn go_near<const N: usize>(paths: [&Path; N]) -> io::Result<[PathBuf; N]> {
    let mut whole = Vec::with_capacity(N);
    for path in paths {
        whole.push(std::path::absolute(path)?);
    }
    let parents = || whole.iter().filter_map(|path| path.parent());
    let Some(first) = parents().next() else { return Ok(paths.map(Path::to_owned)) };
    let holds_all = |dir: &&Path| parents().all(|parent| parent.starts_with(dir));
    let near = first.ancestors().find(holds_all).unwrap_or(Path::new("/"));
    std::env::set_current_dir(near)?;
    let mut from_there = whole.iter().map(|path| path.strip_prefix(near).unwrap_or(path).to_owned());
    Ok(paths.map(|path| from_there.next().unwrap_or_else(|| path.to_owned())))
}

/// Sees that this process may enter a directory. One that is not there yet is none it may not enter.
///
/// # Errors
/// It may not.
pub fn may_enter(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match access(dir, AccessFlags::X_OK) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn clear(set: CapSet) -> Result<(), ConfineError> {
    caps::clear(None, set).map_err(|source| ConfineError::Capabilities { set, source })
}
