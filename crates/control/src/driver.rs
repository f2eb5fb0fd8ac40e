//! Calls a pass for each key that needs it: one run per key, retries with back-off, causes counted.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use muster_base::backoff::Backoff;
use muster_base::task::{Kind, Tasks};
use parking_lot::Mutex;
use std::collections::HashMap;

use crate::metrics::Metrics;
use crate::queue::{Cause, Queue, Taken};

/// Whether a pass changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It only looked.
    Nothing,
    /// It wrote, created or deleted something.
    Something,
}

/// When the key is to be looked at again, changes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Not before something changes.
    Change,
    /// After this time.
    After(Duration),
}

/// What a pass has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it changed anything.
    pub acted: Acted,
    /// When to come again.
    pub next: Next,
}

impl Outcome {
    /// Nothing to do until something changes.
    pub const IDLE: Self = Self { acted: Acted::Nothing, next: Next::Change };
    /// Did something; the change it made will call it again if need be.
    pub const ACTED: Self = Self { acted: Acted::Something, next: Next::Change };

    /// The same, and look again after `wait`.
    #[must_use]
    pub const fn again_after(self, wait: Duration) -> Self {
        Self { acted: self.acted, next: Next::After(wait) }
    }
}

/// One round for one key: read, plan, do, report. Level-triggered; a second run changes nothing.
pub trait Pass: Send + Sync + 'static {
    /// What it is about.
    type Key: Clone + Debug + Display + Eq + Hash + Ord + Send + Sync + 'static;
    /// Why it could not be done; it is tried again.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Does the round.
    fn pass(&self, key: &Self::Key) -> impl Future<Output = Result<Outcome, Self::Error>> + Send;
}

/// For those who look at their objects in other ways too.
impl<P: Pass> Pass for Arc<P> {
    type Key = P::Key;
    type Error = P::Error;

    fn pass(&self, key: &P::Key) -> impl Future<Output = Result<Outcome, P::Error>> + Send {
        P::pass(self, key)
    }
}

/// How a pass is driven.
#[derive(Clone, Debug)]
pub struct Driver {
    name: &'static str,
    workers: usize,
    backoff: Backoff,
    timeout: Duration,
    metrics: Metrics,
}

impl Driver {
    /// One worker, back-off from 100 ms to 30 s, 60 s for a pass.
    pub fn new(name: &'static str, metrics: Metrics) -> Self {
        metrics.begin(name);
        Self {
            name,
            workers: 1,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(30)),
            timeout: Duration::from_secs(60),
            metrics,
        }
    }

    /// So many keys at once.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// A pass may take so long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts the workers; they end with `tasks`, each after the pass it is in.
    pub fn start<P: Pass>(self, tasks: &Tasks, queue: &Queue<P::Key>, pass: P) {
        let shared = Arc::new(Shared { driver: self, pass, failures: Mutex::default() });
        for worker in 0..shared.driver.workers {
            let (shared, queue, token) = (Arc::clone(&shared), queue.clone(), tasks.shutdown_token());
            tasks.spawn(Kind::Service, format!("{} worker {worker}", shared.driver.name), async move {
                while let Some(taken) = token.run_until_cancelled(queue.take()).await {
                    shared.once(&queue, taken).await;
                }
            });
        }
    }
}

struct Shared<P: Pass> {
    driver: Driver,
    pass: P,
    failures: Mutex<HashMap<P::Key, u32>>,
}

impl<P: Pass> Shared<P> {
    async fn once(&self, queue: &Queue<P::Key>, taken: Taken<P::Key>) {
        let Taken { key, cause } = taken;
        let result = tokio::time::timeout(self.driver.timeout, self.pass.pass(&key)).await;
        match result {
            Ok(Ok(outcome)) => self.succeeded(queue, &key, cause, outcome),
            Ok(Err(error)) => self.failed(queue, &key, &crate::explain(&error)),
            Err(_) => self.failed(queue, &key, "the pass took too long and was given up"),
        }
        queue.done(&key);
    }

    fn succeeded(&self, queue: &Queue<P::Key>, key: &P::Key, cause: Cause, outcome: Outcome) {
        self.failures.lock().remove(key);
        self.driver.metrics.passed(self.driver.name, outcome.acted);
        if cause == Cause::Sweep && outcome.acted == Acted::Something {
            self.driver.metrics.missed(self.driver.name, 1);
            tracing::warn!(controller = self.driver.name, %key, "the sweep found work that the watch had missed");
        }
        if let Next::After(wait) = outcome.next {
            queue.add_after(key.clone(), wait);
        }
    }

    fn failed(&self, queue: &Queue<P::Key>, key: &P::Key, error: &str) {
        let failures = {
            let mut all = self.failures.lock();
            let count = all.entry(key.clone()).or_insert(0);
            *count += 1;
            *count
        };
        self.driver.metrics.failed(self.driver.name);
        tracing::info!(controller = self.driver.name, %key, failures, error, "a pass failed and is tried again");
        queue.add_after(key.clone(), self.driver.backoff.wait(failures));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("not yet")]
    struct NotYet;

    struct ThirdTime(Arc<AtomicU32>);

    impl Pass for ThirdTime {
        type Key = String;
        type Error = NotYet;

        async fn pass(&self, _: &String) -> Result<Outcome, NotYet> {
            if self.0.fetch_add(1, Ordering::SeqCst) < 2 { Err(NotYet) } else { Ok(Outcome::ACTED) }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_pass_is_tried_again_and_work_found_by_the_sweep_is_counted() {
        let (tasks, queue, calls) = (Tasks::new(), Queue::new(), Arc::new(AtomicU32::new(0)));
        let metrics = Metrics::default();
        Driver::new("test", metrics.clone()).start(&tasks, &queue, ThirdTime(Arc::clone(&calls)));
        queue.add("a".to_owned(), Cause::Watch);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        assert_eq!(metrics.missed_total("test"), 0);
        queue.add("a".to_owned(), Cause::Sweep);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!((calls.load(Ordering::SeqCst), metrics.missed_total("test")), (4, 1));
        tasks.drain(Duration::from_secs(1)).await.unwrap();
    }
}
