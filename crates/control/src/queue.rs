//! A queue of keys: each key waits at most once and is worked on by at most one worker.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Why a key is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Something watched changed.
    Watch,
    /// The pass asked to be called again, or failed.
    Timer,
    /// The periodic sweep; it should find nothing to do.
    Sweep,
}

/// A key taken from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken<K> {
    pub(crate) key: K,
    pub(crate) cause: Cause,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    /// Why each waiting key waits; the strongest cause counts.
    waiting: HashMap<K, Cause>,
    running: BTreeSet<K>,
    /// Keys added while they were worked on.
    again: BTreeMap<K, Cause>,
    timers: BTreeSet<(Instant, K)>,
    /// When each key is looked at again, and why.
    timer_of: HashMap<K, (Instant, Cause)>,
}

impl<K> Default for State<K> {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            waiting: HashMap::new(),
            running: BTreeSet::new(),
            again: BTreeMap::new(),
            timers: BTreeSet::new(),
            timer_of: HashMap::new(),
        }
    }
}

/// The queue. Cheap to clone; bounded by the number of keys, since none waits twice.
#[derive(Debug)]
pub struct Queue<K> {
    state: Arc<Mutex<State<K>>>,
    wake: Arc<Notify>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), wake: Arc::clone(&self.wake) }
    }
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self { state: Arc::default(), wake: Arc::default() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the key looked at as soon as a worker is free. A key that is being worked on is looked at once more.
    pub fn add(&self, key: K, cause: Cause) {
        self.state.lock().add(key, cause);
        self.wake.notify_one();
    }

    /// Has the key looked at after `wait`, or earlier where an earlier time was asked for.
    pub fn add_after(&self, key: K, wait: Duration) {
        self.add_at(key, Instant::now() + wait, Cause::Timer);
    }

    /// The same because something watched changed, for what changes often and is looked at once: a sweep that comes before
    /// finds nothing that the watch had missed.
    pub fn put_off(&self, key: K, wait: Duration) {
        self.add_at(key, Instant::now() + wait, Cause::Watch);
    }

    fn add_at(&self, key: K, at: Instant, cause: Cause) {
        let mut state = self.state.lock();
        let known = state.timer_of.get(&key).copied();
        let (when, why) = known.map_or((at, cause), |(when, why)| (when.min(at), why.min(cause)));
        if let Some((later, _)) = known {
            state.timers.remove(&(later, key.clone()));
        }
        state.timer_of.insert(key.clone(), (when, why));
        state.timers.insert((when, key));
        drop(state);
        self.wake.notify_one();
    }

    /// Keys that wait for a worker.
    pub fn depth(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// The next key; it stays with the caller until [`Queue::done`].
    pub(crate) async fn take(&self) -> Taken<K> {
        loop {
            let woken = self.wake.notified();
            let next_timer = {
                let mut state = self.state.lock();
                state.ring(Instant::now());
                if let Some(taken) = state.pop() {
                    if !state.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return taken;
                }
                state.timers.first().map(|(at, _)| *at)
            };
            match next_timer {
                Some(at) => {
                    tokio::select! {
                        () = woken => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => woken.await,
            }
        }
    }

    /// Gives a taken key back.
    pub(crate) fn done(&self, key: &K) {
        let mut state = self.state.lock();
        state.running.remove(key);
        if let Some(cause) = state.again.remove(key) {
            state.add(key.clone(), cause);
            drop(state);
            self.wake.notify_one();
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn add(&mut self, key: K, cause: Cause) {
        let cause = match self.timer_of.get(&key) {
            Some((_, Cause::Watch)) => Cause::Watch,
            Some((_, Cause::Timer | Cause::Sweep)) | None => cause,
        };
        if self.running.contains(&key) {
            let stronger = self.again.get(&key).map_or(cause, |old| cause.min(*old));
            self.again.insert(key, stronger);
            return;
        }
        match self.waiting.get_mut(&key) {
            Some(old) => *old = cause.min(*old),
            None => {
                self.waiting.insert(key.clone(), cause);
                self.ready.push_back(key);
            }
        }
    }

    fn ring(&mut self, now: Instant) {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            let cause = self.timer_of.remove(&key).map_or(Cause::Timer, |(_, cause)| cause);
            self.add(key, cause);
        }
    }

    fn pop(&mut self) -> Option<Taken<K>> {
        let key = self.ready.pop_front()?;
        let cause = self.waiting.remove(&key).unwrap_or(Cause::Watch);
        self.running.insert(key.clone());
        Some(Taken { key, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_the_strongest_cause_counts() {
        let queue = Queue::new();
        queue.add("a", Cause::Sweep);
        queue.add("a", Cause::Watch);
        queue.add("b", Cause::Sweep);
        assert_eq!(queue.take().await, Taken { key: "a", cause: Cause::Watch });
        assert_eq!(queue.take().await, Taken { key: "b", cause: Cause::Sweep });
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_in_work_comes_once_more_and_only_after_it_was_given_back() {
        let queue = Queue::new();
        queue.add("a", Cause::Watch);
        let taken = queue.take().await;
        queue.add("a", Cause::Watch);
        queue.add("a", Cause::Watch);
        assert!(tokio::time::timeout(Duration::from_secs(1), queue.take()).await.is_err());
        queue.done(&taken.key);
        assert_eq!(queue.take().await.key, "a");
        queue.done(&"a");
        assert!(tokio::time::timeout(Duration::from_secs(1), queue.take()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_that_comes_before_what_was_put_off_has_missed_nothing() {
        let queue = Queue::new();
        queue.put_off("a", Duration::from_secs(30));
        queue.add_after("a", Duration::from_secs(10));
        queue.add_after("b", Duration::from_secs(10));
        for (key, cause) in [("a", Cause::Watch), ("b", Cause::Sweep)] {
            queue.add(key, Cause::Sweep);
            assert_eq!(queue.take().await, Taken { key, cause });
            queue.done(&key);
        }
        for (key, cause) in [("a", Cause::Watch), ("b", Cause::Timer)] {
            assert_eq!(queue.take().await, Taken { key, cause });
            queue.done(&key);
        }
        queue.add("a", Cause::Sweep);
        assert_eq!(
            queue.take().await,
            Taken { key: "a", cause: Cause::Sweep },
            "nothing is put off any more"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_time_asked_for_counts() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add_after("a", Duration::from_secs(10));
        queue.add_after("a", Duration::from_secs(3));
        queue.add_after("a", Duration::from_secs(30));
        assert_eq!(queue.take().await, Taken { key: "a", cause: Cause::Timer });
        assert_eq!(start.elapsed().as_secs(), 3);
        queue.done(&"a");
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.take()).await.is_err());
    }
}
