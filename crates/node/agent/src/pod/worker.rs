//! The worker of one pod: passes, one at a time, until nothing is left of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use muster_base::clock::elapsed;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::events::{About, Happened};
use super::objects::Objects;
use super::plan::{self, Actual, ContainerView, Desired, Plan, SandboxView};
use super::probe::{Answer, Kind, Probes, Question, Target, ask};
use super::status::{self, View};
use super::{Context, act};
use crate::runtime::{
    ContainerState, ContainerStatus, Result as RuntimeResult, Sandbox, SandboxState, Scope, label,
};
use crate::volume::{Places, Tokens};

/// What the API says about a pod.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Pod(Arc<Pod>),
    /// The API has confirmed that it has no such pod.
    Gone {
        namespace: String,
        name: String,
    },
}

impl Known {
    pub(super) fn pod(&self) -> Option<&Arc<Pod>> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::Gone { .. } => None,
        }
    }
}

/// The worker's letter box: the latest word of the API, and a bell.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) known: Mutex<Known>,
    pub(super) bell: Notify,
}

/// Why a container does not start, and until when it is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) count: u32,
    pub(super) until: Timestamp,
}

/// What the runtime holds of the pod, in full.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) sandboxes: Vec<Sandbox>,
    /// With the sandbox each belongs to.
    pub(super) containers: Vec<(String, ContainerStatus)>,
    pub(super) ips: Vec<String>,
}

impl World {
    pub(super) fn ready_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes
            .iter()
            .filter(|sandbox| sandbox.state == SandboxState::Ready)
            .max_by_key(|sandbox| sandbox.attempt)
    }
}

/// Memory of what cannot be read back; losing it costs a repetition, never correctness.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) probes: Probes,
    pub(super) failures: BTreeMap<String, Failure>,
    pub(super) tokens: Tokens,
    pub(super) objects: Option<(Timestamp, Objects)>,
    pub(super) places: Places,
    pub(super) refresh: Option<Timestamp>,
    ips: Option<(String, Vec<String>)>,
    written: Option<Written>,
}

/// The status written last, and the version of the object it made.
struct Written {
    status: PodStatus,
    version: u64,
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    At(Timestamp),
    WhenTold,
    /// Nothing is left: the worker ends.
    Done,
}

pub(super) struct Worker {
    pub(super) context: Arc<Context>,
    pub(super) uid: String,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) shutdown: CancellationToken,
    pub(super) memory: Memory,
}

type Asked = FuturesUnordered<BoxFuture<'static, (Question, Result<(), String>)>>;

/// How long a pass that failed as a whole waits: the runtime or the API is away.
const RETRY: SignedDuration = SignedDuration::from_secs(1);

