//! Images that come from files: written here as OCI archives, brought into containerd without a registry.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::runtime::{Runtime, RuntimeError};

mod archive;
mod builtin;

pub use archive::{Archive, ArchiveError, File, Platform};
pub use builtin::{HELLO, PAUSE, hello, pause};

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("image archive {}: cannot write it", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: ArchiveError,
    },
    #[error("image archive {}: cannot run {}", .path.display(), .program.display())]
    Run {
        path: PathBuf,
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("image archive {}: import took longer than {} s", .path.display(), .limit.as_secs())]
    TimedOut { path: PathBuf, limit: Duration },
    #[error("image archive {}: containerd refused it: {message}", .path.display())]
    Refused { path: PathBuf, message: String },
    #[error("image {name}: imported, but the runtime does not list it")]
    NotListed { name: String },
    #[error("image {name}: cannot ask the runtime for it")]
    Ask {
        name: String,
        #[source]
        source: RuntimeError,
    },
}

/// Brings archives into one containerd.
#[derive(Debug, Clone)]
pub struct Importer {
    pub ctr: PathBuf,
    pub socket: PathBuf,
    pub limit: Duration,
}

impl Importer {
    /// Imports every image of the archive under the names written in it.
    ///
    /// # Errors
    /// The archive is not one, or containerd does not take it.
    pub async fn import(&self, archive: &Path) -> Result<(), ImportError> {
        let mut command = Command::new(&self.ctr);
        command.arg("--address").arg(&self.socket).args([
            "--namespace",
            "k8s.io",
            "images",
            "import",
            "--no-unpack",
        ]);
        command.arg(archive).stdin(Stdio::null()).kill_on_drop(true);
        let path = archive.to_owned();
        let output = match tokio::time::timeout(self.limit, command.output()).await {
            Err(_) => return Err(ImportError::TimedOut { path, limit: self.limit }),
            Ok(Err(source)) => return Err(ImportError::Run { path, program: self.ctr.clone(), source }),
            Ok(Ok(output)) => output,
        };
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let message = text.trim().chars().take(500).collect();
        Err(ImportError::Refused { path, message })
    }

    /// Makes sure that the image `name` is there, writing and importing `archive` into `dir` if it is not.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub async fn ensure(
        &self,
        runtime: &dyn Runtime,
        archive: Archive,
        dir: &Path,
    ) -> Result<(), ImportError> {
        let name = archive.name.clone();
        if listed(runtime, &name).await? {
            return Ok(());
        }
        let path = dir.join(format!("{}.tar", archive.file_stem()));
        let written = archive.write(&path);
        written.map_err(|source| ImportError::Write { path: path.clone(), source })?;
        self.import(&path).await?;
        // The runtime hears of new images through events of its own: a moment may pass.
        for _ in 0..200 {
            if listed(runtime, &name).await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(ImportError::NotListed { name })
    }
}

async fn listed(runtime: &dyn Runtime, name: &str) -> Result<bool, ImportError> {
    let found = runtime.image(name).await;
    Ok(found.map_err(|source| ImportError::Ask { name: name.to_owned(), source })?.is_some())
}
