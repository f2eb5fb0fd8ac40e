//! Events are kept for a while only.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::task::Kind;
use muster_store::{Expect, Revision, Store, Write};
use tracing::warn;

use crate::object::Object;
use crate::server::ApiServer;

const LOOK_EVERY: Duration = Duration::from_secs(30);
const BATCH: usize = 500;

/// Removes events that were not written for the configured time. The store keeps no times; so this remembers which
/// revision it was when. After a restart events live up to once more as long.
#[derive(Debug, Default)]
pub(super) struct Ages(VecDeque<(i64, Revision)>);

impl Ages {
    /// Notes the present; the revision up to which everything is older than `ttl_seconds`.
    pub(super) fn expired(
        &mut self,
        now: Timestamp,
        current: Revision,
        ttl_seconds: i64,
    ) -> Option<Revision> {
        let now = now.as_second();
        self.0.push_back((now, current));
        let mut found = None;
        while let Some((_, revision)) = self.0.front().filter(|(when, _)| when + ttl_seconds <= now) {
            found = Some(*revision);
            self.0.pop_front();
        }
        found
    }
}

/// Starts the task.
pub(crate) fn start(server: &ApiServer) {
    let server = server.clone();
    let tasks = server.inner().tasks.clone();
    tasks.spawn(Kind::Service, "event expiry", async move {
        let shutdown = server.inner().tasks.shutdown_token();
        shutdown.run_until_cancelled(run(&server)).await;
    });
}

async fn run(server: &ApiServer) {
    let inner = server.inner();
    let mut ages = Ages::default();
    loop {
        let upto = ages.expired(inner.clock.now(), inner.store.revision(), inner.config.event_ttl_seconds);
        if let Some(upto) = upto {
            remove(&inner.store, upto).await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn remove(store: &Store<Object>, upto: Revision) {
    let snapshot = store.snapshot("events");
    let old: Vec<_> = snapshot.iter().filter(|entry| entry.revision <= upto).cloned().collect();
    for batch in old.chunks(BATCH) {
        let delete = |entry: &std::sync::Arc<muster_store::Entry<Object>>| Write::Delete {
            key: entry.key.clone(),
            expect: Expect::Any,
        };
        if let Err(error) = store.commit(batch.iter().map(delete).collect()).await {
            return warn!(%error, "old events cannot be removed");
        }
    }
}
