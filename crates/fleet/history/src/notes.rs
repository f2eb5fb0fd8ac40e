//! What the webhook saw at admission, until the watch confirms that it was stored.
//!
//! A note is a claim, not a change: one whose object is never stored (refused by somebody later, a conflict, a write that
//! changes nothing) is forgotten.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::clock::elapsed;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::record::{Actor, Operation, Via};

/// A write is stored within seconds after its admission.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// Beyond this many the oldest are forgotten; their changes are recorded as seen by the watch alone.
const NOTES_MAX: usize = 100_000;

/// One admitted request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) at: Timestamp,
    pub(crate) uid: Uuid,
    pub(crate) operation: Operation,
    /// Of the new object; of a deletion there is none.
    pub(crate) digest: Option<[u8; 32]>,
    /// The revision it was made upon; 0 of a new object.
    pub(crate) upon: u64,
    pub(crate) actor: Actor,
    pub(crate) reason: Option<String>,
}

/// Who did it, as far as is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attribution {
    pub(crate) via: Via,
    pub(crate) actor: Option<Actor>,
    pub(crate) reason: Option<String>,
}

impl Attribution {
    pub(crate) const UNKNOWN: Self = Self { via: Via::WatchOnly, actor: None, reason: None };
}

#[derive(Debug, Default)]
struct Kept {
    of: HashMap<Uuid, Vec<Note>>,
    order: VecDeque<(Timestamp, Uuid)>,
}

/// All open notes.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Kept>);

impl Notes {
    pub(crate) fn add(&self, note: Note) {
        let mut kept = self.0.lock();
        kept.forget(note.at);
        kept.order.push_back((note.at, note.uid));
        kept.of.entry(note.uid).or_default().push(note);
    }

    /// Who made the stored version: the note of this object, operation and content; where several have these, the one
    /// made upon the version before. The note is used up, and so are those of writes that lost against it.
    pub(crate) fn take(
        &self,
        uid: Uuid,
        operation: Operation,
        upon: u64,
        digest: impl FnOnce() -> [u8; 32],
    ) -> Attribution {
        let mut kept = self.0.lock();
        let Some(notes) = kept.of.get_mut(&uid) else { return Attribution::UNKNOWN };
        let digest = digest();
        let fits = |note: &Note| match operation {
            Operation::Delete => note.operation == Operation::Delete,
            Operation::Create | Operation::Update => note.digest == Some(digest),
        };
        let mut found: Vec<Note> = notes.iter().filter(|note| fits(note)).cloned().collect();
        if found.iter().any(|note| note.upon == upon) {
            found.retain(|note| note.upon == upon);
        }
        notes.retain(|note| !fits(note) && note.upon > upon);
        if notes.is_empty() {
            kept.of.remove(&uid);
        }
        attribution(found)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().of.values().map(Vec::len).sum()
    }
}

impl Kept {
    fn forget(&mut self, now: Timestamp) {
        while let Some((at, uid)) = self.order.front().copied()
            && (self.order.len() >= NOTES_MAX || elapsed(at, now) > KEPT_FOR)
        {
            self.order.pop_front();
            if let Some(notes) = self.of.get_mut(&uid) {
                notes.retain(|note| note.at > at);
                if notes.is_empty() {
                    self.of.remove(&uid);
                }
            }
        }
    }
}

fn attribution(found: Vec<Note>) -> Attribution {
    let mut notes = found.into_iter();
    let Some(first) = notes.next() else { return Attribution::UNKNOWN };
    let mut users: Vec<Arc<str>> = vec![Arc::clone(&first.actor.user)];
    for note in notes {
        if !users.contains(&note.actor.user) {
            users.push(note.actor.user);
        }
    }
    if users.len() == 1 {
        return Attribution { via: Via::Webhook, actor: Some(first.actor), reason: first.reason };
    }
    let user = users.iter().map(|user| &**user).collect::<Vec<_>>().join(" or ").into();
    let actor = Actor { user, groups: Vec::new() };
    Attribution { via: Via::WebhookSeveral, actor: Some(actor), reason: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(user: &str, second: i64, digest: u8, upon: u64) -> Note {
        Note {
            at: Timestamp::from_second(second).unwrap(),
            uid: Uuid::from_u128(1),
            operation: Operation::Update,
            digest: Some([digest; 32]),
            upon,
            actor: Actor { user: user.into(), groups: Vec::new() },
            reason: None,
        }
    }

    fn taken(notes: &Notes, digest: u8, upon: u64) -> (Via, String) {
        let found = notes.take(Uuid::from_u128(1), Operation::Update, upon, || [digest; 32]);
        (found.via, found.actor.map_or(String::new(), |actor| actor.user.to_string()))
    }

    #[test]
    fn the_stored_content_tells_whose_write_it_was_not_the_time() {
        let notes = Notes::default();
        notes.add(note("ada", 1, 1, 7));
        notes.add(note("bob", 2, 2, 7));
        assert_eq!(taken(&notes, 2, 7), (Via::Webhook, "bob".into()));
        assert_eq!(notes.len(), 0, "ada's write lost and is forgotten");
        assert_eq!(taken(&notes, 1, 8), (Via::WatchOnly, String::new()));
    }

    #[test]
    fn of_equal_contents_the_one_upon_the_version_before_counts_and_else_all_are_named() {
        let notes = Notes::default();
        notes.add(note("ada", 1, 1, 7));
        notes.add(note("bob", 2, 1, 8));
        assert_eq!(taken(&notes, 1, 8), (Via::Webhook, "bob".into()));
        notes.add(note("ada", 3, 1, 9));
        notes.add(note("bob", 3, 1, 9));
        assert_eq!(taken(&notes, 1, 9), (Via::WebhookSeveral, "ada or bob".into()));
    }

    #[test]
    fn notes_of_writes_that_never_came_are_forgotten() {
        let notes = Notes::default();
        notes.add(note("ada", 1, 1, 7));
        notes.add(note("bob", 400, 2, 7));
        assert_eq!(notes.len(), 1);
        assert_eq!(taken(&notes, 1, 7), (Via::WatchOnly, String::new()));
    }
}
