//! Pod cgroups. CRI makes them with the first container and never removes them: that is our part.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::pod::Qos;

/// Below which cgroup our pods live, and where the hierarchies are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    /// For example `/muster`: absolute within every hierarchy.
    pub parent: String,
    /// `/sys/fs/cgroup`, or a copy of it in a test.
    pub mount: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot remove the cgroup {}", .path.display())]
pub struct RemoveError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl RemoveError {
    /// Whether a process lives in it, or did a moment ago.
    pub fn is_busy(&self) -> bool {
        self.source.kind() == io::ErrorKind::ResourceBusy
    }
}

impl Cgroups {
    pub fn new(parent: impl Into<String>) -> Self {
        Self { parent: parent.into(), mount: PathBuf::from("/sys/fs/cgroup") }
    }

    /// The cgroup of a pod, as CRI takes it.
    pub fn of_pod(&self, qos: Qos, uid: &str) -> String {
        match qos {
            Qos::Guaranteed => format!("{}/pod{uid}", self.parent),
            Qos::Burstable => format!("{}/burstable/pod{uid}", self.parent),
            Qos::BestEffort => format!("{}/besteffort/pod{uid}", self.parent),
        }
    }

    /// v2 has one hierarchy, v1 one per controller.
    fn hierarchies(&self) -> Vec<PathBuf> {
        if self.mount.join("cgroup.controllers").exists() {
            return vec![self.mount.clone()];
        }
        let Ok(entries) = fs::read_dir(&self.mount) else { return Vec::new() };
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && !path.is_symlink())
            .collect()
    }

    /// Removes a pod's cgroup from every hierarchy, whatever its class was.
    ///
    /// # Errors
    /// The first that could not be removed: a process still lives in it.
    pub fn remove_pod(&self, uid: &str) -> Result<(), RemoveError> {
        for hierarchy in self.hierarchies() {
            for qos in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
                remove_tree(&hierarchy.join(self.of_pod(qos, uid).trim_start_matches('/')))?;
            }
        }
        Ok(())
    }

    /// Removes everything below our parent and the parent itself: the end of the node.
    ///
    /// # Errors
    /// The first that could not be removed.
    pub fn remove_all(&self) -> Result<(), RemoveError> {
        let parent = self.parent.trim_start_matches('/');
        if parent.is_empty() {
            return Ok(());
        }
        self.hierarchies().iter().try_for_each(|hierarchy| remove_tree(&hierarchy.join(parent)))
    }
}

/// Only directories can be removed in a cgroup file system, from the leaves up.
fn remove_tree(dir: &Path) -> Result<(), RemoveError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(RemoveError { path: dir.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_leaves_every_hierarchy_and_its_neighbours_stay() {
        let dir = tempfile::tempdir().unwrap();
        let cgroups = Cgroups { parent: "/muster".to_owned(), mount: dir.path().to_owned() };
        for path in
            ["cpu/muster/burstable/poda/c1", "memory/muster/burstable/poda", "cpu/muster/podb", "cpu/other"]
        {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        cgroups.remove_pod("a").unwrap();
        assert!(!dir.path().join("cpu/muster/burstable/poda").exists());
        assert!(!dir.path().join("memory/muster/burstable/poda").exists());
        assert!(dir.path().join("cpu/muster/podb").exists());
        cgroups.remove_all().unwrap();
        assert!(!dir.path().join("cpu/muster").exists());
        assert!(dir.path().join("cpu/other").exists());
    }
}
