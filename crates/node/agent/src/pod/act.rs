//! Carrying out a plan. Every action may be repeated; a failure concerns one container and is remembered for the status.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use muster_base::backoff::Backoff;
use muster_base::clock::elapsed;
use muster_base::error::chain;

use super::events::{About, Happened};
use super::plan::{Action, Plan, Why};
use super::probe::{Handler, Target, ask};
use super::worker::{Failure, Known, Next, Worker, World};
use super::{container, sandbox};
use crate::volume;

mod start;
pub(super) use start::message_file;

const FAILURES: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(300));
/// What a pod that the API has already forgotten gets between TERM and KILL.
const GONE_GRACE: Duration = Duration::from_secs(1);
const API_LIMIT: Duration = Duration::from_secs(10);

/// A container to be ended.
struct Victim {
    id: String,
    name: String,
    grace: Duration,
    why: Why,
}

/// The key under which what goes wrong with the pod as a whole is remembered for each of its containers.
fn names(pod: &Pod) -> Vec<String> {
    let spec = pod.spec.clone().unwrap_or_default();
    spec.init_containers
        .into_iter()
        .flatten()
        .chain(spec.containers)
        .map(|container| container.name)
        .collect()
}

impl Worker {
    /// Does what was planned, in order, and says when to look again.
    pub(super) async fn act(&mut self, known: &Known, world: &World, plan: &Plan) -> Next {
        if !self.kill_all(known, plan).await {
            return Next::Now;
        }
        let mut new_sandbox: Option<String> = None;
        for action in &plan.actions {
            let done = match action {
                Action::Kill { .. } => Ok(()),
                Action::StopSandbox { id } => {
                    self.context.runtime.stop_sandbox(id).await.map_err(|error| error.to_string())
                }
                Action::RemoveSandbox { id } => {
                    self.context.runtime.remove_sandbox(id).await.map_err(|error| error.to_string())
                }
                Action::Remove { id } => {
                    self.context.runtime.remove_container(id).await.map_err(|error| error.to_string())
                }
                Action::StartSandbox { attempt } => match self.start_sandbox(known, *attempt).await {
                    Ok(id) => {
                        new_sandbox = id;
                        Ok(())
                    }
                    Err(failure) => Err(self.all_failed(known, failure.0, failure.1)),
                },
                Action::Start { name, attempt, crashes } => {
                    let sandbox = new_sandbox
                        .clone()
                        .or_else(|| world.ready_sandbox().map(|sandbox| sandbox.id.clone()));
                    self.start(known, sandbox.as_deref(), (name, *attempt, *crashes)).await;
                    Ok(())
                }
                Action::Forget => return self.forget(known).await,
            };
            if let Err(why) = done {
                tracing::debug!(pod = self.uid, why, "a step failed");
                return Next::At(self.context.clock.now() + SignedDuration::from_secs(1));
            }
        }
        Next::Now
    }

    pub(super) fn failed(&mut self, name: &str, reason: &'static str, message: String) {
        let count = self.memory.failures.get(name).map_or(0, |failure| failure.count) + 1;
        let wait = SignedDuration::try_from(FAILURES.base(count)).expect("five minutes fit");
        let until = self.context.clock.now() + wait;
        tracing::info!(pod = self.uid, container = name, reason, message, "container not started");
        self.memory.failures.insert(name.to_owned(), Failure { reason, message, count, until });
    }

    fn all_failed(&mut self, known: &Known, reason: &'static str, message: String) -> String {
        if let Some(pod) = known.pod() {
            self.context.events.tell(pod, About::Pod, Happened::failure(reason, &message, ""));
        }
        for name in known.pod().map(|pod| names(pod)).unwrap_or_default() {
            self.failed(&name, reason, message.clone());
        }
        message
    }

    fn pod_dir(&self) -> PathBuf {
        self.context.node.pods_dir.join(&self.uid)
    }

    fn victims(&self, known: &Known, plan: &Plan) -> Vec<Victim> {
        let grace = grace_of(known, self.context.clock.now());
        let victim = |action: &Action| match action {
            Action::Kill { id, name, why } => {
                let own = match why {
                    Why::Unhealthy => self.memory.probes.grace(id),
                    Why::ImageChanged | Why::PodEnds => None,
                };
                Some(Victim { id: id.clone(), name: name.clone(), grace: own.unwrap_or(grace), why: *why })
            }
            Action::StartSandbox { .. }
            | Action::StopSandbox { .. }
            | Action::RemoveSandbox { .. }
            | Action::Start { .. }
            | Action::Remove { .. }
            | Action::Forget => None,
        };
        plan.actions.iter().filter_map(victim).collect()
    }

