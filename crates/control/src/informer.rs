//! One watch per kind and process, its objects in memory, everybody told of changes.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use futures::StreamExt as _;
use kube::api::ListParams;
use kube::core::ClusterResourceScope;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use muster_base::task::{Kind, Tasks};
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ObjectKey;

mod index;
mod names;

pub use index::Index;

/// Objects of a page, as in the lists a watch begins with.
const PAGE: u32 = 500;
/// Objects of a page where only names and revisions are asked for.
const PAGE_OF_NAMES: u32 = 2_000;

/// What a watched type must be able to do.
pub trait Watched:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

/// A part of the objects of a kind, in the API's own selector notation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Label selector; empty selects all.
    pub labels: String,
    /// Field selector; empty selects all.
    pub fields: String,
}

/// One change of one object.
#[derive(Debug)]
pub struct Change<K> {
    /// Which object.
    pub key: ObjectKey,
    /// As it was; `None` when it is new.
    pub old: Option<Arc<K>>,
    /// As it is; `None` when it is gone.
    pub new: Option<Arc<K>>,
}

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

/// An object as it was seen last.
struct SeenObject<K> {
    object: Arc<K>,
    /// The number of the last look for what was missed that listed it, or after whose beginning it was seen.
    listed: AtomicU64,
}

impl<K: Resource> SeenObject<K> {
    fn revision(&self) -> u64 {
        revision(&*self.object)
    }
}

struct Inner<K> {
    client: Client,
    api: Api<K>,
    objects: RwLock<HashMap<ObjectKey, SeenObject<K>, RandomState>>,
    handlers: RwLock<Vec<Handler<K>>>,
    ready: watch::Sender<bool>,
    /// Looks for what was missed that were begun.
    looks: AtomicU64,
    /// When the last of them began.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

/// The objects of one kind, kept current by one watch. Cheap to clone.
pub struct Informer<K> {
    inner: Arc<Inner<K>>,
    selection: Selection,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), selection: self.selection.clone() }
    }
}

impl<K: Watched> Informer<K> {
    fn start(client: Client, tasks: &Tasks, selection: Selection) -> Self {
        let inner = Arc::new(Inner {
            api: Api::all(client.clone()),
            client,
            objects: RwLock::default(),
            handlers: RwLock::default(),
            ready: watch::Sender::new(false),
            looks: AtomicU64::new(0),
            looked: tokio::sync::Mutex::default(),
        });
        let informer = Self { inner, selection };
        let task = informer.clone();
        let token = tasks.shutdown_token();
        tasks.spawn(Kind::Service, format!("watch {}", K::plural(&())), async move {
            token.run_until_cancelled(task.run()).await;
        });
        informer
    }

