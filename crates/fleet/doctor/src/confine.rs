//! Gives every power away that a doctor does not need: all of them.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use caps::CapSet;
use nix::unistd::{Gid, Uid, chown, setgroups, setresgid, setresuid};

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
}

/// Becomes `nobody` without any capability, for good. Call it before the first thread is started.
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
    nix::sys::prctl::set_no_new_privs().map_err(ConfineError::NoNewPrivileges)
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

fn clear(set: CapSet) -> Result<(), ConfineError> {
    caps::clear(None, set).map_err(|source| ConfineError::Capabilities { set, source })
}
