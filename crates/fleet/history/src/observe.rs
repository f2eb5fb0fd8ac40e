//! Seeing what is really stored: a list at first, then one watch per kind, taken up again where it ended.
//!
//! Each version of each object passes here with its revision. What happened while nobody looked is recorded as seen late:
//! from the watch while the API still has it, else as the difference between the last known state and the list.

mod api;
mod recorder;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::Client;
use kube::core::WatchEvent;
use muster_base::backoff::Backoff;
use muster_base::task::{Kind as TaskKind, Tasks};
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::database::{Database, Seen};
use crate::kinds::{Kind, kept};
use crate::notes::Notes;

/// Versions on their way to the log; a watch waits when there are more.
const QUEUE: usize = 1024;

/// Starts the recorder and one watch per kind; they end with `tasks`.
pub(crate) fn start(client: &Client, database: &Arc<Database>, notes: &Arc<Notes>, tasks: &Tasks) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    recorder::start(Arc::clone(database), Arc::clone(notes), receiver, tasks);
    for kind in Kind::ALL {
        let watch =
            Watch { kind, client: client.clone(), database: Arc::clone(database), sender: sender.clone() };
        let token = tasks.shutdown_token();
        tasks.spawn(TaskKind::Service, format!("history of {}", kind.plural()), async move {
            token.run_until_cancelled(watch.run()).await;
        });
    }
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    /// The API no longer has what came after the last revision.
    #[error("the API no longer has what came after revision {0}")]
    Gone(u64),
    #[error("the API did not answer")]
    Api(#[from] Box<kube::Error>),
    #[error("the recorder has ended")]
    NoRecorder,
}

struct Watch {
    kind: Kind,
    client: Client,
    database: Arc<Database>,
    sender: mpsc::Sender<Seen>,
}

/// How far a watch has come.
struct Cursor {
    /// The last revision seen; 0 = everything is to be listed.
    revision: u64,
    /// What is not newer than this happened while nobody looked.
    late_until: u64,
}

impl Watch {
    async fn run(self) {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        let mut failures = 0;
        let mut cursor = Cursor { revision: self.database.last_revision(self.kind), late_until: u64::MAX };
        loop {
            let before = cursor.revision;
            match self.follow(&mut cursor).await {
                Ok(()) => failures = 0,
                Err(Interrupted::NoRecorder) => return,
                Err(interrupted) => {
                    if matches!(interrupted, Interrupted::Gone(_)) {
                        cursor = Cursor { revision: 0, late_until: u64::MAX };
                    }
                    failures = if before == cursor.revision { failures + 1 } else { 1 };
                    let error = muster_control::explain(&interrupted);
                    tracing::info!(kind = self.kind.name(), error, "the history's watch is taken up again");
                    tokio::time::sleep(backoff.wait(failures)).await;
                }
            }
        }
    }

    /// Until the watch ends.
    async fn follow(&self, cursor: &mut Cursor) -> Result<(), Interrupted> {
        if cursor.revision == 0 {
            cursor.revision = self.list().await?;
            cursor.late_until = cursor.revision;
        } else if cursor.late_until == u64::MAX {
            cursor.late_until = api::present(&self.client, self.kind).await?;
        }
        let events = api::watch(&self.client, self.kind, cursor.revision).await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event.map_err(Box::new)? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    self.seen(object, Presence::There, cursor).await?;
                }
                WatchEvent::Deleted(object) => self.seen(object, Presence::Gone, cursor).await?,
                WatchEvent::Bookmark(bookmark) => {
                    cursor.revision = number(&bookmark.metadata.resource_version).max(cursor.revision);
                }
                WatchEvent::Error(status) if status.code == 410 => {
                    return Err(Interrupted::Gone(cursor.revision));
                }
                WatchEvent::Error(status) => return Err(Box::new(kube::Error::Api(status)).into()),
            }
        }
        Ok(())
    }

    async fn seen(&self, object: Value, presence: Presence, cursor: &mut Cursor) -> Result<(), Interrupted> {
        let revision = revision(&object);
        if let Some(seen) = version(self.kind, object, presence, revision <= cursor.late_until) {
            self.tell(seen).await?;
        }
        cursor.revision = revision.max(cursor.revision);
        Ok(())
    }

    async fn tell(&self, seen: Seen) -> Result<(), Interrupted> {
        self.sender.send(seen).await.map_err(|_| Interrupted::NoRecorder)
    }

    /// Tells everything that is there and what is there no more, and returns the revision of the list.
    async fn list(&self) -> Result<u64, Interrupted> {
        let mut left: HashSet<Arc<str>> =
            self.database.living(self.kind).into_iter().map(|(name, _)| name).collect();
        let mut next = Some(String::new());
        let mut listed = 0;
        while let Some(from) = next {
            let page = api::page(&self.client, self.kind, &from).await?;
            for object in page.items {
                if let Some(seen) = version(self.kind, object, Presence::There, true) {
                    left.remove(&*seen.name);
                    self.tell(seen).await?;
                }
            }
            (listed, next) = (page.revision, page.next);
        }
        for name in left {
            self.tell(gone(self.kind, &name, listed)).await?;
        }
        Ok(listed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    There,
    Gone,
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn revision(object: &Value) -> u64 {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map_or(0, number)
}

/// An object that a list no longer shows.
fn gone(kind: Kind, name: &str, revision: u64) -> Seen {
    Seen {
        kind,
        name: name.to_owned(),
        uid: Uuid::nil(),
        revision,
        object: None,
        manager: None,
        late: true,
        attribution: None,
    }
}

/// One version of an object as it is recorded; `None` for one without name, uid or revision.
fn version(kind: Kind, object: Value, presence: Presence, late: bool) -> Option<Seen> {
    let text = |key: &str| object.get("metadata")?.get(key)?.as_str();
    let (name, uid) = (text("name")?.to_owned(), Uuid::parse_str(text("uid")?).ok()?);
    let revision = Some(revision(&object)).filter(|revision| *revision > 0)?;
    let manager = manager(&object).map(Arc::from);
    let object = (presence == Presence::There).then(|| kept(kind, object));
    Some(Seen { kind, name, uid, revision, object, manager, late, attribution: None })
}

/// The field manager that wrote last.
fn manager(object: &Value) -> Option<&str> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let time = |entry: &&Value| entry.get("time").and_then(Value::as_str).unwrap_or("").to_owned();
    entries.iter().max_by_key(time)?.get("manager")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_has_its_revision_and_the_manager_that_wrote_last() {
        let object = json!({"kind": "Machine", "metadata": {"name": "m1", "resourceVersion": "12",
            "uid": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "managedFields": [
                {"manager": "kubectl-edit", "time": "2026-11-01T14:05:00Z"},
                {"manager": "muster", "time": "2026-11-01T13:05:00Z"}]}, "spec": {"site": "a"}});
        let seen = version(Kind::Machine, object.clone(), Presence::There, false).unwrap();
        assert_eq!((seen.name.as_str(), seen.revision), ("m1", 12));
        assert_eq!(seen.manager.as_deref(), Some("kubectl-edit"));
        assert_eq!(seen.object, Some(json!({"metadata": {}, "spec": {"site": "a"}})));
        assert_eq!(version(Kind::Machine, object, Presence::Gone, true).unwrap().object, None);
        assert!(
            version(Kind::Machine, json!({"metadata": {"name": "m1"}}), Presence::There, false).is_none()
        );
    }
}
