//! The pass around the plan: reads the watches, decides, binds, reports.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use muster_base::clock::{self, SharedClock};
use muster_base::error::chain;
use muster_base::task::{Kind, Tasks};
use muster_control::events::{Events, Note, Severity};
use muster_control::rest::{PatchKind, Rest, path};
use muster_control::{Informer, Informers, is_not_found};
use serde_json::json;

use crate::inbox::Inbox;
use crate::plan::Decision;
use crate::pod::Pod;
use crate::state::State;
use crate::view;

/// Time limit of one request.
const REQUEST_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Pods that name this scheduler are placed by it.
    pub name: String,
    /// Pods decided about between two looks at the news.
    pub batch_max: usize,
    /// Requests under way at once; no more pods are decided about meanwhile.
    pub requests_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config { name: "default-scheduler".into(), batch_max: 64, requests_max: 128 }
    }
}

/// Built, not yet running.
pub struct Scheduler {
    config: Config,
    rest: Rest,
    events: Events,
    clock: SharedClock,
    pods: Informer<view::Pod>,
    nodes: Informer<view::Node>,
    namespaces: Informer<view::Namespace>,
}

/// How a request ended.
enum Done {
    Bound,
    NotBound(Arc<Pod>),
    Told,
}

impl Scheduler {
    /// `client` carries the scheduler's own identity.
    pub fn build(config: Config, client: Client, informers: &Informers, clock: SharedClock) -> Scheduler {
        Scheduler {
            rest: Rest::new(client.clone()),
            events: Events::new(client, config.name.clone(), Arc::clone(&clock)),
            config,
            clock,
            pods: informers.of(),
            nodes: informers.of(),
            namespaces: informers.of(),
        }
    }

    /// Runs until `tasks` are told to stop; a binding under way is finished first.
    pub fn start(self, tasks: &Tasks) {
        let token = tasks.shutdown_token();
        tasks.spawn(Kind::Service, "scheduler", async move {
            let inbox = self.subscribe().await;
            let mut run = Run {
                state: State::new(self.config.name.clone()),
                requests: FuturesUnordered::new(),
                scheduler: Arc::new(self),
                inbox,
            };
            token.run_until_cancelled(run.run()).await;
            while run.requests.next().await.is_some() {}
        });
    }

    /// Everything must have been seen once before the first decision: an unknown pod takes room too.
    async fn subscribe(&self) -> Arc<Inbox> {
        self.nodes.ready().await;
        self.namespaces.ready().await;
        self.pods.ready().await;
        let inbox = Arc::new(Inbox::default());
        let (nodes, namespaces, pods) = (Arc::clone(&inbox), Arc::clone(&inbox), Arc::clone(&inbox));
        self.nodes.on_change(move |change| nodes.node(change));
        self.namespaces.on_change(move |change| namespaces.namespace(change));
        self.pods.on_change(move |change| pods.pod(change));
        inbox
    }

    async fn bind(&self, pod: Arc<Pod>, node: Arc<str>) -> Done {
        let body = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": &*pod.name, "namespace": &*pod.namespace, "uid": &*pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": &*node},
        });
        let path = path("v1", &pod.namespace, "pods", &format!("{}/binding", pod.name));
        let result = tokio::time::timeout(REQUEST_MAX, self.rest.create(&path, &body)).await;
        let error = match result {
            Ok(Ok(_)) => {
                let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                self.tell(&pod, Severity::Normal, "Scheduled", &message).await;
                return Done::Bound;
            }
            Ok(Err(error)) if is_not_found(&error) => return Done::NotBound(pod),
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer within {REQUEST_MAX:?}"),
        };
        tracing::info!(pod = &*pod.name, node = &*node, error, "a pod could not be bound and is tried again");
        Done::NotBound(pod)
    }

    /// Says in the pod's condition and in an event why it waits.
    async fn report(&self, pod: Arc<Pod>, message: String) -> Done {
        let now = self.clock.now();
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": message, "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
        let body = json!({"metadata": {"uid": &*pod.uid}, "status": {"conditions": [condition]}});
        let path = path("v1", &pod.namespace, "pods", &format!("{}/status", pod.name));
        let patched =
            tokio::time::timeout(REQUEST_MAX, self.rest.patch(&path, PatchKind::Strategic, &body)).await;
        let error = match patched {
            Ok(Ok(_)) => None,
            Ok(Err(error)) if is_not_found(&error) => return Done::Told,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some(format!("no answer within {REQUEST_MAX:?}")),
        };
        if let Some(error) = error {
            tracing::info!(pod = &*pod.name, error, "a pod's condition could not be written");
        }
        self.tell(&pod, Severity::Warning, "FailedScheduling", &message).await;
        Done::Told
    }

    async fn tell(&self, pod: &Pod, severity: Severity, reason: &str, message: &str) {
        let about = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(pod.namespace.to_string()),
            name: Some(pod.name.to_string()),
            uid: Some(pod.uid.to_string()),
            ..ObjectReference::default()
        };
        let told = self.events.tell(&about, Note { severity, reason, message });
        if tokio::time::timeout(REQUEST_MAX, told).await.is_err() {
            tracing::info!(reason, "an event could not be written in time");
        }
    }
}

struct Run {
    scheduler: Arc<Scheduler>,
    inbox: Arc<Inbox>,
    state: State,
    requests: FuturesUnordered<BoxFuture<'static, Done>>,
}

impl Run {
    async fn run(&mut self) {
        loop {
            self.read();
            if self.state.queue().has_ready() && self.requests.len() < self.scheduler.config.requests_max {
                self.decide();
            }
            self.wait().await;
        }
    }

    fn read(&mut self) {
        let now = self.scheduler.clock.now();
        let (pods, nodes, namespaces) = self.inbox.take();
        self.state.namespaces(namespaces, now);
        self.state.nodes(nodes, now);
        self.state.pods(pods, now);
        self.state.queue_mut().ripen(now);
    }

    fn decide(&mut self) {
        let now = self.scheduler.clock.now();
        for decision in self.state.decide(self.scheduler.config.batch_max, now) {
            let scheduler = Arc::clone(&self.scheduler);
            match decision {
                Decision::Place { pod, node } => {
                    self.requests.push(Box::pin(async move { scheduler.bind(pod, node).await }));
                }
                Decision::Hold { pod, refusal } => {
                    let message = refusal.to_string();
                    if pod.told.as_ref() != Some(&message) {
                        self.requests.push(Box::pin(async move { scheduler.report(pod, message).await }));
                    }
                }
            }
        }
    }

    async fn wait(&mut self) {
        let now = self.scheduler.clock.now();
        let more = self.state.queue().has_ready() && self.requests.len() < self.scheduler.config.requests_max;
        let pause = match self.state.queue().next_at() {
            _ if more => Duration::ZERO,
            Some(at) => clock::elapsed(now, at),
            None => Duration::from_secs(3600),
        };
        tokio::select! {
            () = self.inbox.news() => {}
            Some(done) = self.requests.next(), if !self.requests.is_empty() => self.done(done),
            () = tokio::time::sleep(pause) => {}
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Bound | Done::Told => {}
            Done::NotBound(pod) => self.state.not_bound(&pod.uid, self.scheduler.clock.now()),
        }
    }
}
