//! Every task of a process: spawned with a kind and a name, told to stop by one token, drained with a grace time.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the end of a task means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs as long as the process; ending before shutdown brings the process down.
    Service,
    /// Serves one client or one piece of work; its end concerns nobody else.
    Request,
    /// Ends by itself; shutdown waits for it within the grace time.
    Job,
}

#[derive(Debug, Default)]
struct Names {
    next: u64,
    running: BTreeMap<u64, (Kind, String)>,
    handles: BTreeMap<u64, AbortHandle>,
}

/// The tasks of a process or of one part of it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
    failed: CancellationToken,
    names: Arc<Mutex<Names>>,
}

/// What still ran when the grace time was over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("after {grace:?} still running: {}", .held.join(", "))]
pub struct Held {
    /// The grace time that was given.
    pub grace: Duration,
    /// Names of the tasks that had not ended.
    pub held: Vec<String>,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The token that is cancelled when shutdown begins.
    pub fn shutdown_token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Resolves when a [`Kind::Service`] ended before shutdown.
    pub async fn service_ended(&self) {
        self.failed.cancelled().await;
    }

    /// Runs `future` on the runtime. The task is not aborted when the handle is dropped.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn<F>(&self, kind: Kind, name: impl Into<String>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let name = name.into();
        let guard = Running::enter(self, kind, name);
        let id = guard.id;
        let handle = tokio::spawn(self.tracker.track_future(async move {
            let output = future.await;
            drop(guard);
            output
        }));
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        // On other threads it may have ended already.
        if names.running.contains_key(&id) {
            names.handles.insert(id, handle.abort_handle());
        }
        handle
    }

    /// Ends every task where it stands, as the death of a process would: nothing is drained, nothing is told. For
    /// simulation; a process drains.
    pub fn abort(&self) {
        self.token.cancel();
        self.tracker.close();
        let handles = std::mem::take(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner).handles);
        for handle in handles.into_values() {
            handle.abort();
        }
    }

    /// Tells every task to stop and waits for them.
    ///
    /// # Errors
    /// [`Held`] names what had not ended after `grace`.
    pub async fn drain(&self, grace: Duration) -> Result<(), Held> {
        self.token.cancel();
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        Err(Held { grace, held: names.running.values().map(|(_, name)| name.clone()).collect() })
    }
}

/// Keeps the name of a task listed while it runs, panics included.
struct Running {
    tasks: Tasks,
    id: u64,
    kind: Kind,
}

impl Running {
    fn enter(tasks: &Tasks, kind: Kind, name: String) -> Self {
        let mut names = tasks.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.next += 1;
        let id = names.next;
        names.running.insert(id, (kind, name));
        drop(names);
        Self { tasks: tasks.clone(), id, kind }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut names = self.tasks.names.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = names.running.remove(&self.id);
        names.handles.remove(&self.id);
        drop(names);
        if self.kind == Kind::Service && !self.tasks.token.is_cancelled() {
            if let Some((_, name)) = ended {
                tracing::error!(task = name, "a service ended before shutdown");
            }
            self.tasks.failed.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn drain_waits_for_what_heeds_the_token_and_names_what_does_not() {
        let tasks = Tasks::new();
        let token = tasks.shutdown_token();
        tasks.spawn(Kind::Service, "heeds", async move { token.cancelled().await });
        tasks.spawn(Kind::Job, "deaf", std::future::pending::<()>());
        let held = tasks.drain(Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(held.held, ["deaf"]);
        assert_eq!(held.to_string(), "after 5s still running: deaf");
    }

    #[tokio::test(start_paused = true)]
    async fn abort_ends_tasks_where_they_stand() {
        let tasks = Tasks::new();
        let token = tasks.shutdown_token();
        let deaf = tasks.spawn(Kind::Service, "deaf", std::future::pending::<()>());
        let last_words = tasks.spawn(Kind::Service, "heeds", async move { token.cancelled().await });
        tokio::task::yield_now().await;
        tasks.abort();
        assert!(deaf.await.unwrap_err().is_cancelled());
        assert!(last_words.await.unwrap_err().is_cancelled(), "not even what heeds the token gets a turn");
        assert!(!tasks.failed.is_cancelled());
        assert_eq!(tasks.drain(Duration::ZERO).await, Ok(()));
    }

    #[tokio::test]
    async fn a_service_that_ends_early_is_noticed() {
        let tasks = Tasks::new();
        tasks.spawn(Kind::Request, "client", async {}).await.unwrap();
        assert!(!tasks.failed.is_cancelled());
        let _ended = tasks.spawn(Kind::Service, "brittle", async {});
        tasks.service_ended().await;
        assert_eq!(tasks.drain(Duration::from_secs(1)).await, Ok(()));
    }
}
