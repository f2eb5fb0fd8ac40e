//! The end of a node: everything the agent made on this machine goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_base::clock::SharedClock;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::metrics::Metrics;
use super::{BuildError, supervised};
use crate::cgroup::{self, Cgroups};
use crate::config::{Config, RuntimeChoice};
use crate::containerd::{Layout, LayoutError, ServiceError};
use crate::orders;
use crate::runtime::cri::{self, Cri};
use crate::runtime::{Runtime, RuntimeError, Scope};
use crate::volume;

/// How long a container may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// What could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("cannot end the container runtime")]
    Service(#[from] ServiceError),
    #[error("cannot remove the pods of this node")]
    Pods(#[from] RuntimeError),
    #[error("cannot remove the volumes in {}", .path.display())]
    Volumes {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Cgroups(#[from] cgroup::RemoveError),
    #[error("cannot bring the former kernel settings back")]
    Sysctls(#[source] std::io::Error),
    #[error("cannot bring the former files back")]
    Files(#[source] std::io::Error),
    #[error("cannot bring the former services back")]
    Services(#[source] orders::ServiceRestoreError),
    #[error("cannot unmount {}", .path.display())]
    Mount {
        path: PathBuf,
        #[source]
        source: nix::Error,
    },
}

/// Ends every pod, the runtime, and removes what they leave: volumes, mounts, cgroups, services and files of the role, kernel
/// settings. Images and logs stay in the data directory, and packages on the machine: they are removed by nobody but a person.
/// Done twice, it changes nothing the second time.
///
/// With a runtime that is not ours nothing is touched: its containers are its owner's matter.
///
/// # Errors
/// The first thing that could not be removed; what comes after it is still there.
pub async fn remove(config: &Config, clock: &SharedClock) -> Result<(), RemoveError> {
    if config.runtime == RuntimeChoice::Supervised {
        let layout = Layout::new(&config.data_dir)?;
        if layout.config().exists() {
            let (socket, bringup) = supervised(config, clock, &Metrics::new(&mut Registry::default()))?;
            if let Some((supervisor, _)) = bringup {
                if supervisor.ensure_started().await.is_err() {
                    supervisor.restart().await?;
                }
                pods(Arc::new(Cri::new(&socket, cri::Limits::default()))).await?;
                supervisor.stop().await?;
                supervisor.end_shims(GRACE).await?;
            }
        }
        volumes(&config.data_dir.join("pods"))?;
        unmount_below(layout.dir())?;
        remove_cgroups(&Cgroups::new(config.cgroup_parent.clone())).await?;
    }
    let role = orders::RoleHands::new(Path::new("/"), &config.data_dir);
    role.restore_services().await.map_err(RemoveError::Services)?;
    role.restore_files().map_err(RemoveError::Files)?;
    orders::restore_sysctls(&config.roots.proc, &config.data_dir.join("sysctl-before.json"))
        .map_err(RemoveError::Sysctls)
}

async fn pods(runtime: Arc<dyn Runtime>) -> Result<(), RuntimeError> {
    let observed = runtime.list(Scope::Node).await?;
    for container in &observed.containers {
        runtime.stop_container(&container.id, GRACE).await?;
    }
    for sandbox in &observed.sandboxes {
        runtime.stop_sandbox(&sandbox.id).await?;
        runtime.remove_sandbox(&sandbox.id).await?;
    }
    Ok(())
}

/// A process that was ended holds its cgroup for a moment more.
async fn remove_cgroups(cgroups: &Cgroups) -> Result<(), cgroup::RemoveError> {
    let deadline = Instant::now() + GRACE;
    loop {
        match cgroups.remove_all() {
            Err(error) if error.is_busy() && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

fn volumes(pods: &Path) -> Result<(), RemoveError> {
    let Ok(entries) = std::fs::read_dir(pods) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        volume::remove(&path).map_err(|source| RemoveError::Volumes { path, source: Box::new(source) })?;
    }
    Ok(())
}

/// Mounts a runtime that was killed may leave.
fn unmount_below(dir: &Path) -> Result<(), RemoveError> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = |line: &&str| line.split(' ').nth(1).is_some_and(|point| Path::new(point).starts_with(dir));
    for line in mounts.lines().filter(below).collect::<Vec<_>>().into_iter().rev() {
        let path = PathBuf::from(line.split(' ').nth(1).unwrap_or_default());
        nix::mount::umount2(&path, nix::mount::MntFlags::MNT_DETACH)
            .map_err(|source| RemoveError::Mount { path, source })?;
    }
    Ok(())
}
