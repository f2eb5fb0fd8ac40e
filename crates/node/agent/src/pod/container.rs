//! What the runtime is told about one container.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, PodSpec, SecurityContext, VolumeMount};

use super::field::Facts;
use super::objects::Objects;
use super::{resources, sandbox};
use crate::runtime::{Image, ImageUser, label, proto};
use crate::volume::{self, Places, VolumeError};

mod env;

use env::EnvError;

#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    #[error(transparent)]
    Env(#[from] EnvError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("volumeMounts: there is no volume {volume:?} in this pod")]
    NoVolume { volume: String },
    #[error("container has runAsNonRoot and image will run as root: set runAsUser")]
    Root,
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root: set runAsUser"
    )]
    NamedUser { user: String },
}

/// Everything a container is made of.
pub(super) struct Recipe<'a> {
    pub(super) spec: &'a PodSpec,
    pub(super) container: &'a Container,
    pub(super) facts: Facts<'a>,
    pub(super) objects: &'a Objects,
    pub(super) services: &'a std::collections::BTreeMap<String, String>,
    pub(super) places: &'a Places,
    pub(super) image: &'a Image,
    pub(super) attempt: u32,
    pub(super) crashes: u32,
    pub(super) hosts_file: Option<PathBuf>,
    pub(super) message_file: PathBuf,
}

pub(super) const MESSAGE_PATH: &str = "/dev/termination-log";

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn labels(pod: &Pod, container: &str) -> HashMap<String, String> {
    let mut labels = sandbox::labels(pod);
    labels.insert(label::CONTAINER_NAME.to_owned(), container.to_owned());
    labels
}

pub(super) fn config(recipe: &Recipe<'_>) -> Result<proto::ContainerConfig, ConfigError> {
    let container = recipe.container;
    let environment = env::resolve(container, &recipe.facts, recipe.objects, recipe.services)?;
    let lookup = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let expand =
        |words: &Option<Vec<String>>| words.iter().flatten().map(|word| env::expand(word, lookup)).collect();
    let image = container.image.clone().unwrap_or_default();
    let mut mounts = own_mounts(recipe);
    for mount in container.volume_mounts.iter().flatten() {
        mounts.push(volume_mount(mount, recipe, lookup)?);
    }
    Ok(proto::ContainerConfig {
        metadata: Some(proto::ContainerMetadata { name: container.name.clone(), attempt: recipe.attempt }),
        image: Some(proto::ImageSpec {
            image: recipe.image.id.clone(),
            user_specified_image: image.clone(),
            ..Default::default()
        }),
        command: expand(&container.command),
        args: expand(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        mounts,
        labels: labels(recipe.facts.pod, &container.name),
        annotations: HashMap::from([
            (label::IMAGE.to_owned(), image),
            (label::CRASHES.to_owned(), recipe.crashes.to_string()),
        ]),
        log_path: log_path(&container.name, recipe.attempt),
        stdin: sandbox::is_true(container.stdin),
        stdin_once: sandbox::is_true(container.stdin_once),
        tty: sandbox::is_true(container.tty),
        linux: Some(linux(recipe)?),
        envs: environment.into_iter().map(|(key, value)| proto::KeyValue { key, value }).collect(),
        ..proto::ContainerConfig::default()
    })
}

/// Below the pod's log directory.
pub(crate) fn log_path(container: &str, attempt: u32) -> String {
    format!("{container}/{attempt}.log")
}

fn own_mounts(recipe: &Recipe<'_>) -> Vec<proto::Mount> {
    let message_path = recipe.container.termination_message_path.as_deref().unwrap_or(MESSAGE_PATH);
    let taken =
        |path: &str| recipe.container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == path);
    let bind = |from: &Path, to: &str| proto::Mount {
        container_path: to.to_owned(),
        host_path: text(from),
        ..proto::Mount::default()
    };
    let hosts =
        recipe.hosts_file.as_ref().filter(|_| !taken("/etc/hosts")).map(|file| bind(file, "/etc/hosts"));
    hosts.into_iter().chain([bind(&recipe.message_file, message_path)]).collect()
}

