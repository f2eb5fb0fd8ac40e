//! The periodic look at everything, which should find nothing.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use muster_base::task::{Kind, Tasks};

use crate::ObjectKey;
use crate::informer::{Informer, Watched};
use crate::metrics::Metrics;
use crate::queue::{Cause, Queue};

/// How long the watch may lag behind a fresh list before an object counts as missed.
const GRACE: Duration = Duration::from_secs(5);

/// Objects that are looked at in one go.
const AT_ONCE: usize = 256;

type Round = Box<dyn Fn() -> BoxFuture<'static, Result<u64, kube::Error>> + Send + Sync>;

/// A sweep over some kinds on behalf of one controller.
pub struct Sweep {
    controller: &'static str,
    every: Duration,
    metrics: Metrics,
    rounds: Vec<Round>,
}

impl Sweep {
    /// A sweep that begins every `every`.
    pub fn new(controller: &'static str, every: Duration, metrics: Metrics) -> Self {
        metrics.missed(controller, 0);
        Self { controller, every, metrics, rounds: Vec::new() }
    }

    /// Lists the kind anew, takes over what the watch missed, and has every key looked at.
    #[must_use]
    pub fn over<K: Watched>(self, informer: &Informer<K>, queue: &Queue<ObjectKey>) -> Self {
        self.over_unsettled(informer, queue, |_| false)
    }

    /// As [`Sweep::over`], for many objects of which few need anything: those that are `settled`, where the pass would find
    /// nothing to do and nothing to wait for, are looked at here and do not go through the queue.
    #[must_use]
    pub fn over_unsettled<K: Watched>(
        mut self,
        informer: &Informer<K>,
        queue: &Queue<ObjectKey>,
        settled: impl Fn(&K) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (informer, queue, settled) = (informer.clone(), queue.clone(), Arc::new(settled));
        let (controller, metrics) = (self.controller, self.metrics.clone());
        self.rounds.push(Box::new(move || {
            let (informer, queue, settled) = (informer.clone(), queue.clone(), Arc::clone(&settled));
            let metrics = metrics.clone();
            async move {
                let missed = informer.missed(GRACE).await?;
                for objects in informer.list().chunks(AT_ONCE) {
                    let before = objects.len() as u64;
                    let unsettled = objects.iter().filter(|object| !settled(object));
                    let open =
                        unsettled.map(|object| queue.add(ObjectKey::of(&**object), Cause::Sweep)).count();
                    metrics.idle(controller, before - open as u64);
                    // Others want to work too.
                    tokio::task::yield_now().await;
                }
                Ok(missed.len() as u64)
            }
            .boxed()
        }));
        self
    }

    /// Lists a further kind anew and takes over what the watch missed of it: its handlers then call for what is to be
    /// looked at. Every kind a pass decides by needs this or [`Sweep::over`], for the sweep alone must suffice.
    #[must_use]
    pub fn refreshing<K: Watched>(mut self, informer: &Informer<K>) -> Self {
        let informer = informer.clone();
        self.rounds.push(Box::new(move || {
            let informer = informer.clone();
            async move { Ok(informer.missed(GRACE).await?.len() as u64) }.boxed()
        }));
        self
    }

    /// Starts sweeping; ends with `tasks`.
    pub fn start(self, tasks: &Tasks) {
        let token = tasks.shutdown_token();
        tasks.spawn(Kind::Service, format!("{} sweep", self.controller), async move {
            while token.run_until_cancelled(tokio::time::sleep(self.every)).await.is_some() {
                if token.run_until_cancelled(self.once()).await.is_none() {
                    return;
                }
            }
        });
    }

    async fn once(&self) {
        // At once: each waits out the grace time where it finds something.
        for result in join_all(self.rounds.iter().map(|round| round())).await {
            match result {
                Ok(0) => {}
                Ok(missed) => {
                    self.metrics.missed(self.controller, missed);
                    tracing::warn!(
                        controller = self.controller,
                        missed,
                        "the sweep found objects the watch had missed"
                    );
                }
                Err(error) => {
                    tracing::warn!(
                        controller = self.controller,
                        error = crate::explain(&error),
                        "a sweep could not list"
                    );
                }
            }
        }
    }
}
