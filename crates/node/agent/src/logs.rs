//! Container logs: files in CRI's format below the log directory, read in-process or over HTTPS.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::pod::{Driver, Node, container, sandbox};

mod line;
mod read;
mod serve;

pub use read::{Follow, Options, Since, Timestamps, Which};
pub use serve::{ServeError, Server, Tls};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("pods {namespace}/{pod} is not on this node")]
    NoPod { namespace: String, pod: String },
    #[error("container {container} is not valid for pod {pod}")]
    NoContainer { pod: String, container: String },
    #[error("container {container:?} in pod {pod:?} is waiting to start")]
    NotStarted { pod: String, container: String },
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious { pod: String, container: String },
    #[error("cannot read the log of container {container:?} in pod {pod:?}")]
    Read {
        pod: String,
        container: String,
        #[source]
        source: io::Error,
    },
}

/// Finds and reads the logs of this node's pods.
#[derive(Clone)]
pub struct Logs {
    driver: Driver,
    node: Arc<Node>,
}

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

impl Logs {
    pub fn new(driver: Driver, node: Node) -> Self {
        Self { driver, node: Arc::new(node) }
    }

    /// Opens a log for reading.
    ///
    /// # Errors
    /// There is no such pod, container or earlier life, or it has not started.
    pub fn open(&self, target: &Target, options: Options, now: Timestamp) -> Result<read::Reader, LogError> {
        let missing = || LogError::NoPod { namespace: target.namespace.clone(), pod: target.pod.clone() };
        let pod = self.driver.find(&target.namespace, &target.pod).ok_or_else(missing)?;
        let names = || (target.pod.clone(), target.container.clone());
        if !has_container(&pod, &target.container) {
            let (pod, container) = names();
            return Err(LogError::NoContainer { pod, container });
        }
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let dir = sandbox::log_directory(&self.node, &target.namespace, &target.pod, &uid);
        let attempts = read::attempts(&dir.join(&target.container));
        let attempt = match options.which {
            Which::Current => attempts.last().copied(),
            Which::Previous => attempts.len().checked_sub(2).map(|at| attempts[at]),
        };
        let Some(attempt) = attempt else {
            let (pod, container) = names();
            return Err(match options.which {
                Which::Current => LogError::NotStarted { pod, container },
                Which::Previous => LogError::NoPrevious { pod, container },
            });
        };
        let path: PathBuf = dir.join(container::log_path(&target.container, attempt));
        read::Reader::open(&path, options, now).map_err(|source| {
            let (pod, container) = names();
            LogError::Read { pod, container, source }
        })
    }

    /// Whether more may come: the container of this log is the newest and has not ended, as far as the API knows.
    fn may_grow(&self, target: &Target) -> bool {
        let Some(pod) = self.driver.find(&target.namespace, &target.pod) else { return false };
        let status = pod.status.clone().unwrap_or_default();
        let all = status
            .container_statuses
            .into_iter()
            .flatten()
            .chain(status.init_container_statuses.into_iter().flatten());
        let state =
            all.filter(|container| container.name == target.container).find_map(|container| container.state);
        state.is_none_or(|state| state.terminated.is_none())
    }
}

fn has_container(pod: &Pod, name: &str) -> bool {
    let spec = pod.spec.as_ref();
    spec.is_some_and(|spec| {
        spec.init_containers.iter().flatten().chain(&spec.containers).any(|c| c.name == name)
    })
}