    /// Ends the condemned, all at once. False if the pod was given less time meanwhile: plan again.
    async fn kill_all(&mut self, known: &Known, plan: &Plan) -> bool {
        let victims = self.victims(known, plan);
        if victims.is_empty() {
            return true;
        }
        let deadline = known.pod().and_then(|pod| pod.metadata.deletion_timestamp.clone());
        let finished = {
            let kills = join_all(victims.iter().map(|victim| self.kill(known, victim)));
            let mut kills = std::pin::pin!(kills);
            loop {
                tokio::select! {
                    _ = &mut kills => break true,
                    () = self.shutdown.cancelled() => break false,
                    () = self.mailbox.bell.notified() => {
                        let now_known = self.mailbox.known.lock().clone();
                        let new = now_known.pod().and_then(|pod| pod.metadata.deletion_timestamp.clone());
                        if now_known.pod().is_none() != known.pod().is_none() || new != deadline {
                            break false;
                        }
                    }
                }
            }
        };
        // How they ended is told before they are removed.
        if finished && let Ok(world) = self.observe().await {
            self.tell(known, &world, &Plan::default()).await;
        }
        finished
    }

    async fn kill(&self, known: &Known, victim: &Victim) {
        if let Some(pod) = known.pod() {
            let name = &victim.name;
            let message = match victim.why {
                Why::PodEnds => format!("Stopping container {name}"),
                Why::Unhealthy => format!("Container {name} failed liveness probe, will be restarted"),
                Why::ImageChanged => format!("Container {name} definition changed, will be restarted"),
            };
            self.context.events.tell(pod, About::Container(name), Happened::normal("Killing", message));
        }
        let began = self.context.clock.now();
        let limit = victim.grace.max(Duration::from_secs(1));
        if let Some((hook, ip)) = self.pre_stop(known, &victim.name) {
            let target = Target { container_id: &victim.id, pod_ip: &ip };
            if let Err(why) = ask(self.context.runtime.as_ref(), &hook, target, limit).await {
                tracing::info!(pod = self.uid, container = victim.name, why, "the preStop hook failed");
            }
        }
        let left = victim.grace.saturating_sub(elapsed(began, self.context.clock.now()));
        // As with the kubelet, a hook that used up the time still leaves two seconds to end; no time at all means none.
        let left = if victim.grace.is_zero() { left } else { left.max(Duration::from_secs(1)) };
        tracing::info!(
            pod = self.uid,
            container = victim.name,
            grace_s = left.as_secs(),
            "stopping a container"
        );
        if let Err(error) = self.context.runtime.stop_container(&victim.id, left).await {
            tracing::info!(pod = self.uid, container = victim.name, %error, "a container did not stop");
        }
    }

    fn pre_stop(&self, known: &Known, name: &str) -> Option<(Handler, String)> {
        let spec = known.pod()?.spec.as_ref()?;
        let owner = find(spec, name)?;
        let hook = owner.lifecycle.as_ref()?.pre_stop.as_ref()?;
        let ip = known.pod()?.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap_or_default();
        Some((Handler::of_hook(hook, owner), ip))
    }

    /// The end: volumes, logs, cgroup, and the object in the API if it is only waiting for us.
    async fn forget(&mut self, known: &Known) -> Next {
        let later = Next::At(self.context.clock.now() + SignedDuration::from_secs(1));
        let dir = self.pod_dir();
        let node = &self.context.node;
        let (namespace, name) = match known {
            Known::Pod(pod) => (
                pod.metadata.namespace.clone().unwrap_or_default(),
                pod.metadata.name.clone().unwrap_or_default(),
            ),
            Known::Gone { namespace, name } => (namespace.clone(), name.clone()),
        };
        if let Err(error) = volume::remove(&dir.join("volumes")).and_then(|()| volume::remove(&dir)) {
            tracing::warn!(pod = self.uid, error = chain(&error), "volumes not removed");
            return later;
        }
        let logs = sandbox::log_directory(node, &namespace, &name, &self.uid);
        if let Err(error) = remove_logs(&logs) {
            tracing::warn!(pod = self.uid, %error, "logs not removed");
        }
        if let Err(error) = node.cgroups.remove_pod(&self.uid) {
            tracing::debug!(pod = self.uid, error = chain(&error), "cgroup not removed yet");
            return later;
        }
        let Known::Pod(pod) = known else { return Next::Done };
        if delete(&self.context.client, pod).await { Next::Done } else { later }
    }
}

pub(super) fn find<'a>(spec: &'a PodSpec, name: &str) -> Option<&'a Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|container| container.name == name)
}

fn remove_logs(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Between TERM and KILL: until the deletion's deadline, or what the pod asks for.
fn grace_of(known: &Known, now: jiff::Timestamp) -> Duration {
    let Some(pod) = known.pod() else { return GONE_GRACE };
    if let Some(deadline) = &pod.metadata.deletion_timestamp {
        return elapsed(now, deadline.0);
    }
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// True when the API has no such pod any more.
async fn delete(client: &kube::Client, pod: &Pod) -> bool {
    let api: Api<Pod> =
        Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or("default"));
    let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
    let parameters = DeleteParams::default().grace_period(0).preconditions(preconditions);
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    match tokio::time::timeout(API_LIMIT, api.delete(name, &parameters)).await {
        Ok(Ok(_)) => true,
        // Another pod of this name has the place by now: ours is gone.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 || status.code == 409 => true,
        Ok(Err(error)) => {
            tracing::debug!(pod = name, %error, "the pod was not deleted in the API");
            false
        }
        Err(_) => false,
    }
}
