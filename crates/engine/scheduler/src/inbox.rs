//! What the watches have brought and the scheduler has not yet read. Only the newest state of each object waits, so it
//! is bounded by the number of objects.

use std::collections::HashMap;
use std::sync::Arc;

use kube::Resource;
use muster_control::Change;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::view::{Namespace, Node, Pod};

/// The newest state of some objects; `None` for one that is gone.
pub(crate) type News<T> = HashMap<String, Option<Arc<T>>>;

#[derive(Debug, Default)]
struct Waiting {
    pods: News<Pod>,
    nodes: News<Node>,
    namespaces: News<Namespace>,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

impl Inbox {
    /// Pods by uid: a namesake is another pod.
    pub(crate) fn pod(&self, change: &Change<Pod>) {
        let mut waiting = self.waiting.lock();
        if let Some(old) = &change.old {
            waiting.pods.insert(uid(&**old), None);
        }
        if let Some(new) = &change.new {
            waiting.pods.insert(uid(&**new), Some(Arc::clone(new)));
        }
        drop(waiting);
        self.wake.notify_one();
    }

    pub(crate) fn node(&self, change: &Change<Node>) {
        self.waiting.lock().nodes.insert(change.key.name.clone(), change.new.clone());
        self.wake.notify_one();
    }

    pub(crate) fn namespace(&self, change: &Change<Namespace>) {
        self.waiting.lock().namespaces.insert(change.key.name.clone(), change.new.clone());
        self.wake.notify_one();
    }

    pub(crate) fn take(&self) -> (News<Pod>, News<Node>, News<Namespace>) {
        let Waiting { pods, nodes, namespaces } = std::mem::take(&mut *self.waiting.lock());
        (pods, nodes, namespaces)
    }

    /// Resolves when something came since the last [`Inbox::take`].
    pub(crate) async fn news(&self) {
        self.wake.notified().await;
    }
}

fn uid<K: Resource>(object: &K) -> String {
    object.meta().uid.clone().unwrap_or_default()
}
