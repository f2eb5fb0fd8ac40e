//! What a role brings beside settings of the kernel and the runtime: packages, files, services.

use std::path::{Path, PathBuf};

use muster_api::order::Arguments;
use muster_base::error::chain;

use super::execute::Outcome;
use super::files::Files;
use super::packages::Apt;
use super::program::Program;
use super::services::{ServiceRestoreError, Systemd};

/// What packages, files and services are brought with.
#[derive(Debug, Clone)]
pub struct RoleHands {
    apt: Apt,
    files: Files,
    systemd: Systemd,
}

impl RoleHands {
    /// Those of a machine whose files lie below `root` (`/`); `data_dir` keeps the notes of what was before.
    pub fn new(root: &Path, data_dir: &Path) -> Self {
        let systemd = Systemd {
            systemctl: Program::new("/usr/bin/systemctl"),
            booted: PathBuf::from("/run/systemd/system"),
            note: data_dir.join("services-before.json"),
        };
        let files = Files { root: root.to_owned(), data_dir: data_dir.to_owned() };
        Self { apt: Apt::default(), files, systemd }
    }

    pub(super) async fn packages(&self, arguments: &Arguments) -> Outcome {
        match self.apt.ensure(&arguments.packages).await {
            Ok(changes) => done("packages", arguments.packages.len(), &changes),
            Err(error) if error.is_refusal() => Outcome::Refused { message: chain(&error) },
            Err(error) => Outcome::failed(&error),
        }
    }

    pub(super) async fn files(&self, arguments: &Arguments) -> Outcome {
        let (hands, wanted) = (self.files.clone(), arguments.files.clone());
        // A disk that is slow to take them must not hold the agent's other work.
        match tokio::task::spawn_blocking(move || hands.ensure(&wanted)).await {
            Ok(Ok(changes)) => done("files", arguments.files.len(), &changes),
            Ok(Err(error)) if error.is_refusal() => Outcome::Refused { message: chain(&error) },
            Ok(Err(error)) => Outcome::failed(&error),
            Err(error) => Outcome::failed(&error),
        }
    }

    pub(super) async fn services(&self, arguments: &Arguments) -> Outcome {
        match self.systemd.ensure(&arguments.services).await {
            Ok(changes) => done("services", arguments.services.len(), &changes),
            Err(error) if error.is_refusal() => Outcome::Refused { message: chain(&error) },
            Err(error) => Outcome::failed(&error),
        }
    }

    /// Brings services back to what they were, as noted.
    ///
    /// # Errors
    /// See [`ServiceRestoreError`].
    pub(crate) async fn restore_services(&self) -> Result<(), ServiceRestoreError> {
        self.systemd.restore().await
    }

    /// Brings files back to what they were, as noted.
    ///
    /// # Errors
    /// The first that could not be brought back.
    pub(crate) fn restore_files(&self) -> std::io::Result<()> {
        self.files.restore()
    }
}

fn done(what: &str, wanted: usize, changes: &[String]) -> Outcome {
    Outcome::Done {
        message: format!("{wanted} {what}, {} changes", changes.len()),
        output: changes.join("\n"),
    }
}
