//! The read-only socket for the machine's doctor: every connection gets one JSON document and is closed.
//!
//! Nothing is read from a connection, so whoever may open the socket can still do nothing.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_api::probe::{Readings, RuntimeReading, RuntimeState};
use muster_base::task::{Kind, Tasks};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::smart::Health;
use crate::containerd::Supervisor;
use crate::runtime::{Runtime, RuntimeErrorKind};

/// How long the runtime may take to say its version: it answers in a millisecond when it is well.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Connections served at once; more wait.
const CONNECTIONS_MAX: usize = 4;
/// How long a client may take to read.
const WRITE_WITHIN: Duration = Duration::from_secs(2);

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the read-only socket {}", .path.display())]
pub struct SocketError {
    pub(super) path: PathBuf,
    #[source]
    pub(super) source: io::Error,
}

/// What is read.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) runtime: Arc<dyn Runtime>,
    /// None: the runtime is somebody else's and always expected to run.
    pub(super) supervisor: Option<Arc<Supervisor>>,
    pub(super) boot_id: String,
    pub(super) disks: Arc<Health>,
}

impl Source {
    async fn read(&self) -> Readings {
        let expected = self.supervisor.as_ref().is_none_or(|supervisor| supervisor.is_wanted());
        let runtime = if expected { Some(self.ask().await) } else { None };
        Readings { boot_id: self.boot_id.clone(), runtime, disks: self.disks.latest() }
    }

    async fn ask(&self) -> RuntimeReading {
        let asked = Instant::now();
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.runtime.version()).await;
        let took_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (state, detail) = match answer {
            Ok(Ok(version)) => (RuntimeState::Answers, format!("{} {}", version.name, version.version)),
            Ok(Err(error)) => (state_of(error.kind), error.to_string()),
            Err(_) => (
                RuntimeState::Hung,
                format!("took the connection and did not answer within {ANSWER_WITHIN:?}"),
            ),
        };
        RuntimeReading { state, detail, took_ms }
    }
}

fn state_of(kind: RuntimeErrorKind) -> RuntimeState {
    match kind {
        RuntimeErrorKind::Unreachable => RuntimeState::Gone,
        RuntimeErrorKind::TimedOut => RuntimeState::Hung,
        RuntimeErrorKind::NotFound | RuntimeErrorKind::Failed => RuntimeState::Answers,
    }
}

/// A socket at `path` that everybody may connect to.
pub(super) fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(listener)
}

/// Serves the readings at `path` until `tasks` end.
pub(super) fn serve(path: &Path, source: Source, tasks: &Tasks) -> Result<(), SocketError> {
    let listener = listen(path)?;
    let (shutdown, within, room) =
        (tasks.shutdown_token(), tasks.clone(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    tasks.spawn(Kind::Service, "doctor's socket", async move {
        while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match accepted {
                Ok((stream, _)) => {
                    let source = source.clone();
                    within.spawn(Kind::Request, "readings", async move {
                        answer(stream, &source).await;
                        drop(permit);
                    });
                }
                Err(error) => tracing::warn!(%error, "cannot accept on the doctor's socket"),
            }
        }
    });
    Ok(())
}

async fn answer(mut stream: UnixStream, source: &Source) {
    let readings = source.read().await;
    let document = serde_json::to_vec(&readings).expect("readings are plain data");
    match tokio::time::timeout(WRITE_WITHIN, stream.write_all(&document)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the doctor left before its answer"),
        Err(_) => tracing::debug!("the doctor did not read its answer"),
    }
}
