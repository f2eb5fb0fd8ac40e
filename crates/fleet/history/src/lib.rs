//! The history of the machine database: every change of every field, append-only, chained, asked as of any past time.
//!
//! The third store beside what is intended (`spec`) and what is observed (`status`): nobody but this crate writes it, and
//! it writes nothing else. *Who* changed something is noted by a validating webhook at admission; *what* was stored, and
//! at which revision, is seen by a watch. It decides nothing and repairs nothing.

mod change;
mod codec;
mod config;
mod database;
mod kinds;
mod log;
mod notes;
mod observe;
mod query;
mod record;
mod serve;

use std::path::Path;
use std::sync::Arc;

use kube::Client;
use muster_base::clock::SharedClock;
use muster_base::task::Tasks;
use muster_control::Metrics;

pub use change::PathError;
pub use config::{Config, Reach, ReachError};
pub use kinds::Kind;
pub use log::{Broken, LogError, Torn, Verdict};
pub use record::{Operation, Via};
pub use serve::{GROUP, ServeError, TlsError, VERSION, withdraw};

/// Why no history is kept.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The files are damaged, or another process writes them.
    #[error("the history cannot be opened")]
    Open(#[from] LogError),
    /// It cannot be served.
    #[error("the history cannot be served")]
    Serve(#[from] ServeError),
    /// The work of reading it was cut off.
    #[error("reading the history was cut off")]
    CutOff,
}

/// Reads the history of `config`, starts recording and answering; ends with `tasks`. Only the leader may do so.
///
/// # Errors
/// The files are damaged or in use, or the address cannot be had. Nothing runs then.
pub async fn start(
    client: &Client,
    clock: &SharedClock,
    tasks: &Tasks,
    metrics: &Metrics,
    config: &Config,
) -> Result<(), StartError> {
    let (directory, own) = (config.directory.clone(), SharedClock::clone(clock));
    let open = tokio::task::spawn_blocking(move || {
        let files = Arc::new(log::Directory::hold(&directory)?);
        database::Database::open(files, own)
    });
    let (database, torn) = open.await.map_err(|_| StartError::CutOff)??;
    if let Some(Torn { file, offset, bytes }) = torn {
        tracing::warn!(file, offset, bytes, "the history ended in the middle of a record; it is seen again");
    }
    let (database, notes) = (Arc::new(database), Arc::default());
    let parts = serve::Parts { client, clock, tasks, metrics, config };
    serve::start(parts, Arc::clone(&database), Arc::clone(&notes)).await?;
    observe::start(client, &database, &notes, tasks);
    Ok(())
}

/// Walks the chain of the files in `directory`, which nobody needs to serve. `anchor` is `RECORD:CHAIN` of an earlier walk.
///
/// # Errors
/// The anchor is none, or the files cannot be read.
pub fn verify(directory: &Path, anchor: Option<&str>) -> Result<Verdict, VerifyError> {
    let anchor = anchor.map(log::Anchor::parse).transpose().map_err(VerifyError::Anchor)?;
    Ok(log::verify(&log::Directory::look(directory), None, anchor.as_ref())?)
}

/// Why files cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No anchor.
    #[error("{0}")]
    Anchor(String),
    /// They cannot be read.
    #[error("the history cannot be read")]
    Read(#[from] LogError),
}
