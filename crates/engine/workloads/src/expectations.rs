//! What was written and has not come back through the watch yet: until then the cache is too old to count by.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use muster_base::clock::elapsed;
use parking_lot::Mutex;

/// After so long a write that was never seen is believed lost.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Pending {
    creations: usize,
    deletions: HashSet<String>,
    since: Timestamp,
}

/// By the owner's uid. Noted before the request is sent, because the watch may be faster than the answer.
#[derive(Debug, Default)]
pub(crate) struct Expectations(Mutex<HashMap<String, Pending>>);

impl Expectations {
    pub(crate) fn creation(&self, owner: &str, now: Timestamp) {
        self.pending(owner, now, |pending| pending.creations += 1);
    }

    pub(crate) fn deletion(&self, owner: &str, uid: &str, now: Timestamp) {
        self.pending(owner, now, |pending| {
            pending.deletions.insert(uid.to_owned());
        });
    }

    /// An object of that owner was seen for the first time, or its creation failed.
    pub(crate) fn created(&self, owner: &str) {
        self.settle(owner, |pending| pending.creations = pending.creations.saturating_sub(1));
    }

    /// An object was seen leaving or gone, or its deletion failed.
    pub(crate) fn deleted(&self, owner: &str, uid: &str) {
        self.settle(owner, |pending| {
            pending.deletions.remove(uid);
        });
    }

    /// How long to wait before counting: `None` if the cache shows all that was written.
    pub(crate) fn wait(&self, owner: &str, now: Timestamp) -> Option<Duration> {
        let all = self.0.lock();
        let pending = all.get(owner)?;
        PATIENCE.checked_sub(elapsed(pending.since, now)).filter(|rest| !rest.is_zero())
    }

    fn pending(&self, owner: &str, now: Timestamp, change: impl FnOnce(&mut Pending)) {
        let mut all = self.0.lock();
        let pending = all.entry(owner.to_owned()).or_insert_with(|| Pending {
            creations: 0,
            deletions: HashSet::new(),
            since: now,
        });
        pending.since = now;
        change(pending);
    }

    fn settle(&self, owner: &str, change: impl FnOnce(&mut Pending)) {
        let mut all = self.0.lock();
        let Some(pending) = all.get_mut(owner) else { return };
        change(pending);
        if pending.creations == 0 && pending.deletions.is_empty() {
            all.remove(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn waits_until_every_write_was_seen() {
        let expectations = Expectations::default();
        assert_eq!(expectations.wait("o", at(0)), None);
        expectations.creation("o", at(0));
        expectations.creation("o", at(0));
        expectations.deletion("o", "p", at(0));
        expectations.created("o");
        expectations.deleted("o", "p");
        assert!(expectations.wait("o", at(1)).is_some());
        expectations.created("o");
        assert_eq!(expectations.wait("o", at(1)), None);
        expectations.created("o");
        assert_eq!(expectations.wait("o", at(1)), None, "what others make is not counted against us");
    }

    #[test]
    fn a_write_that_is_never_seen_is_given_up_after_five_minutes() {
        let expectations = Expectations::default();
        expectations.creation("o", at(0));
        assert_eq!(expectations.wait("o", at(299)), Some(Duration::from_secs(1)));
        assert_eq!(expectations.wait("o", at(300)), None);
    }
}
