//! All pods of a node: who wants them (a watch of the API), what became of them (a list of the runtime every second), and
//! one worker for each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use muster_base::task::{Kind, Tasks};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

mod rotate;

use super::Context;
use super::worker::{Known, Mailbox, Memory, Worker};
use crate::runtime::{Container, Sandbox, Scope};

/// Cheap to clone; clones share their pods.
#[derive(Clone)]
pub struct Driver {
    context: Arc<Context>,
    tasks: Tasks,
    shutdown: CancellationToken,
    pods: Arc<Mutex<Pods>>,
}

#[derive(Default)]
struct Pods {
    mailboxes: HashMap<String, Arc<Mailbox>>,
    synced: bool,
}

/// What the runtime held of each pod at the last look.
type Seen = BTreeMap<String, (Vec<Sandbox>, Vec<Container>)>;

const ROTATE_EVERY_LOOKS: u64 = 10;
const LOOK_EVERY: Duration = Duration::from_secs(1);
const API_LIMIT: Duration = Duration::from_secs(10);

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

impl Driver {
    pub fn new(context: Arc<Context>, tasks: Tasks) -> Self {
        let shutdown = tasks.shutdown_token();
        Self { context, tasks, shutdown, pods: Arc::default() }
    }

    /// Starts watching; returns at once.
    pub fn start(&self) {
        let (watch, look) = (self.clone(), self.clone());
        self.tasks.spawn(Kind::Service, "pods of this node", async move { watch.watch().await });
        self.tasks.spawn(Kind::Service, "containers of this node", async move { look.look().await });
    }

    /// How many pods have a worker.
    pub fn count(&self) -> usize {
        self.pods.lock().mailboxes.len()
    }