fn volume_mount(
    mount: &VolumeMount,
    recipe: &Recipe<'_>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<proto::Mount, ConfigError> {
    let place =
        recipe.places.get(&mount.name).ok_or_else(|| ConfigError::NoVolume { volume: mount.name.clone() })?;
    let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
        (_, Some(expression)) => Some(env::expand(expression, lookup)),
        (path, None) => path.clone(),
    };
    let host = match sub_path.filter(|path| !path.is_empty()) {
        Some(path) => volume::sub_path(&mount.name, place, &path)?,
        None => place.clone(),
    };
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => proto::MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => proto::MountPropagation::PropagationBidirectional,
        _ => proto::MountPropagation::PropagationPrivate,
    };
    let path = if mount.mount_path.starts_with('/') {
        mount.mount_path.clone()
    } else {
        format!("/{}", mount.mount_path)
    };
    Ok(proto::Mount {
        container_path: path,
        host_path: text(&host),
        readonly: sandbox::is_true(mount.read_only),
        propagation: propagation.into(),
        ..proto::Mount::default()
    })
}

/// What a container must not see or change of /proc and /sys (the defaults of Docker and the kubelet).
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn user(own: &SecurityContext, pod: &PodSecurityContext, image: &Image) -> Result<Option<i64>, ConfigError> {
    let user = own.run_as_user.or(pod.run_as_user);
    if !sandbox::is_true(own.run_as_non_root.or(pod.run_as_non_root)) {
        return Ok(user);
    }
    match (user, &image.user) {
        (Some(0), _) | (None, ImageUser::Id(0) | ImageUser::Unset) => Err(ConfigError::Root),
        (None, ImageUser::Name(user)) => Err(ConfigError::NamedUser { user: user.clone() }),
        (Some(_), _) | (None, ImageUser::Id(_)) => Ok(user),
    }
}

fn linux(recipe: &Recipe<'_>) -> Result<proto::LinuxContainerConfig, ConfigError> {
    let own = recipe.container.security_context.clone().unwrap_or_default();
    let pod = recipe.spec.security_context.clone().unwrap_or_default();
    let privileged = sandbox::is_true(own.privileged);
    let run_as_user = user(&own, &pod, recipe.image)?;
    let number = |value| proto::Int64Value { value };
    let image_user = match &recipe.image.user {
        ImageUser::Name(name) if run_as_user.is_none() => name.clone(),
        ImageUser::Name(_) | ImageUser::Id(_) | ImageUser::Unset => String::new(),
    };
    let image_id = match &recipe.image.user {
        ImageUser::Id(id) => Some(*id),
        ImageUser::Name(_) | ImageUser::Unset => None,
    };
    let run_as_user = run_as_user.or(image_id);
    let run_as_group =
        own.run_as_group.or(pod.run_as_group).filter(|_| run_as_user.is_some() || !image_user.is_empty());
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let visible = |paths: &[&str]| {
        let hidden = !privileged && own.proc_mount.as_deref() != Some("Unmasked");
        if hidden { paths.iter().map(|path| (*path).to_owned()).collect() } else { Vec::new() }
    };
    let qos = resources::qos(recipe.spec);
    Ok(proto::LinuxContainerConfig {
        resources: Some(resources::linux(recipe.container, qos, recipe.facts.node_memory_bytes)),
        security_context: Some(proto::LinuxContainerSecurityContext {
            capabilities: Some(proto::Capability {
                add_capabilities: capabilities.add.unwrap_or_default(),
                drop_capabilities: capabilities.drop.unwrap_or_default(),
                add_ambient_capabilities: Vec::new(),
            }),
            privileged,
            namespace_options: Some(sandbox::namespaces(recipe.spec)),
            run_as_user: run_as_user.map(number),
            run_as_group: run_as_group.map(number),
            run_as_username: image_user,
            readonly_rootfs: sandbox::is_true(own.read_only_root_filesystem),
            supplemental_groups: pod
                .fs_group
                .into_iter()
                .chain(pod.supplemental_groups.into_iter().flatten())
                .collect(),
            no_new_privs: own.allow_privilege_escalation == Some(false),
            masked_paths: visible(MASKED),
            readonly_paths: visible(READ_ONLY),
            seccomp: (!privileged)
                .then(|| sandbox::seccomp(own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref()))),
            ..proto::LinuxContainerSecurityContext::default()
        }),
    })
}
