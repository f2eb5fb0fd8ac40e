//! A container runtime in memory: no processes, no network, time from a [`Clock`]. For tests and simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::clock::SharedClock;
use parking_lot::Mutex;

use super::{
    Call, Container, ContainerState, ContainerStatus, ExecOutput, Image, ImageUser, Observed, Readiness,
    Result, Runtime, RuntimeError, RuntimeErrorKind, RuntimeStatus, Sandbox, SandboxState, Scope, Version,
    label, proto,
};

/// The fake. Cheap to clone; clones share their containers.
#[derive(Clone)]
pub struct Fake {
    clock: SharedClock,
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    next: u64,
    sandboxes: BTreeMap<String, Row<Sandbox>>,
    containers: BTreeMap<String, Held>,
    images: BTreeSet<String>,
    pullable: BTreeSet<String>,
    exits: BTreeMap<String, i32>,
    health: Health,
    exec_code: i32,
    network: u8,
    readiness: Network,
    calls: Vec<String>,
}

struct Row<T> {
    row: T,
    ip: String,
}

struct Held {
    sandbox: String,
    pod_uid: String,
    status: ContainerStatus,
}

/// How the fake answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Well,
    /// No call is ever answered in time, as with a stopped process.
    Hung,
    /// Nothing listens.
    Dead,
}

/// Whether the network of the node has been made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    Ready,
    Missing,
}

impl Fake {
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, world: Arc::default() }
    }

    /// Sandboxes get addresses of `10.244.NETWORK.0/24`, so that several fakes give out different ones.
    pub fn set_network(&self, network: u8) {
        self.world.lock().network = network;
    }

    /// Makes an image present, as after an import.
    pub fn add_image(&self, name: &str) {
        self.world.lock().images.insert(name.to_owned());
    }

    /// Makes an image known to the imagined registry.
    pub fn publish_image(&self, name: &str) {
        self.world.lock().pullable.insert(name.to_owned());
    }

    /// Containers of this name end at once with this code when started.
    pub fn exit_at_start(&self, container: &str, code: i32) {
        self.world.lock().exits.insert(container.to_owned(), code);
    }

    pub fn set_health(&self, health: Health) {
        self.world.lock().health = health;
    }

    /// Without a network no sandbox starts.
    pub fn set_readiness(&self, network: Network) {
        self.world.lock().readiness = network;
    }

    /// What every exec answers.
    pub fn set_exec_code(&self, code: i32) {
        self.world.lock().exec_code = code;
    }

    /// Ends a running container as its own process would.
    pub fn end_container(&self, name: &str, code: i32) {
        let now = self.clock.now();
        for held in self.world.lock().containers.values_mut() {
            if held.status.name == name && held.status.state == ContainerState::Running {
                end(&mut held.status, code, now);
            }
        }
    }

    /// Ends a sandbox as a reboot would: its containers are gone too.
    pub fn lose_sandboxes(&self) {
        let now = self.clock.now();
        let mut world = self.world.lock();
        for sandbox in world.sandboxes.values_mut() {
            sandbox.row.state = SandboxState::NotReady;
        }
        for held in world.containers.values_mut() {
            if held.status.state == ContainerState::Running {
                end(&mut held.status, 255, now);
            }
        }
    }

    /// The calls that changed something, in order.
    pub fn calls(&self) -> Vec<String> {
        self.world.lock().calls.clone()
    }

    fn answer<T>(
        &self,
        call: &'static str,
        work: impl FnOnce(&mut World, Timestamp) -> Result<T>,
    ) -> Result<T> {
        let mut world = self.world.lock();
        match world.health {
            Health::Well => work(&mut world, self.clock.now()),
            Health::Hung => Err(error(call, RuntimeErrorKind::TimedOut, "no answer within 5 s")),
            Health::Dead => Err(error(call, RuntimeErrorKind::Unreachable, "connection refused")),
        }
    }

    fn change(
        &self,
        call: &'static str,
        what: &str,
        work: impl FnOnce(&mut World, Timestamp) -> Result<()>,
    ) -> Result<()> {
        self.answer(call, |world, now| {
            world.calls.push(format!("{call} {what}"));
            work(world, now)
        })
    }
}

fn error(call: &'static str, kind: RuntimeErrorKind, message: &str) -> RuntimeError {
    RuntimeError { call, kind, message: message.to_owned() }
}