    /// The pod of this name as last seen in the API.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let fits = |pod: &Arc<Pod>| {
            pod.metadata.namespace.as_deref() == Some(namespace) && pod.metadata.name.as_deref() == Some(name)
        };
        self.pods
            .lock()
            .mailboxes
            .values()
            .filter_map(|mailbox| mailbox.known.lock().pod().cloned())
            .find(fits)
    }

    async fn watch(&self) {
        let api: Api<Pod> = Api::all(self.context.client.clone());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={}", self.context.node.name));
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut relisted: Option<BTreeSet<String>> = None;
        while let Some(Some(event)) = self.shutdown.run_until_cancelled(events.next()).await {
            match event {
                Ok(watcher::Event::Init) => relisted = Some(BTreeSet::new()),
                Ok(watcher::Event::InitApply(pod)) => {
                    relisted.get_or_insert_default().insert(uid(&pod));
                    self.put(pod);
                }
                Ok(watcher::Event::InitDone) => {
                    self.learn_services().await;
                    self.suspect_missing(&relisted.take().unwrap_or_default());
                }
                Ok(watcher::Event::Apply(pod)) => self.put(pod),
                Ok(watcher::Event::Delete(pod)) => self.gone(&pod),
                Err(error) => tracing::debug!(%error, "the watch of pods was interrupted"),
            }
        }
    }

    fn put(&self, pod: Pod) {
        self.send(uid(&pod), Known::Pod(Arc::new(pod)));
    }

    /// The API itself has told that the object is gone.
    fn gone(&self, pod: &Pod) {
        let known = Known::Gone {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
        };
        let uid = uid(pod);
        if self.pods.lock().mailboxes.contains_key(&uid) {
            self.send(uid, known);
        }
    }

    /// Puts the news into the pod's letter box and rings; a pod without a worker gets one.
    fn send(&self, uid: String, known: Known) {
        let mut pods = self.pods.lock();
        if let Some(mailbox) = pods.mailboxes.get(&uid) {
            *mailbox.known.lock() = known;
            mailbox.bell.notify_one();
            return;
        }
        let mailbox = Arc::new(Mailbox { known: Mutex::new(known), bell: Notify::new() });
        pods.mailboxes.insert(uid.clone(), mailbox.clone());
        drop(pods);
        let worker = Worker {
            context: self.context.clone(),
            uid: uid.clone(),
            mailbox,
            shutdown: self.shutdown.clone(),
            memory: Memory::default(),
        };
        let pods = self.pods.clone();
        self.tasks.spawn(Kind::Request, format!("pod {uid}"), async move {
            worker.run().await;
            pods.lock().mailboxes.remove(&uid);
        });
    }

    /// After a new list: pods that are not in it any more may be gone. The API is asked for each by name before anything is
    /// done about it: an empty list must not empty the node.
    fn suspect_missing(&self, listed: &BTreeSet<String>) {
        let mut pods = self.pods.lock();
        pods.synced = true;
        let missing: Vec<_> = pods.mailboxes.iter().filter(|(uid, _)| !listed.contains(*uid)).collect();
        let missing: Vec<(String, Arc<Pod>)> = missing
            .into_iter()
            .filter_map(|(uid, mailbox)| Some((uid.clone(), mailbox.known.lock().pod()?.clone())))
            .collect();
        drop(pods);
        for (uid, pod) in missing {
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            self.confirm(uid, namespace, pod.metadata.name.clone().unwrap_or_default());
        }
    }

    /// Asks the API by name whether the pod is gone, and tells its worker if so.
    fn confirm(&self, uid: String, namespace: String, name: String) {
        let driver = self.clone();
        self.tasks.spawn(Kind::Request, format!("is pod {uid} gone"), async move {
            let api: Api<Pod> = Api::namespaced(driver.context.client.clone(), &namespace);
            let answer = tokio::time::timeout(API_LIMIT, api.get_opt(&name)).await;
            let own_node = |pod: &Pod| {
                pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == Some(&driver.context.node.name)
            };
            match answer {
                Ok(Ok(Some(pod))) if pod.metadata.uid.as_ref() == Some(&uid) && own_node(&pod) => {
                    driver.put(pod)
                }
                Ok(Ok(_)) => {
                    tracing::info!(
                        uid,
                        namespace,
                        pod = name,
                        "the API has no such pod: removing what is left of it"
                    );
                    driver.send(uid, Known::Gone { namespace, name });
                }
                Ok(Err(error)) => tracing::debug!(uid, %error, "cannot ask whether a pod is gone"),
                Err(_) => tracing::debug!(uid, "no answer whether a pod is gone"),
            }
        });
    }

    /// The sweep over the runtime: rings where something changed, and finds what nobody wants.
    async fn look(&self) {
        let mut seen: Option<Seen> = None;
        let mut looks = 0_u64;
        while self.shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let Ok(observed) = self.context.runtime.list(Scope::Node).await else { continue };
            let mut next = Seen::new();
            for sandbox in observed.sandboxes {
                next.entry(sandbox.pod_uid.clone()).or_default().0.push(sandbox);
            }
            for container in observed.containers {
                next.entry(container.pod_uid.clone()).or_default().1.push(container);
            }
            self.ring_changed(seen.as_ref(), &next);
            looks += 1;
            if looks.is_multiple_of(ROTATE_EVERY_LOOKS) {
                self.rotate_logs(&next).await;
            }
            if self.pods.lock().synced {
                let first = seen.is_none();
                self.find_orphans(&next, first);
                seen = Some(next);
            }
        }
    }

    fn ring_changed(&self, seen: Option<&Seen>, next: &Seen) {
        let Some(seen) = seen else { return };
        let uids: BTreeSet<&String> = seen.keys().chain(next.keys()).collect();
        let pods = self.pods.lock();
        for uid in uids.into_iter().filter(|uid| seen.get(*uid) != next.get(*uid)) {
            if let Some(mailbox) = pods.mailboxes.get(uid) {
                mailbox.bell.notify_one();
            }
        }
    }

    fn find_orphans(&self, seen: &Seen, first: bool) {
        let known = |uid: &str| self.pods.lock().mailboxes.contains_key(uid);
        let sandboxes = seen.values().filter_map(|(sandboxes, _)| sandboxes.first());
        // A sandbox without a pod uid is not ours to judge.
        for sandbox in sandboxes.filter(|sandbox| !sandbox.pod_uid.is_empty() && !known(&sandbox.pod_uid)) {
            self.confirm(sandbox.pod_uid.clone(), sandbox.pod_namespace.clone(), sandbox.pod_name.clone());
        }
        if first {
            for (uid, namespace, name) in self.directories().into_iter().filter(|(uid, ..)| !known(uid)) {
                self.confirm(uid, namespace, name);
            }
        }
    }

    /// Pod directories that a crash left behind.
    fn directories(&self) -> Vec<(String, String, String)> {
        let Ok(entries) = std::fs::read_dir(&self.context.node.pods_dir) else { return Vec::new() };
        let owner = |entry: std::fs::DirEntry| {
            let text = std::fs::read_to_string(entry.path().join("owner")).ok()?;
            let (namespace, name) = text.split_once('/')?;
            Some((entry.file_name().into_string().ok()?, namespace.to_owned(), name.to_owned()))
        };
        entries.flatten().filter_map(owner).collect()
    }

    /// Every container is told where the API is, by the variables in-cluster clients look for.
    async fn learn_services(&self) {
        let api: Api<Service> = Api::namespaced(self.context.client.clone(), "default");
        let Ok(Ok(Some(service))) = tokio::time::timeout(API_LIMIT, api.get_opt("kubernetes")).await else {
            return;
        };
        let spec = service.spec.unwrap_or_default();
        let port = spec.ports.iter().flatten().next().map(|port| port.port.to_string());
        let (Some(host), Some(port)) = (spec.cluster_ip, port) else { return };
        let pairs = [
            ("KUBERNETES_SERVICE_HOST", host),
            ("KUBERNETES_SERVICE_PORT", port.clone()),
            ("KUBERNETES_SERVICE_PORT_HTTPS", port),
        ];
        *self.context.services.lock() =
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    }
}
