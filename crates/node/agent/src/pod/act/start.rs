//! Starting: the sandbox, then each container with its image, volumes, environment and hooks.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Secret};
use kube::Api;
use muster_base::clock::elapsed;
use muster_base::error::chain;

use super::super::Context;
use super::super::events::{About, Happened};
use super::super::field::Facts;
use super::super::objects::{FetchError, Objects};
use super::super::probe::{Handler, Target, ask};
use super::super::worker::{Known, Worker, World};
use super::container::Recipe;
use super::{container, find, sandbox};
use crate::runtime::{Image, proto};
use crate::volume::{self, Places, Sources, Tokens};

/// A reason in one word, and a sentence.
pub(super) type Because = (&'static str, String);

/// How old prefetched objects may be: younger than any change a person could expect to see.
const FRESH: Duration = Duration::from_secs(2);
/// How often volumes made from API objects are brought up to date.
const REFRESH: SignedDuration = SignedDuration::from_secs(60);

impl Worker {
    /// Makes the pod's directories and its sandbox. Nothing to do for a pod the API does not know.
    pub(super) async fn start_sandbox(
        &mut self,
        known: &Known,
        attempt: u32,
    ) -> Result<Option<String>, Because> {
        let Known::Pod(pod) = known else { return Ok(None) };
        let Some(spec) = &pod.spec else { return Ok(None) };
        let context = self.context.clone();
        let config = sandbox::config(pod, spec, &context.node, attempt);
        let made = fs::create_dir_all(&config.log_directory).and_then(|()| self.own_directory(pod));
        made.map_err(|error| {
            ("CreatePodSandboxError", format!("cannot make the pod's directories: {error}"))
        })?;
        let _slot = context
            .starting
            .acquire()
            .await
            .map_err(|_| ("ShuttingDown", "the agent is ending".to_owned()))?;
        // What the containers will need from the API is fetched while the sandbox starts.
        let (started, objects) = futures::join!(
            context.runtime.run_sandbox(config),
            prefetch(&context, pod, &mut self.memory.tokens)
        );
        self.memory.objects = objects.ok().map(|objects| (context.clock.now(), objects));
        started.map(Some).map_err(|error| ("CreatePodSandboxError", error.to_string()))
    }

    /// The pod's directory names its owner, so that what a crash left behind can be matched with the API.
    fn own_directory(&self, pod: &Pod) -> std::io::Result<()> {
        let dir = self.pod_dir();
        fs::create_dir_all(dir.join("volumes"))?;
        let owner =
            [pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref()].map(Option::unwrap_or_default);
        fs::write(dir.join("owner"), owner.join("/"))
    }

    /// Starts one container; what goes wrong is remembered under its name.
    pub(super) async fn start(&mut self, known: &Known, sandbox_id: Option<&str>, which: (&str, u32, u32)) {
        let (Known::Pod(pod), Some(sandbox_id)) = (known, sandbox_id) else { return };
        let pod = pod.clone();
        match self.try_start(&pod, sandbox_id, which).await {
            Ok(()) => {
                self.memory.failures.remove(which.0);
            }
            Err((reason, message)) => {
                let image = pod.spec.as_ref().and_then(|spec| find(spec, which.0)?.image.as_deref());
                let what = Happened::failure(reason, &message, image.unwrap_or_default());
                self.context.events.tell(&pod, About::Container(which.0), what);
                self.failed(which.0, reason, message);
            }
        }
    }

    async fn try_start(
        &mut self,
        pod: &Arc<Pod>,
        sandbox_id: &str,
        (name, attempt, crashes): (&str, u32, u32),
    ) -> Result<(), Because> {
        let context = self.context.clone();
        let spec =
            pod.spec.as_ref().ok_or(("CreateContainerConfigError", "the pod has no spec".to_owned()))?;
        let wanted = find(spec, name)
            .ok_or(("CreateContainerConfigError", format!("the pod has no container {name}")))?;
        let ips = self.ips(sandbox_id).await.map_err(|error| ("CreateContainerError", error.to_string()))?;
        let configuration = |error: &dyn std::error::Error| ("CreateContainerConfigError", chain(error));
        let image = self.image(pod, spec, wanted).await?;
        let objects = match self.fresh_objects() {
            Some(objects) => objects,
            None => {
                Objects::fetch_for_start(&context.client, pod).await.map_err(|error| configuration(&error))?
            }
        };
        let facts = facts(pod, &ips, &context.node);
        self.prepare_volumes(facts, &objects).await?;
        let files = self.files(spec, pod, &ips, name, attempt);
        let (hosts_file, message_file) = files.map_err(|error| {
            ("CreateContainerError", format!("cannot write the container's files: {error}"))
        })?;
        let mut services = objects.services.clone();
        services.extend(context.services.lock().clone());
        let recipe = Recipe {
            spec,
            container: wanted,
            facts,
            objects: &objects,
            services: &services,
            places: &self.memory.places,
            image: &image,
            attempt,
            crashes,
            hosts_file,
            message_file,
        };
        let config = container::config(&recipe).map_err(|error| configuration(&error))?;
        let sandbox_config = sandbox::config(pod, spec, &context.node, 0);
        let id = {
            let _slot = context
                .starting
                .acquire()
                .await
                .map_err(|_| ("ShuttingDown", "the agent is ending".to_owned()))?;
            let made = context.runtime.create_container(sandbox_id, config, sandbox_config).await;
            let id = made.map_err(|error| ("CreateContainerError", error.message))?;
            let tell = |what| context.events.tell(pod, About::Container(name), what);
            tell(Happened::normal("Created", "Container created"));
            let started = context.runtime.start_container(&id).await;
            started.map_err(|error| ("RunContainerError", error.message))?;
            tell(Happened::normal("Started", "Container started"));
            id
        };
        self.post_start(wanted, &id, ips.first().map_or("", String::as_str)).await
    }

    /// Those fetched a moment ago, for this very start.
    fn fresh_objects(&self) -> Option<Objects> {
        let (fetched, objects) = self.memory.objects.as_ref()?;
        (elapsed(*fetched, self.context.clock.now()) < FRESH).then(|| objects.clone())
    }

    /// A failed hook ends its container; the restart policy does the rest.
    async fn post_start(&self, wanted: &Container, id: &str, pod_ip: &str) -> Result<(), Because> {
        let Some(hook) = wanted.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref()) else {
            return Ok(());
        };
        let target = Target { container_id: id, pod_ip };
        let handler = Handler::of_hook(hook, wanted);
        let Err(why) = ask(self.context.runtime.as_ref(), &handler, target, Duration::from_secs(60)).await
        else {
            return Ok(());
        };
        let stopped = self.context.runtime.stop_container(id, Duration::from_secs(2)).await;
        stopped.map_err(|error| ("PostStartHookError", error.to_string()))?;
        Err(("PostStartHookError", why))
    }

    async fn prepare_volumes(&mut self, facts: Facts<'_>, objects: &Objects) -> Result<(), Because> {
        let context = self.context.clone();
        let sources = Sources { client: &context.client, clock: &context.clock, facts, objects };
        let dir = self.pod_dir().join("volumes");
        let places: Places = volume::prepare(&sources, &mut self.memory.tokens, &dir)
            .await
            .map_err(|error| ("CreateContainerConfigError", chain(&error)))?;
        let fluid = facts.pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref()).into_iter().flatten().any(
            |volume| {
                volume.config_map.is_some()
                    || volume.secret.is_some()
                    || volume.projected.is_some()
                    || volume.downward_api.is_some()
            },
        );
        self.memory.refresh = fluid.then(|| context.clock.now() + REFRESH);
        self.memory.places = places;
        Ok(())
    }

    /// Brings volumes up to date with the API, once a minute.
    pub(in crate::pod) async fn refresh_volumes(&mut self, known: &Known, world: &World) {
        let now = self.context.clock.now();
        let Known::Pod(pod) = known else { return };
        if self.memory.refresh.is_some_and(|due| now < due) || world.ready_sandbox().is_none() {
            return;
        }
        if self.memory.refresh.is_none() && !self.memory.places.is_empty() {
            return;
        }
        let pod = pod.clone();
        let context = self.context.clone();
        let ips = world.ips.clone();
        self.memory.refresh = Some(now + REFRESH);
        match Objects::fetch(&context.client, &pod).await {
            Ok(objects) => {
                if let Err((_, why)) = self.prepare_volumes(facts(&pod, &ips, &context.node), &objects).await
                {
                    tracing::info!(pod = self.uid, why, "volumes not brought up to date");
                }
            }
            Err(error) => {
                tracing::info!(pod = self.uid, error = chain(&error), "volumes not brought up to date")
            }
        }
    }

    async fn image(&self, pod: &Pod, spec: &PodSpec, wanted: &Container) -> Result<Image, Because> {
        let name = wanted.image.clone().unwrap_or_default();
        let runtime = &self.context.runtime;
        let failed = |error: crate::runtime::RuntimeError| {
            let repeated = self.memory.failures.get(&wanted.name).is_some_and(|failure| failure.count > 0);
            (if repeated { "ImagePullBackOff" } else { "ErrImagePull" }, error.message)
        };
        let tell = |what| self.context.events.tell(pod, About::Container(&wanted.name), what);
        let policy = wanted.image_pull_policy.as_deref();
        if policy != Some("Always")
            && let Some(image) = runtime.image(&name).await.map_err(failed)?
        {
            let text =
                format!("Container image {name:?} already present on machine and can be accessed by the pod");
            tell(Happened::normal("Pulled", text));
            return Ok(image);
        }
        if policy == Some("Never") {
            let message = format!("Container image {name:?} is not present with pull policy of Never");
            return Err(("ErrImageNeverPull", message));
        }
        let login = self.login(pod, spec, &name).await;
        tell(Happened::normal("Pulling", format!("Pulling image {name:?}")));
        runtime.pull_image(&name, login).await.map_err(failed)?;
        tell(Happened::normal("Pulled", format!("Successfully pulled image {name:?}")));
        let image = runtime.image(&name).await.map_err(failed)?;
        image.ok_or_else(|| ("ErrImagePull", format!("the image {name:?} was pulled and is not there")))
    }

    /// The first pull secret that knows the registry.
    async fn login(&self, pod: &Pod, spec: &PodSpec, image: &str) -> Option<proto::AuthConfig> {
        let api: Api<Secret> =
            Api::namespaced(self.context.client.clone(), pod.metadata.namespace.as_deref()?);
        for reference in spec.image_pull_secrets.iter().flatten() {
            let found = tokio::time::timeout(super::API_LIMIT, api.get_opt(&reference.name)).await;
            let Ok(Ok(Some(secret))) = found else {
                tracing::info!(pod = self.uid, secret = reference.name, "pull secret not found");
                continue;
            };
            if let Some(login) = login_for(&secret, image) {
                return Some(login);
            }
        }
        None
    }

    /// `/etc/hosts` of the pod, and the file the container may leave its last words in.
    fn files(
        &self,
        spec: &PodSpec,
        pod: &Pod,
        ips: &[String],
        name: &str,
        attempt: u32,
    ) -> std::io::Result<(Option<PathBuf>, PathBuf)> {
        use std::os::unix::fs::PermissionsExt;
        let dir = self.pod_dir();
        let message = message_file(&dir, name, attempt);
        message.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&message, b"")?;
        // Any user of the container may write it.
        fs::set_permissions(&message, fs::Permissions::from_mode(0o666))?;
        let log_dir = sandbox::log_directory(
            &self.context.node,
            pod.metadata.namespace.as_deref().unwrap_or_default(),
            pod.metadata.name.as_deref().unwrap_or_default(),
            &self.uid,
        );
        fs::create_dir_all(log_dir.join(name))?;
        if sandbox::is_true(spec.host_network) {
            return Ok((None, message));
        }
        let hosts = dir.join("etc-hosts");
        fs::write(&hosts, hosts_text(spec, pod, ips))?;
        Ok((Some(hosts), message))
    }
}

