//! Pods that wait for a place: ready ones by priority, refused ones until something changes, failed ones until later.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::backoff::Backoff;

use crate::pod::Pod;
use crate::refusal::Refusal;
use crate::snapshot::Change;

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
/// A refused pod gets another look after this long even if no event asked for it.
const SWEEP: Duration = Duration::from_secs(300);

type Rank = (Reverse<i32>, Option<Timestamp>, u64);
type Uid = Arc<str>;

#[derive(Debug)]
enum Wait {
    Ready(Rank),
    Refused(Refusal, Timestamp),
    Later(Timestamp),
}

#[derive(Debug)]
struct Waiting {
    pod: Arc<Pod>,
    wait: Wait,
    failures: u32,
    /// Not to be tried again before this moment.
    rests_until: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: HashMap<Uid, Waiting>,
    ready: BTreeSet<(Rank, Uid)>,
    later: BTreeSet<(Timestamp, Uid)>,
    failures: HashMap<Uid, u32>,
    arrivals: u64,
}

impl Queue {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A pod that is new, or whose own wishes changed, is looked at at once.
    pub(crate) fn add(&mut self, pod: Arc<Pod>) {
        let failures = self.failures_of(&pod.uid);
        self.take_out(&pod.uid);
        self.make_ready(pod, failures, None);
    }

    /// Keeps the newest text of a pod that waits, without another look.
    pub(crate) fn refresh(&mut self, pod: &Arc<Pod>) {
        if let Some(waiting) = self.waiting.get_mut(&pod.uid) {
            waiting.pod = Arc::clone(pod);
        }
    }

    pub(crate) fn get(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.waiting.get(uid).map(|waiting| &waiting.pod)
    }

    pub(crate) fn remove(&mut self, uid: &str) {
        self.take_out(uid);
        self.failures.remove(uid);
    }

    /// Takes up to `most` ready pods, highest priority first, then oldest.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Arc<Pod>> {
        let mut pods = Vec::new();
        while pods.len() < most {
            let Some((_, uid)) = self.ready.pop_first() else { break };
            if let Some(waiting) = self.waiting.remove(&uid) {
                self.failures.insert(uid, waiting.failures);
                pods.push(waiting.pod);
            }
        }
        pods
    }

    /// No node will do: wait for a change that could help.
    pub(crate) fn refused(&mut self, pod: Arc<Pod>, refusal: Refusal, now: Timestamp) {
        let failures = self.failures_of(&pod.uid).saturating_add(1);
        let rests_until = Some(later(now, BACKOFF.base(failures)));
        self.failures.insert(Arc::clone(&pod.uid), failures);
        let sweep = later(now, SWEEP);
        self.later.insert((sweep, Arc::clone(&pod.uid)));
        let wait = Wait::Refused(refusal, sweep);
        self.waiting.insert(Arc::clone(&pod.uid), Waiting { pod, wait, failures, rests_until });
    }

    /// The API did not take the placement: try again after a while.
    pub(crate) fn failed(&mut self, pod: Arc<Pod>, now: Timestamp) {
        let failures = self.failures_of(&pod.uid).saturating_add(1);
        self.failures.insert(Arc::clone(&pod.uid), failures);
        let at = later(now, BACKOFF.base(failures));
        self.put_later(pod, failures, at);
    }

    /// Something changed: refused pods that it may help come back.
    pub(crate) fn wake(&mut self, change: Change, now: Timestamp) {
        if change == Change::Nothing {
            return;
        }
        let helped: Vec<Uid> = self
            .waiting
            .iter()
            .filter(|(_, w)| matches!(&w.wait, Wait::Refused(refusal, _) if refusal.cured_by(change)))
            .map(|(uid, _)| Arc::clone(uid))
            .collect();
        for uid in helped {
            self.bring_back(&uid, now);
        }
    }

    /// Brings back those whose time has come.
    pub(crate) fn ripen(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.later.first()
            && *at <= now
        {
            if let Some((_, uid)) = self.later.pop_first() {
                self.bring_back(&uid, now);
            }
        }
    }

    /// When [`Queue::ripen`] has something to do next.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.later.first().map(|(at, _)| *at)
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn bring_back(&mut self, uid: &str, now: Timestamp) {
        let Some(waiting) = self.take_out(uid) else { return };
        match waiting.rests_until {
            Some(until) if until > now => self.put_later(waiting.pod, waiting.failures, until),
            Some(_) | None => self.make_ready(waiting.pod, waiting.failures, waiting.rests_until),
        }
    }

    fn put_later(&mut self, pod: Arc<Pod>, failures: u32, at: Timestamp) {
        self.later.insert((at, Arc::clone(&pod.uid)));
        let waiting =
            Waiting { wait: Wait::Later(at), failures, rests_until: Some(at), pod: Arc::clone(&pod) };
        self.waiting.insert(Arc::clone(&pod.uid), waiting);
    }

    fn make_ready(&mut self, pod: Arc<Pod>, failures: u32, rests_until: Option<Timestamp>) {
        self.arrivals += 1;
        let rank = (Reverse(pod.priority), pod.created, self.arrivals);
        self.ready.insert((rank, Arc::clone(&pod.uid)));
        let uid = Arc::clone(&pod.uid);
        self.waiting.insert(uid, Waiting { pod, wait: Wait::Ready(rank), failures, rests_until });
    }

    fn take_out(&mut self, uid: &str) -> Option<Waiting> {
        let (key, waiting) = self.waiting.remove_entry(uid)?;
        match &waiting.wait {
            Wait::Ready(rank) => self.ready.remove(&(*rank, key)),
            Wait::Refused(_, at) | Wait::Later(at) => self.later.remove(&(*at, key)),
        };
        Some(waiting)
    }

    fn failures_of(&self, uid: &str) -> u32 {
        let waiting = self.waiting.get(uid).map(|waiting| waiting.failures);
        waiting.or_else(|| self.failures.get(uid).copied()).unwrap_or(0)
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
