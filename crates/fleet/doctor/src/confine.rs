//! Gives every power away that a doctor does not need: all of them.

use caps::CapSet;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

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

fn clear(set: CapSet) -> Result<(), ConfineError> {
    caps::clear(None, set).map_err(|source| ConfineError::Capabilities { set, source })
}