fn end(status: &mut ContainerStatus, code: i32, now: Timestamp) {
    status.state = ContainerState::Exited;
    status.exit_code = code;
    status.finished = Some(now);
    status.reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
}

fn found<'a>(world: &'a mut World, call: &'static str, id: &str) -> Result<&'a mut ContainerStatus> {
    let held = world.containers.get_mut(id).ok_or_else(|| error(call, RuntimeErrorKind::NotFound, id))?;
    Ok(&mut held.status)
}

/// One that was published has a digest there.
fn image(world: &World, name: &str) -> Image {
    Image {
        id: name.to_owned(),
        tags: vec![name.to_owned()],
        digests: world.pullable.contains(name).then(|| format!("{name}@sha256:1")).into_iter().collect(),
        bytes: 1 << 20,
        pinned: false,
        user: ImageUser::Unset,
    }
}

fn within(scope: &Scope, uid: &str) -> bool {
    match scope {
        Scope::Node => true,
        Scope::Pod(wanted) => wanted == uid,
    }
}

fn new_status(id: &str, config: proto::ContainerConfig, now: Timestamp) -> ContainerStatus {
    let metadata = config.metadata.unwrap_or_default();
    let image = config.image.unwrap_or_default().image;
    ContainerStatus {
        id: id.to_owned(),
        name: metadata.name,
        attempt: metadata.attempt,
        state: ContainerState::Created,
        created: now,
        started: None,
        finished: None,
        exit_code: 0,
        image_ref: image.clone(),
        image,
        reason: String::new(),
        message: String::new(),
        log_path: config.log_path,
        annotations: config.annotations.into_iter().collect(),
    }
}

