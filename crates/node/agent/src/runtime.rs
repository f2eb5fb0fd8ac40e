//! What the agent asks of a container runtime, and nothing more. [`cri::Cri`] speaks to containerd or CRI-O,
//! [`fake::Fake`] lives in memory for tests and simulations.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

pub mod cri;
pub mod fake;

/// The CRI messages that describe what to create.
#[expect(clippy::all, clippy::allow_attributes_without_reason, reason = "generated from the CRI description")]
pub mod proto {
    tonic::include_proto!("runtime.v1");
}

pub(crate) mod label {
    pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
    pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
    pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    /// Which image the container was made for: a changed image replaces it.
    pub(crate) const IMAGE: &str = "muster.dev/image";
    /// How many crashes in a row came before this container; survives the agent's own restart.
    pub(crate) const CRASHES: &str = "muster.dev/crashes";
}

/// A call that failed. The kind says what a caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("container runtime: {call}: {message}")]
pub struct RuntimeError {
    pub call: &'static str,
    pub kind: RuntimeErrorKind,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeErrorKind {
    /// Nothing answers on the socket.
    Unreachable,
    /// No answer within the caller's limit: the call may or may not have had its effect.
    TimedOut,
    NotFound,
    /// The runtime answered, and refused or failed.
    Failed,
}

pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;
pub type Call<'a, T> = BoxFuture<'a, Result<T>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub name: String,
    pub version: String,
}

/// One of the runtime's own two conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    pub ready: bool,
    pub reason: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeStatus {
    pub runtime: Readiness,
    pub network: Readiness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SandboxState {
    Ready,
    NotReady,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    pub id: String,
    pub pod_uid: String,
    pub pod_namespace: String,
    pub pod_name: String,
    pub attempt: u32,
    pub state: SandboxState,
    pub created: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainerState {
    Created,
    Running,
    Exited,
    /// The runtime lost track of it.
    Unknown,
}

impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Unknown => "unknown",
        })
    }
}

/// A row of the container list: enough to see that something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub sandbox: String,
    pub pod_uid: String,
    pub name: String,
    pub attempt: u32,
    pub state: ContainerState,
    /// The id of its image.
    pub image: String,
}

/// All there is to know about one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    pub id: String,
    pub name: String,
    pub attempt: u32,
    pub state: ContainerState,
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    pub exit_code: i32,
    pub image: String,
    pub image_ref: String,
    pub reason: String,
    pub message: String,
    pub log_path: String,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    pub sandboxes: Vec<Sandbox>,
    pub containers: Vec<Container>,
}

/// Whose sandboxes and containers to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Node,
    Pod(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub id: String,
    pub tags: Vec<String>,
    pub digests: Vec<String>,
    pub bytes: u64,
    /// The runtime itself needs it.
    pub pinned: bool,
    /// The user the image asks for, numeric or by name.
    pub user: ImageUser,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageUser {
    Unset,
    Id(i64),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit_code: i32,
}

/// Each call has its own time limit inside; none waits for ever.
pub trait Runtime: Send + Sync + 'static {
    fn version(&self) -> Call<'_, Version>;
    fn status(&self) -> Call<'_, RuntimeStatus>;
    fn list(&self, scope: Scope) -> Call<'_, Observed>;
    fn sandbox_ips<'a>(&'a self, id: &'a str) -> Call<'a, Vec<String>>;
    fn container<'a>(&'a self, id: &'a str) -> Call<'a, ContainerStatus>;
    fn run_sandbox(&self, config: proto::PodSandboxConfig) -> Call<'_, String>;
    fn stop_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    fn remove_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    fn create_container<'a>(
        &'a self,
        sandbox: &'a str,
        config: proto::ContainerConfig,
        sandbox_config: proto::PodSandboxConfig,
    ) -> Call<'a, String>;
    fn start_container<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    /// TERM, then KILL after `grace`. Returns when the container has ended.
    fn stop_container<'a>(&'a self, id: &'a str, grace: Duration) -> Call<'a, ()>;
    fn remove_container<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    fn exec<'a>(&'a self, id: &'a str, command: &'a [String], limit: Duration) -> Call<'a, ExecOutput>;
    fn reopen_log<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    fn image<'a>(&'a self, name: &'a str) -> Call<'a, Option<Image>>;
    fn images(&self) -> Call<'_, Vec<Image>>;
    /// One that is not there is none to remove.
    fn remove_image<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    fn pull_image<'a>(&'a self, name: &'a str, login: Option<proto::AuthConfig>) -> Call<'a, String>;
}
