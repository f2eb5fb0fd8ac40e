//! Keeps the graph current: one metadata watch per resource that can be listed, watched and deleted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use muster_base::error::chain;
use muster_base::task::{Kind, Tasks};
use muster_control::rest::Rest;
use muster_control::{Cause, Queue};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::garbage::graph::{Graph, Node, Place, Uid};
use crate::namespace::discovery::{self, Served};

/// Between two tries when some group did not answer.
const AGAIN: Duration = Duration::from_secs(30);
/// A watch that has not listed after so long does not hold up the start.
const LIST_MAX: Duration = Duration::from_secs(30);

/// What watches and passes share.
pub(crate) struct World {
    pub(crate) graph: Mutex<Graph>,
    pub(crate) served: Mutex<Vec<Served>>,
    pub(crate) queue: Queue<String>,
    kinds_changed: Notify,
}

struct Running {
    stop: CancellationToken,
    listed: watch::Receiver<bool>,
}

/// The watches themselves.
pub(crate) struct Watches {
    world: Arc<World>,
    client: Client,
    tasks: Tasks,
    running: HashMap<(String, String), Running>,
}

impl World {
    pub(crate) fn new(queue: Queue<String>) -> Arc<World> {
        Arc::new(World {
            graph: Mutex::default(),
            served: Mutex::default(),
            queue,
            kinds_changed: Notify::new(),
        })
    }

    fn look(&self, uids: Vec<Uid>) {
        for uid in uids {
            self.queue.add(uid.to_string(), Cause::Watch);
        }
    }
}

impl Watches {
    pub(crate) fn new(world: Arc<World>, client: Client, tasks: Tasks) -> Watches {
        Watches { world, client, tasks, running: HashMap::new() }
    }

    /// Follows what the server serves until told to stop. `ready` is called once, when the first lists are in.
    pub(crate) async fn run(mut self, ready: impl FnOnce() + Send) {
        let mut ready = Some(ready);
        loop {
            let complete = self.refresh().await;
            if complete && let Some(ready) = ready.take() {
                self.listed().await;
                ready();
            }
            let changed = self.world.kinds_changed.notified();
            if complete {
                changed.await;
            } else {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        }
    }

    /// Whether every group answered.
    async fn refresh(&mut self) -> bool {
        let found = match discovery::discover(&Rest::new(self.client.clone())).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = chain(&error), "the resources to collect garbage of are not known");
                return false;
            }
        };
        let complete = found.failed.is_empty();
        let wanted: HashMap<(String, String), Served> = found
            .resources
            .iter()
            .filter(|served| served.can(&["list", "watch", "delete"]) && served.plural != "events")
            .map(|served| ((served.group().to_owned(), served.plural.clone()), served.clone()))
            .collect();
        if complete {
            self.running.retain(|key, running| {
                let stays = wanted.contains_key(key);
                if !stays {
                    running.stop.cancel();
                }
                stays
            });
        }
        *self.world.served.lock() = found.resources;
        for (key, served) in wanted {
            if !self.running.contains_key(&key) {
                let running = self.watch(served);
                self.running.insert(key, running);
            }
        }
        complete
    }

    async fn listed(&mut self) {
        let all = self.running.values().map(|running| {
            let mut listed = running.listed.clone();
            async move {
                let waited = listed.wait_for(|listed| *listed).await.is_ok();
                debug_assert!(waited || listed.has_changed().is_err(), "a stopped watch lists no more");
            }
        });
        if tokio::time::timeout(LIST_MAX, futures::future::join_all(all)).await.is_err() {
            tracing::warn!("some resources could not be listed yet; garbage is collected without them");
        }
    }

    fn watch(&self, served: Served) -> Running {
        let stop = self.tasks.shutdown_token().child_token();
        let (listed, receiver) = watch::channel(false);
        let (world, client, token) = (Arc::clone(&self.world), self.client.clone(), stop.clone());
        self.tasks.spawn(Kind::Job, format!("garbage watch {}", served.plural), async move {
            let mut one = One { world, served, seen: HashSet::new(), listing: HashSet::new() };
            token.run_until_cancelled(one.run(client, listed)).await;
            one.end();
        });
        Running { stop, listed: receiver }
    }
}

/// One resource.
struct One {
    world: Arc<World>,
    served: Served,
    seen: HashSet<Uid>,
    listing: HashSet<Uid>,
}

impl One {
    async fn run(&mut self, client: Client, listed: watch::Sender<bool>) {
        let (group, version) =
            self.served.group_version.split_once('/').unwrap_or(("", &self.served.group_version));
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.served.group_version.clone(),
            kind: self.served.kind.clone(),
            plural: self.served.plural.clone(),
        };
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &resource);
        let stream = watcher::watcher(api, watcher::Config::default()).default_backoff();
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Init) => self.listing.clear(),
                Ok(Event::InitApply(object)) => {
                    if let Some(uid) = self.put(&object) {
                        self.listing.insert(uid);
                    }
                }
                Ok(Event::InitDone) => {
                    self.settle();
                    listed.send_replace(true);
                }
                Ok(Event::Apply(object)) => {
                    self.put(&object);
                    self.kinds_may_have_changed();
                }
                Ok(Event::Delete(object)) => {
                    if let Some(uid) = &object.metadata.uid {
                        self.drop(uid);
                    }
                    self.kinds_may_have_changed();
                }
                Err(error) => {
                    tracing::debug!(
                        resource = self.served.plural,
                        error = chain(&error),
                        "a metadata watch was interrupted"
                    );
                }
            }
        }
    }

    fn put(&mut self, object: &PartialObjectMeta<DynamicObject>) -> Option<Uid> {
        let meta = &object.metadata;
        let uid: Uid = meta.uid.as_deref()?.into();
        let place = Place {
            group_version: self.served.group_version.as_str().into(),
            plural: self.served.plural.as_str().into(),
            kind: self.served.kind.as_str().into(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        };
        self.seen.insert(Arc::clone(&uid));
        let look = self.world.graph.lock().upsert(Arc::clone(&uid), Node::new(place, meta));
        self.world.look(look);
        Some(uid)
    }

    fn drop(&mut self, uid: &str) {
        self.seen.remove(uid);
        let look = self.world.graph.lock().remove(uid);
        self.world.look(look);
    }

    /// What the new list does not show is gone.
    fn settle(&mut self) {
        let gone: Vec<Uid> = self.seen.difference(&self.listing).cloned().collect();
        for uid in gone {
            self.drop(&uid);
        }
        self.listing.clear();
    }

    fn end(&mut self) {
        for uid in std::mem::take(&mut self.seen) {
            self.drop(&uid);
        }
    }

    fn kinds_may_have_changed(&self) {
        if ["customresourcedefinitions", "apiservices"].contains(&self.served.plural.as_str()) {
            self.world.kinds_changed.notify_one();
        }
    }
}