impl Worker {
    /// Runs until the pod is gone or the agent shuts down.
    pub(super) async fn run(mut self) {
        let mut asked: Asked = FuturesUnordered::new();
        loop {
            let next = self.pass().await;
            if next == Next::Done || self.shutdown.is_cancelled() {
                return;
            }
            self.start_asking(&mut asked);
            if next == Next::Now {
                continue;
            }
            let wait = self.wait(next);
            let shutdown = self.shutdown.clone();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.mailbox.bell.notified() => {}
                Some((question, answer)) = asked.next() => self.hear(&question, answer),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn wait(&self, next: Next) -> Duration {
        let now = self.context.clock.now();
        let planned = match next {
            Next::At(at) => Some(at),
            Next::Now | Next::WhenTold | Next::Done => None,
        };
        let due = [planned, self.memory.probes.next(), self.memory.refresh].into_iter().flatten().min();
        due.map_or(Duration::from_secs(3600), |due| elapsed(now, due))
    }

    fn pod_containers(&self) -> Vec<Container> {
        let known = self.mailbox.known.lock();
        let spec = known.pod().and_then(|pod| pod.spec.clone());
        spec.map(|spec| {
            spec.containers.into_iter().chain(spec.init_containers.into_iter().flatten()).collect()
        })
        .unwrap_or_default()
    }

    fn start_asking(&mut self, asked: &mut Asked) {
        let now = self.context.clock.now();
        if self.memory.probes.next().is_none_or(|due| now < due) {
            return;
        }
        let ip = self.memory.ips.as_ref().and_then(|(_, ips)| ips.first().cloned());
        let ip = ip.unwrap_or_else(|| self.context.node.ip.clone());
        for question in self.memory.probes.take_due(&self.pod_containers(), now) {
            let (runtime, pod_ip) = (self.context.runtime.clone(), ip.clone());
            asked.push(Box::pin(async move {
                let target = Target { container_id: &question.container_id, pod_ip: &pod_ip };
                let answer = ask(runtime.as_ref(), &question.handler, target, question.limit).await;
                (question, answer)
            }));
        }
    }

    fn hear(&mut self, question: &Question, answer: Result<(), String>) {
        if let Err(why) = &answer {
            tracing::debug!(pod = self.uid, container = question.container, kind = ?question.kind, why, "probe failed");
            self.say(
                &question.container,
                Happened::warning("Unhealthy", format!("{:?} probe failed: {why}", question.kind)),
            );
        }
        let good = if answer.is_ok() { Answer::Good } else { Answer::Bad };
        let now = self.context.clock.now();
        if self.memory.probes.record(&question.container_id, question.kind, good, now)
            && question.kind != Kind::Readiness
        {
            tracing::info!(pod = self.uid, container = question.container, kind = ?question.kind, answer = ?good, "probe settled");
        }
    }

    fn say(&self, container: &str, what: Happened) {
        if let Some(pod) = self.mailbox.known.lock().pod() {
            self.context.events.tell(pod, About::Container(container), what);
        }
    }

    fn tell_back_offs(&self, pod: &Pod, plan: &Plan) {
        let [name, namespace] =
            [&pod.metadata.name, &pod.metadata.namespace].map(|text| text.as_deref().unwrap_or_default());
        for container in plan.backing_off.keys() {
            let uid = &self.uid;
            let text =
                format!("Back-off restarting failed container {container} in pod {name}_{namespace}({uid})");
            self.say(container, Happened::warning("BackOff", text));
        }
    }

    /// One round: observe, plan, act, tell.
    pub(super) async fn pass(&mut self) -> Next {
        let known = self.mailbox.known.lock().clone();
        let world = match self.observe().await {
            Ok(world) => world,
            Err(error) => {
                tracing::debug!(pod = self.uid, %error, "the runtime cannot be asked");
                return Next::At(self.context.clock.now() + RETRY);
            }
        };
        self.follow_probes(&world);
        let plan = self.plan(&known, &world);
        if plan.actions.is_empty() {
            self.refresh_volumes(&known, &world).await;
            self.tell(&known, &world, &plan).await;
            return self.when(&plan);
        }
        let outcome = self.act(&known, &world, &plan).await;
        if outcome == Next::Done {
            return Next::Done;
        }
        if let Ok(world) = self.observe().await {
            self.follow_probes(&world);
            let after = self.plan(&known, &world);
            self.tell(&known, &world, &after).await;
        }
        outcome
    }

    fn plan(&self, known: &Known, world: &World) -> Plan {
        let now = self.context.clock.now();
        let held = self.memory.failures.iter().map(|(name, failure)| (name.clone(), failure.until)).collect();
        let desired = known.pod().map_or_else(Desired::forgotten, |pod| Desired::of_pod(pod, &held));
        plan::plan(&desired, &self.actual(world), now)
    }

    fn when(&self, plan: &Plan) -> Next {
        match plan.look_again {
            Some(at) => Next::At(at),
            None => Next::WhenTold,
        }
    }

    /// Reads everything about this pod from the runtime.
    pub(super) async fn observe(&mut self) -> RuntimeResult<World> {
        let runtime = self.context.runtime.clone();
        let observed = runtime.list(Scope::Pod(self.uid.clone())).await?;
        let mut containers = Vec::new();
        for row in observed.containers {
            match runtime.container(&row.id).await {
                Ok(status) => containers.push((row.sandbox, self.with_last_words(status))),
                Err(error) if error.kind == crate::runtime::RuntimeErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut world = World { sandboxes: observed.sandboxes, containers, ips: Vec::new() };
        if let Some(sandbox) = world.ready_sandbox().map(|sandbox| sandbox.id.clone()) {
            world.ips = self.ips(&sandbox).await?;
        }
        Ok(world)
    }

    /// What the container left in its message file, at most 4 KiB as with the kubelet.
    fn with_last_words(&self, mut status: ContainerStatus) -> ContainerStatus {
        if status.state == ContainerState::Exited && status.message.is_empty() {
            let dir = self.context.node.pods_dir.join(&self.uid);
            let bytes =
                std::fs::read(act::message_file(&dir, &status.name, status.attempt)).unwrap_or_default();
            status.message = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
        }
        status
    }

    /// The addresses of a sandbox never change: asked once.
    pub(super) async fn ips(&mut self, sandbox: &str) -> RuntimeResult<Vec<String>> {
        if let Some((id, ips)) = &self.memory.ips
            && id == sandbox
        {
            return Ok(ips.clone());
        }
        let mut ips = self.context.runtime.sandbox_ips(sandbox).await?;
        if ips.is_empty() {
            ips.push(self.context.node.ip.clone());
        }
        self.memory.ips = Some((sandbox.to_owned(), ips.clone()));
        Ok(ips)
    }

    fn follow_probes(&mut self, world: &World) {
        let running = world.containers.iter().filter(|(_, status)| status.state == ContainerState::Running);
        let running: Vec<_> = running
            .map(|(_, status)| {
                (status.name.clone(), status.id.clone(), status.started.unwrap_or(status.created))
            })
            .collect();
        let containers = self.pod_containers();
        self.memory.probes.follow(&containers, &running);
    }

    fn actual(&self, world: &World) -> Actual {
        let sandbox = |s: &Sandbox| SandboxView { id: s.id.clone(), attempt: s.attempt, state: s.state };
        let container = |(sandbox, status): &(String, ContainerStatus)| ContainerView {
            id: status.id.clone(),
            name: status.name.clone(),
            sandbox: sandbox.clone(),
            attempt: status.attempt,
            state: status.state,
            exit_code: status.exit_code,
            started: status.started,
            finished: status.finished,
            image: status.annotations.get(label::IMAGE).cloned().unwrap_or_else(|| status.image.clone()),
            crashes: status.annotations.get(label::CRASHES).and_then(|text| text.parse().ok()).unwrap_or(0),
            verdict: self.memory.probes.verdict(&status.id),
        };
        Actual {
            sandboxes: world.sandboxes.iter().map(sandbox).collect(),
            containers: world.containers.iter().map(container).collect(),
        }
    }

    /// Writes the status if it differs from what was written or read last.
    pub(super) async fn tell(&mut self, known: &Known, world: &World, plan: &Plan) {
        let Known::Pod(pod) = known else { return };
        let view = View {
            pod,
            written: self.memory.written.as_ref().map(|written| &written.status),
            world,
            probes: &self.memory.probes,
            failures: &self.memory.failures,
            backing_off: &plan.backing_off,
            node: &self.context.node,
            now: self.context.clock.now(),
        };
        let status = status::of(&view);
        let last = self.memory.written.as_ref();
        let same = last.map(|written| &written.status).or(pod.status.as_ref()) == Some(&status);
        let echoed = last.is_some_and(|written| written.version <= status::version(pod));
        if same && !(echoed && status::is_overruled(pod, &status)) {
            return;
        }
        match status::write(&self.context.client, pod, &status).await {
            Ok(version) => {
                self.memory.written = Some(Written { status, version });
                self.tell_back_offs(pod, plan);
            }
            Err(error) => {
                tracing::debug!(
                    pod = self.uid,
                    error = muster_base::error::chain(&error),
                    "status not written"
                );
                self.memory.refresh = Some(self.context.clock.now() + RETRY);
            }
        }
    }
}
