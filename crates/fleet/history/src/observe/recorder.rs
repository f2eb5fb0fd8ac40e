//! One task that writes: what has come in since the last sync is one group.

use std::sync::Arc;
use std::time::Duration;

use muster_base::backoff::Backoff;
use muster_base::task::{Kind, Tasks};
use tokio::sync::mpsc::Receiver;

use crate::database::{Database, Seen};
use crate::log::LogError;
use crate::notes::Notes;

const GROUP_MAX: usize = 1024;

pub(super) fn start(database: Arc<Database>, notes: Arc<Notes>, mut seen: Receiver<Seen>, tasks: &Tasks) {
    let token = tasks.shutdown_token();
    tasks.spawn(Kind::Service, "history recorder", async move {
        let mut batch = Vec::with_capacity(GROUP_MAX);
        while let Some(count) = token.run_until_cancelled(seen.recv_many(&mut batch, GROUP_MAX)).await
            && count > 0
        {
            // A group that is begun is finished: shutdown does not cut it.
            record(&database, &notes, std::mem::take(&mut batch)).await;
        }
    });
}

/// Writes the group, as often as it takes: what cannot be written now stays at the head of the queue.
async fn record(database: &Arc<Database>, notes: &Arc<Notes>, mut batch: Vec<Seen>) {
    let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let mut failures = 0;
    loop {
        let (work, kept, again) = (Arc::clone(database), Arc::clone(notes), failures > 0);
        let written = tokio::task::spawn_blocking(move || {
            let written = write(&work, &kept, &mut batch, again);
            (batch, written)
        });
        match written.await {
            Ok((_, Ok(()))) => return,
            Ok((left, Err(error))) => {
                batch = left;
                failures += 1;
                let error = muster_base::error::chain(&error);
                tracing::error!(error, failures, "the history cannot be written; it is tried again");
                tokio::time::sleep(backoff.wait(failures)).await;
            }
            // The runtime is ending: what was not recorded is seen again at the next start.
            Err(_) => return,
        }
    }
}

fn write(database: &Database, notes: &Notes, batch: &mut [Seen], again: bool) -> Result<(), LogError> {
    if again {
        database.reopen()?;
    }
    database.record(batch, notes).map(|_| ())
}
