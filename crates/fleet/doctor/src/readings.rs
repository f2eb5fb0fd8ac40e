//! Asks the agent's read-only socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use muster_api::probe::Readings;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Why there are no readings.
#[derive(Debug, thiserror::Error)]
pub enum ReadingsError {
    /// Nothing listens on the socket.
    #[error("the agent takes no connection on {path}")]
    Connect {
        /// The socket.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The agent does not answer.
    #[error("the agent did not answer within {0:?}")]
    TooLate(Duration),
    /// The connection ended within the answer.
    #[error("the agent's answer broke off")]
    Read(#[source] std::io::Error),
    /// The answer is not a document of readings.
    #[error("the agent's answer is not what was agreed")]
    Malformed(#[source] serde_json::Error),
}

impl ReadingsError {
    /// Whether it tells of who asks, and nothing of the agent.
    pub(crate) fn is_blindness(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
    }
}

/// Where readings come from.
pub trait Source: Send + Sync + 'static {
    /// The readings of this moment.
    fn readings(&self) -> BoxFuture<'_, Result<Readings, ReadingsError>>;
}

/// The agent's read-only socket.
pub(crate) struct Socket {
    pub(crate) path: PathBuf,
    pub(crate) within: Duration,
}

impl Source for Socket {
    fn readings(&self) -> BoxFuture<'_, Result<Readings, ReadingsError>> {
        Box::pin(fetch(&self.path, self.within))
    }
}

async fn fetch(socket: &Path, within: Duration) -> Result<Readings, ReadingsError> {
    tokio::time::timeout(within, ask(socket)).await.map_err(|_| ReadingsError::TooLate(within))?
}

async fn ask(socket: &Path) -> Result<Readings, ReadingsError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ReadingsError::Connect { path: socket.display().to_string(), source })?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await.map_err(ReadingsError::Read)?;
    serde_json::from_slice(&answer).map_err(ReadingsError::Malformed)
}