    /// The object of that key, as last seen.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.inner.objects.read().get(key).map(|seen| Arc::clone(&seen.object))
    }

    /// Every object, as last seen.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.inner.objects.read().values().map(|seen| Arc::clone(&seen.object)).collect()
    }

    /// Every object that `wanted` picks.
    pub fn filtered(&self, wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let objects = self.inner.objects.read();
        let wanted = objects.values().filter(|seen| wanted(&seen.object));
        wanted.map(|seen| Arc::clone(&seen.object)).collect()
    }

    /// Takes over what a request answered, so that what one wrote oneself is seen before the watch tells it, and also
    /// where there is no watch. What is older than what was seen changes nothing.
    pub fn saw(&self, object: K) {
        if self.is_behind(&ObjectKey::of(&object), revision(&object)) {
            self.put(object);
        }
    }

    /// The object of that key as the API has it at this moment; that is taken over, for the watch may be behind. An empty
    /// name names nothing.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn read(&self, key: &ObjectKey) -> Result<Option<Arc<K>>, kube::Error>
    where
        K: Resource<Scope = ClusterResourceScope>,
    {
        if key.name.is_empty() {
            return Ok(None);
        }
        match self.inner.api.get_opt(&key.name).await? {
            Some(object) => self.saw(object),
            None => self.remove(key),
        }
        Ok(self.get(key))
    }

    /// Finds objects by a word that `key` reads from them; kept current as the informer is.
    pub fn index(&self, key: impl Fn(&K) -> Option<String> + Send + Sync + 'static) -> Index<K> {
        Index::over(self, key)
    }

    /// Calls `handler` at every change, and now for every object already seen. It must not block.
    pub fn on_change(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut handlers = self.inner.handlers.write();
        for (key, seen) in &*self.inner.objects.read() {
            handler(&Change { key: key.clone(), old: None, new: Some(Arc::clone(&seen.object)) });
        }
        handlers.push(Box::new(handler));
    }

    /// Resolves when the first full list has been seen.
    pub async fn ready(&self) {
        let mut ready = self.inner.ready.subscribe();
        let seen = ready.wait_for(|ready| *ready).await.is_ok();
        assert!(seen, "the informer owns the sender of its own readiness");
    }

    /// Lists the objects anew and returns those whose state or end the watch has not shown `grace` later; that is
    /// taken over. Of several who ask within `grace` one lists, and for the others nothing is missed any more.
    ///
    /// # Errors
    /// Those of the list request.
    pub async fn missed(&self, grace: Duration) -> Result<Vec<ObjectKey>, kube::Error> {
        if grace.is_zero() {
            return self.look(grace).await;
        }
        let asked = Instant::now();
        let mut looked = self.inner.looked.lock().await;
        if looked.is_some_and(|began| asked <= began + grace) {
            return Ok(Vec::new());
        }
        let began = Instant::now();
        let missed = self.look(grace).await?;
        *looked = Some(began);
        Ok(missed)
    }

    async fn look(&self, grace: Duration) -> Result<Vec<ObjectKey>, kube::Error> {
        let number = self.inner.looks.fetch_add(1, Ordering::SeqCst) + 1;
        let behind = self.behind(number).await?;
        let gone = self.not_listed(number);
        if behind.is_empty() && gone.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(grace).await;
        let ended = gone.into_iter().filter(|(key, object)| self.is_as_seen(key, object)).map(|(key, _)| {
            self.remove(&key);
            key
        });
        let mut missed: Vec<ObjectKey> = ended.collect();
        let behind: HashSet<ObjectKey> = behind
            .into_iter()
            .filter(|(key, revision)| self.is_behind(key, *revision))
            .map(|(key, _)| key)
            .collect();
        if behind.is_empty() {
            return Ok(missed);
        }
        // As they are now: what is as old as the grace time could not be written upon without conflict.
        let mut params = Some(self.page(PAGE));
        while let Some(page) = params.take() {
            let list = self.inner.api.list(&page).await?;
            params = next(page, list.metadata.continue_);
            for object in list.items {
                let key = ObjectKey::of(&object);
                if behind.contains(&key) && self.is_behind(&key, revision(&object)) {
                    self.put(object);
                    missed.push(key);
                }
            }
        }
        Ok(missed)
    }

    /// Lists what there is by name and revision alone, page by page, for the objects of a large fleet are not to be in
    /// memory twice: what is seen is marked with the number of the look, what is not or in an older version is returned.
    async fn behind(&self, number: u64) -> Result<Vec<(ObjectKey, u64)>, kube::Error> {
        let (mut behind, mut params) = (Vec::new(), Some(self.page(PAGE_OF_NAMES)));
        while let Some(page) = params.take() {
            let list = names::list(&self.inner.client, &K::url_path(&(), None), &page).await?;
            params = next(page, list.metadata.continue_token);
            let objects = self.inner.objects.read();
            for item in list.items.into_iter().flatten() {
                let (key, revision) = (item.metadata.key, item.metadata.revision);
                match objects.get(&key) {
                    Some(seen) if revision <= seen.revision() => seen.listed.store(number, Ordering::Relaxed),
                    Some(seen) => {
                        seen.listed.store(number, Ordering::Relaxed);
                        behind.push((key, revision));
                    }
                    None => behind.push((key, revision)),
                }
            }
        }
        Ok(behind)
    }

    /// What was there before that look began and was not listed by it.
    fn not_listed(&self, number: u64) -> Vec<(ObjectKey, Arc<K>)> {
        let objects = self.inner.objects.read();
        let unlisted = objects.iter().filter(|(_, seen)| seen.listed.load(Ordering::Relaxed) < number);
        unlisted.map(|(key, seen)| (key.clone(), Arc::clone(&seen.object))).collect()
    }

    fn page(&self, limit: u32) -> ListParams {
        ListParams::default().labels(&self.selection.labels).fields(&self.selection.fields).limit(limit)
    }

    fn is_as_seen(&self, key: &ObjectKey, object: &Arc<K>) -> bool {
        self.get(key).is_some_and(|now| Arc::ptr_eq(&now, object))
    }

    fn is_behind(&self, key: &ObjectKey, fresh: u64) -> bool {
        self.inner.objects.read().get(key).is_none_or(|seen| seen.revision() < fresh)
    }

    async fn run(self) {
        let config = watcher::Config::default().labels(&self.selection.labels).fields(&self.selection.fields);
        let stream = watcher::watcher(self.inner.api.clone(), config).default_backoff();
        let mut stream = std::pin::pin!(stream);
        let mut listed: Option<HashMap<ObjectKey, Arc<K>>> = None;
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Init) => listed = Some(HashMap::new()),
                Ok(Event::InitApply(object)) => {
                    if let Some(listed) = &mut listed {
                        listed.insert(ObjectKey::of(&object), Arc::new(object));
                    }
                }
                Ok(Event::InitDone) => {
                    self.replace(listed.take().unwrap_or_default());
                    self.inner.ready.send_replace(true);
                }
                Ok(Event::Apply(object)) => self.saw(object),
                Ok(Event::Delete(object)) => self.remove(&ObjectKey::of(&object)),
                // How a server asks a watcher to list anew: its window of changes does not reach back that far.
                Err(watcher::Error::WatchError(status)) if status.code == 410 => {
                    tracing::info!(kind = %K::kind(&()), error = %status, "a watch expired and lists anew");
                }
                Err(error) => {
                    tracing::warn!(
                        kind = %K::kind(&()),
                        error = crate::explain(&error),
                        "a watch was interrupted and is taken up again"
                    );
                }
            }
        }
    }

    fn replace(&self, fresh: HashMap<ObjectKey, Arc<K>>) {
        let gone: Vec<ObjectKey> =
            self.inner.objects.read().keys().filter(|key| !fresh.contains_key(key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
        for (_, object) in fresh {
            if self.is_behind(&ObjectKey::of(&*object), revision(&*object)) {
                self.put(Arc::unwrap_or_clone(object));
            }
        }
    }

    fn put(&self, object: K) {
        let key = ObjectKey::of(&object);
        let new = Arc::new(object);
        let old = {
            let mut objects = self.inner.objects.write();
            // Read under the lock: a look that began before this one was seen finds it, a later one has to list it.
            let listed = AtomicU64::new(self.inner.looks.load(Ordering::SeqCst));
            objects.insert(key.clone(), SeenObject { object: Arc::clone(&new), listed })
        };
        self.tell(&Change { key, old: old.map(|seen| seen.object), new: Some(new) });
    }

    fn remove(&self, key: &ObjectKey) {
        let old = self.inner.objects.write().remove(key);
        if let Some(SeenObject { object, .. }) = old {
            self.tell(&Change { key: key.clone(), old: Some(object), new: None });
        }
    }

    fn tell(&self, change: &Change<K>) {
        for handler in &*self.inner.handlers.read() {
            handler(change);
        }
    }
}

/// The parameters of the page after one, unless that was the last.
fn next(page: ListParams, token: Option<String>) -> Option<ListParams> {
    let token = token.filter(|token| !token.is_empty())?;
    Some(page.continue_token(&token))
}

/// The resource version as a number (comparable since Kubernetes 1.35, KEP-5504).
fn revision<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Each slot holds the `Informer` of its type.
type Running = HashMap<(TypeId, Selection), Arc<dyn Any + Send + Sync>>;

/// The informers of a process or component: one per kind and selection.
#[derive(Clone)]
pub struct Informers {
    /// Reads and watches.
    reader: Client,
    /// What the one who holds this acts with.
    client: Client,
    tasks: Tasks,
    running: Arc<Mutex<Running>>,
}

impl Informers {
    /// No watch yet; each starts when first asked for and ends with `tasks`.
    pub fn new(client: Client, tasks: Tasks) -> Self {
        Self { reader: client.clone(), client, tasks, running: Arc::default() }
    }

    /// The same watches and objects for a component that acts with another `client`: a fleet is in memory once, however
    /// many components of a process look at it.
    #[must_use]
    pub fn shared_with(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    /// The client to act with.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// All objects of a kind, in all namespaces.
    pub fn of<K: Watched>(&self) -> Informer<K> {
        self.selected(Selection::default())
    }

    /// The selected objects of a kind, in all namespaces.
    pub fn selected<K: Watched>(&self, selection: Selection) -> Informer<K> {
        let mut running = self.running.lock();
        let slot = running
            .entry((TypeId::of::<K>(), selection.clone()))
            .or_insert_with(|| Arc::new(Informer::<K>::start(self.reader.clone(), &self.tasks, selection)));
        slot.downcast_ref::<Informer<K>>().expect("the slot is keyed by the type").clone()
    }
}
