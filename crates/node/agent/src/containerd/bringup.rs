//! A containerd that is of use: started, answering, and with the images that pods cannot do without.

use std::path::PathBuf;
use std::sync::Arc;

use super::{ServiceError, Started, Supervisor};
use crate::image::{self, ImportError, Importer};
use crate::runtime::Runtime;

/// Starts the supervised runtime and sees to its images.
pub struct Bringup {
    pub supervisor: Arc<Supervisor>,
    pub importer: Importer,
    pub runtime: Arc<dyn Runtime>,
    pub archives_dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum BringupError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("containerd runs, but lacks a built-in image")]
    Image(#[from] ImportError),
}

impl Bringup {
    /// Idempotent.
    ///
    /// # Errors
    /// Which of starting and importing failed.
    pub async fn up(&self) -> Result<Started, BringupError> {
        let started = self.supervisor.ensure_started().await?;
        for archive in [image::pause(), image::hello()] {
            self.importer.ensure(self.runtime.as_ref(), archive, &self.archives_dir).await?;
        }
        tracing::info!(?started, "containerd answers");
        Ok(started)
    }
}
