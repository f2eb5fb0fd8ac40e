//! What is done about a fault on the machine itself: room is made, a device reset, a service restarted, the machine booted.

use std::path::{Path, PathBuf};

use super::execute::Outcome;
use super::program::Program;
use crate::config::Reboot;
use crate::inventory::Roots;

pub(super) mod boot;
mod clock;
mod device;
mod room;

/// What repairs are done with.
#[derive(Debug, Clone)]
pub struct MendHands {
    /// Where the files of the machine begin (`/`).
    root: PathBuf,
    roots: Roots,
    /// Keeps what a reset has to bring back.
    data_dir: PathBuf,
    programs: Programs,
}

/// Programs of the system.
#[derive(Debug, Clone)]
struct Programs {
    apt_get: Program,
    journalctl: Program,
    tmpfiles: Program,
    ip: Program,
    systemctl: Program,
    reboot: Reboot,
    /// A directory that is there exactly if systemd runs the machine (`sd_booted(3)`).
    booted: PathBuf,
}

impl MendHands {
    /// Those of a machine whose files lie below `root` (`/`).
    pub fn new(root: &Path, roots: &Roots, data_dir: &Path, reboot: &Reboot) -> Self {
        Self {
            root: root.to_owned(),
            roots: roots.clone(),
            data_dir: data_dir.to_owned(),
            programs: Programs {
                apt_get: Program::new("/usr/bin/apt-get"),
                journalctl: Program::new("/usr/bin/journalctl"),
                tmpfiles: Program::new("/usr/bin/systemd-tmpfiles"),
                ip: Program::new("/sbin/ip"),
                systemctl: Program::new("/usr/bin/systemctl"),
                reboot: reboot.clone(),
                booted: root.join("run/systemd/system"),
            },
        }
    }
}

fn refused(message: impl Into<String>) -> Outcome {
    Outcome::Refused { message: message.into() }
}

fn done(message: impl Into<String>, output: &[String]) -> Outcome {
    Outcome::Done { message: message.into(), output: output.join("\n") }
}

fn failed(message: impl Into<String>, output: &[String]) -> Outcome {
    Outcome::Failed { message: message.into(), output: output.join("\n") }
}

#[cfg(test)]
mod tests;
