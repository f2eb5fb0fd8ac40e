//! Asks the agent's read-only socket.

use std::path::Path;
use std::time::Duration;

use muster_api::probe::Readings;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Why there are no readings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadingsError {
    #[error("the agent takes no connection on {path}")]
    Connect {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the agent did not answer within {0:?}")]
    TooLate(Duration),
    #[error("the agent's answer broke off")]
    Read(#[source] std::io::Error),
    #[error("the agent's answer is not what was agreed")]
    Malformed(#[source] serde_json::Error),
}

/// The readings of this moment.
pub(crate) async fn fetch(socket: &Path, within: Duration) -> Result<Readings, ReadingsError> {
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