impl Runtime for Fake {
    fn version(&self) -> Call<'_, Version> {
        let version = Version { name: "fake".to_owned(), version: "1".to_owned() };
        Box::pin(async move { self.answer("Version", |_, _| Ok(version)) })
    }

    fn status(&self) -> Call<'_, RuntimeStatus> {
        let ready = |ready| Readiness { ready, reason: String::new(), message: String::new() };
        Box::pin(async move {
            self.answer("Status", |world, _| {
                let network = ready(world.readiness == Network::Ready);
                Ok(RuntimeStatus { runtime: ready(true), network })
            })
        })
    }

    fn list(&self, scope: Scope) -> Call<'_, Observed> {
        Box::pin(async move {
            self.answer("List", |world, _| {
                let sandboxes = world.sandboxes.values().map(|held| held.row.clone());
                let containers = world.containers.values().map(|held| Container {
                    id: held.status.id.clone(),
                    sandbox: held.sandbox.clone(),
                    pod_uid: held.pod_uid.clone(),
                    name: held.status.name.clone(),
                    attempt: held.status.attempt,
                    state: held.status.state,
                    image: held.status.image_ref.clone(),
                });
                Ok(Observed {
                    sandboxes: sandboxes.filter(|row| within(&scope, &row.pod_uid)).collect(),
                    containers: containers.filter(|row| within(&scope, &row.pod_uid)).collect(),
                })
            })
        })
    }

    fn sandbox_ips<'a>(&'a self, id: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            self.answer("PodSandboxStatus", |world, _| {
                let sandbox = world.sandboxes.get(id);
                let sandbox =
                    sandbox.ok_or_else(|| error("PodSandboxStatus", RuntimeErrorKind::NotFound, id))?;
                Ok(vec![sandbox.ip.clone()])
            })
        })
    }

    fn container<'a>(&'a self, id: &'a str) -> Call<'a, ContainerStatus> {
        Box::pin(async move {
            self.answer("ContainerStatus", |world, _| found(world, "ContainerStatus", id).cloned())
        })
    }

    fn run_sandbox(&self, config: proto::PodSandboxConfig) -> Call<'_, String> {
        Box::pin(async move {
            self.answer("RunPodSandbox", |world, now| {
                if world.readiness == Network::Missing {
                    return Err(error(
                        "RunPodSandbox",
                        RuntimeErrorKind::Failed,
                        "cni plugin not initialized",
                    ));
                }
                let metadata = config.metadata.unwrap_or_default();
                world.next += 1;
                let id = format!("s{}", world.next);
                world.calls.push(format!("RunPodSandbox {} {}", metadata.name, metadata.attempt));
                let row = Sandbox {
                    id: id.clone(),
                    pod_uid: metadata.uid,
                    pod_namespace: metadata.namespace,
                    pod_name: metadata.name,
                    attempt: metadata.attempt,
                    state: SandboxState::Ready,
                    created: now,
                };
                let ip = format!("10.244.{}.{}", world.network, world.next % 255 + 1);
                world.sandboxes.insert(id.clone(), Row { row, ip });
                Ok(id)
            })
        })
    }

    fn stop_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.change("StopPodSandbox", id, |world, now| {
                if let Some(sandbox) = world.sandboxes.get_mut(id) {
                    sandbox.row.state = SandboxState::NotReady;
                }
                for held in world.containers.values_mut().filter(|held| held.sandbox == id) {
                    if held.status.state == ContainerState::Running {
                        end(&mut held.status, 137, now);
                    }
                }
                Ok(())
            })
        })
    }

    fn remove_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.change("RemovePodSandbox", id, |world, _| {
                world.sandboxes.remove(id);
                world.containers.retain(|_, held| held.sandbox != id);
                Ok(())
            })
        })
    }

    fn create_container<'a>(
        &'a self,
        sandbox: &'a str,
        config: proto::ContainerConfig,
        sandbox_config: proto::PodSandboxConfig,
    ) -> Call<'a, String> {
        Box::pin(async move {
            self.answer("CreateContainer", |world, now| {
                if !world.sandboxes.contains_key(sandbox) {
                    return Err(error("CreateContainer", RuntimeErrorKind::NotFound, sandbox));
                }
                world.next += 1;
                let id = format!("c{}", world.next);
                let pod_uid = config.labels.get(label::POD_UID).cloned().unwrap_or_default();
                let status = new_status(&id, config, now);
                let pod = sandbox_config.metadata.unwrap_or_default().name;
                world.calls.push(format!("CreateContainer {pod}/{} {}", status.name, status.attempt));
                world.containers.insert(id.clone(), Held { sandbox: sandbox.to_owned(), pod_uid, status });
                Ok(id)
            })
        })
    }

    fn start_container<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.change("StartContainer", id, |world, now| {
                let name = found(world, "StartContainer", id)?.name.clone();
                let exit = world.exits.get(&name).copied();
                let status = found(world, "StartContainer", id)?;
                status.state = ContainerState::Running;
                status.started = Some(now);
                if let Some(code) = exit {
                    end(status, code, now);
                }
                Ok(())
            })
        })
    }

    fn stop_container<'a>(&'a self, id: &'a str, grace: Duration) -> Call<'a, ()> {
        Box::pin(async move {
            self.change("StopContainer", &format!("{id} {}s", grace.as_secs()), |world, now| {
                let status = found(world, "StopContainer", id)?;
                if status.state == ContainerState::Running {
                    end(status, 143, now);
                }
                Ok(())
            })
        })
    }

    fn remove_container<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.change("RemoveContainer", id, |world, _| {
                world.containers.remove(id);
                Ok(())
            })
        })
    }

    fn exec<'a>(&'a self, id: &'a str, _command: &'a [String], _limit: Duration) -> Call<'a, ExecOutput> {
        Box::pin(async move {
            self.answer("ExecSync", |world, _| {
                found(world, "ExecSync", id)?;
                Ok(ExecOutput { stdout: Vec::new(), stderr: Vec::new(), exit_code: world.exec_code })
            })
        })
    }

    fn reopen_log<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.answer("ReopenContainerLog", |world, _| found(world, "ReopenContainerLog", id).map(|_| ()))
        })
    }

    fn image<'a>(&'a self, name: &'a str) -> Call<'a, Option<Image>> {
        Box::pin(async move {
            self.answer("ImageStatus", |world, _| Ok(world.images.contains(name).then(|| image(world, name))))
        })
    }

    fn images(&self) -> Call<'_, Vec<Image>> {
        Box::pin(async move {
            self.answer("ListImages", |world, _| {
                Ok(world.images.iter().map(|name| image(world, name)).collect())
            })
        })
    }

    fn remove_image<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.answer("RemoveImage", |world, _| {
                world.images.remove(id);
                Ok(())
            })
        })
    }

    fn pull_image<'a>(&'a self, name: &'a str, _login: Option<proto::AuthConfig>) -> Call<'a, String> {
        Box::pin(async move {
            self.answer("PullImage", |world, _| {
                if !world.pullable.contains(name) {
                    return Err(error("PullImage", RuntimeErrorKind::NotFound, name));
                }
                world.images.insert(name.to_owned());
                Ok(name.to_owned())
            })
        })
    }
}
