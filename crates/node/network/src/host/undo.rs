//! Taking every recorded effect back, newest first.

use std::fs;
use std::io;
use std::path::Path;

use muster_base::error::chain;

use super::{HostError, Link, Route, host_ports, ip, ip_list, sysctl_path};
use crate::command::CommandError;
use crate::owned::{Effect, Record, RecordError};
use crate::proxy::{self, ProxyError};

/// Network namespaces of pods that containerd made carry this prefix.
const NETNS_PREFIX: &str = "cni-";

/// Why one effect stays.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("removing the chains of the portmap plugin")]
    HostPorts(#[source] CommandError),
    #[error("removing {path}")]
    Remove {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("setting the sysctl {key} back to {former}")]
    Sysctl {
        key: String,
        former: String,
        #[source]
        source: io::Error,
    },
}

/// Undoes what `record` holds. One failure stops no other; what failed stays in the record.
pub async fn undo(record: &mut Record) -> Vec<UndoError> {
    let effects = record.effects().to_vec();
    undo_these(record, effects).await
}

/// Undoes what is not `wanted` any more. What cannot be undone now is tried again at the next start and by [`undo`].
pub(super) async fn undo_former(record: &mut Record, wanted: &[Effect]) {
    let is_former = |effect: &&Effect| !matches!(effect, Effect::Sysctl { .. }) && !wanted.contains(effect);
    let former: Vec<Effect> = record.effects().iter().filter(is_former).cloned().collect();
    for error in undo_these(record, former).await {
        tracing::warn!(error = chain(&error), "an effect of former settings could not be undone");
    }
}

/// Newest first.
async fn undo_these(record: &mut Record, effects: Vec<Effect>) -> Vec<UndoError> {
    let mut errors = Vec::new();
    for effect in effects.into_iter().rev() {
        let undone = match undo_one(&effect).await {
            Ok(()) => record.strike(&effect).map_err(UndoError::Record),
            Err(error) => Err(error),
        };
        errors.extend(undone.err());
    }
    errors
}

async fn undo_one(effect: &Effect) -> Result<(), UndoError> {
    match effect {
        Effect::Sysctl { key, former, value } => restore(key, former, value),
        Effect::Bridge { name } => remove_bridge(name).await,
        Effect::Route { network, device } => {
            let routes: Vec<Route> =
                ip_list(&["-j", "-4", "route", "show", "exact", &network.to_string()]).await?;
            if routes.iter().any(|route| route.dev == *device) {
                ip(&["route", "del", &network.to_string(), "dev", device]).await?;
            }
            Ok(())
        }
        Effect::Address { address, device } => {
            let wanted = format!("{address}/32");
            let holders: Vec<Link> = ip_list(&["-j", "-4", "address", "show", "to", &wanted]).await?;
            if holders.iter().any(|holder| holder.ifname == *device) {
                ip(&["address", "del", &wanted, "dev", device]).await?;
            }
            Ok(())
        }
        Effect::File { path } => gone(path, fs::remove_file(path)),
        Effect::Folder { path } => gone(path, fs::remove_dir_all(path)),
        Effect::HostPorts => host_ports::remove().await.map_err(UndoError::HostPorts),
        Effect::Table => Ok(proxy::remove().await?),
    }
}

/// A value that somebody else has changed since is theirs.
fn restore(key: &str, former: &str, value: &str) -> Result<(), UndoError> {
    let failed = |source| UndoError::Sysctl { key: key.to_owned(), former: former.to_owned(), source };
    let path = sysctl_path(key);
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() == value => fs::write(path, former).map_err(failed),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The bridge, the pods' cables that still hang on it, and the namespaces at their other ends.
async fn remove_bridge(name: &str) -> Result<(), UndoError> {
    let links: Vec<Link> = ip_list(&["-j", "link", "show"]).await?;
    if !links.iter().any(|link| link.ifname == name) {
        return Ok(());
    }
    let ports: Vec<Link> = ip_list(&["-j", "link", "show", "master", name]).await?;
    for port in ports {
        ip(&["link", "del", &port.ifname]).await?;
        if let Some(netns) = port.link_netns.filter(|netns| netns.starts_with(NETNS_PREFIX)) {
            ip(&["netns", "del", &netns]).await?;
        }
    }
    Ok(ip(&["link", "del", name]).await?)
}

fn gone(path: &Path, removed: io::Result<()>) -> Result<(), UndoError> {
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(UndoError::Remove { path: path.display().to_string(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