/// What goes wrong here goes wrong again, and is told, when it is needed.
async fn prefetch(context: &Context, pod: &Pod, tokens: &mut Tokens) -> Result<Objects, FetchError> {
    let none = Objects::default();
    let facts = facts(pod, &[], &context.node);
    let sources = Sources { client: &context.client, clock: &context.clock, facts, objects: &none };
    let (objects, ()) = futures::join!(
        Objects::fetch_for_start(&context.client, pod),
        volume::fetch_tokens(&sources, tokens)
    );
    objects
}

fn facts<'a>(pod: &'a Pod, pod_ips: &'a [String], node: &'a super::super::Node) -> Facts<'a> {
    Facts {
        pod,
        pod_ips,
        host_ip: &node.ip,
        node_cpu_milli: node.cpu_milli,
        node_memory_bytes: node.memory_bytes,
    }
}

pub(in crate::pod) fn message_file(pod_dir: &Path, container: &str, attempt: u32) -> PathBuf {
    pod_dir.join("containers").join(container).join(attempt.to_string())
}

fn hosts_text(spec: &PodSpec, pod: &Pod, ips: &[String]) -> String {
    let name = spec.hostname.as_ref().or(pod.metadata.name.as_ref()).cloned().unwrap_or_default();
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for ip in ips {
        text += &format!("{ip}\t{name}\n");
    }
    for alias in spec.host_aliases.iter().flatten() {
        text += &format!(
            "{}\t{}\n",
            alias.ip,
            alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join("\t")
        );
    }
    text
}

/// Reads a `kubernetes.io/dockerconfigjson` secret.
fn login_for(secret: &Secret, image: &str) -> Option<proto::AuthConfig> {
    let bytes = &secret.data.as_ref()?.get(".dockerconfigjson")?.0;
    let config: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let registry = image
        .split('/')
        .next()
        .filter(|first| first.contains(['.', ':']) || *first == "localhost")
        .unwrap_or("docker.io");
    let known = |host: &str| {
        host.trim_start_matches("https://").trim_start_matches("http://").split('/').next() == Some(registry)
    };
    let (_, entry) = config.get("auths")?.as_object()?.iter().find(|(host, _)| known(host))?;
    let text = |key: &str| entry.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(text("auth"))
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) = match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) => (user.to_owned(), password.to_owned()),
        None => (text("username"), text("password")),
    };
    Some(proto::AuthConfig { username, password, ..proto::AuthConfig::default() })
}
