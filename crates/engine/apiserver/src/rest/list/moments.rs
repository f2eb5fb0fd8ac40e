//! Moments that somebody lists in pages: the next page is read from the moment of the first, however much was written
//! since. Without one it is worked out from the events since then, as long as these are kept.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use muster_store::Snapshot;
use parking_lot::Mutex;

use crate::object::Object;

/// A moment holds on to versions that were replaced since: so there are few, and not for long.
const MOMENTS_MAX: usize = 16;
const KEPT_FOR: SignedDuration = SignedDuration::from_secs(120);

#[derive(Default)]
pub(crate) struct Moments(Mutex<VecDeque<Moment>>);

struct Moment {
    resource: Arc<str>,
    snapshot: Snapshot<Object>,
    until: Timestamp,
}

impl Moments {
    /// Keeps the moment of a list whose end is not reached.
    pub(super) fn keep(&self, resource: &Arc<str>, snapshot: &Snapshot<Object>, now: Timestamp) {
        let mut moments = self.0.lock();
        moments.retain(|moment| now < moment.until && !moment.is_of(resource, snapshot.revision().get()));
        if MOMENTS_MAX <= moments.len() {
            moments.pop_front();
        }
        let until = now.saturating_add(KEPT_FOR).unwrap_or(Timestamp::MAX);
        moments.push_back(Moment { resource: Arc::clone(resource), snapshot: snapshot.clone(), until });
    }

    /// The resource as it was at a revision, if a list began then.
    pub(super) fn at(&self, resource: &str, revision: u64, now: Timestamp) -> Option<Snapshot<Object>> {
        let mut moments = self.0.lock();
        moments.retain(|moment| now < moment.until);
        moments.iter().find(|moment| moment.is_of(resource, revision)).map(|moment| moment.snapshot.clone())
    }
}

impl Moment {
    fn is_of(&self, resource: &str, revision: u64) -> bool {
        *self.resource == *resource && self.snapshot.revision().get() == revision
    }
}
