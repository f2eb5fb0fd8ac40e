//! Log files do not grow for ever: beyond a size the file gets another name and the runtime opens a new one.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{container, sandbox};
use super::{Driver, Seen};
use crate::runtime::ContainerState;

const LOG_BYTES_MAX: u64 = 10 << 20;
/// Of one container, beside the present file.
const KEPT: usize = 4;

impl Driver {
    pub(super) async fn rotate_logs(&self, seen: &Seen) {
        for (sandboxes, containers) in seen.values() {
            let Some(owner) = sandboxes.first() else { continue };
            let node = &self.context.node;
            let dir = sandbox::log_directory(node, &owner.pod_namespace, &owner.pod_name, &owner.pod_uid);
            for running in containers.iter().filter(|container| container.state == ContainerState::Running) {
                let path = dir.join(container::log_path(&running.name, running.attempt));
                if fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
                    self.rotate(&running.id, &path).await;
                }
            }
        }
    }

    async fn rotate(&self, id: &str, path: &Path) {
        let stamp = self.context.clock.now().as_second();
        let moved = fs::rename(path, path.with_extension(format!("log.{stamp}")));
        if let Err(error) = moved.and_then(|()| drop_oldest(path)) {
            tracing::warn!(path = %path.display(), %error, "a log was not rotated");
        }
        if let Err(error) = self.context.runtime.reopen_log(id).await {
            tracing::warn!(path = %path.display(), %error, "the runtime did not open a new log");
        }
    }
}

fn drop_oldest(path: &Path) -> std::io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let prefix = format!("{name}.");
    let mut old: Vec<PathBuf> = fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
    old.retain(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix))
    });
    old.sort();
    old.iter().take(old.len().saturating_sub(KEPT)).try_for_each(fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_few_are_kept_and_no_other_file_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["0.log", "0.log.1", "0.log.2", "0.log.3", "0.log.4", "0.log.5", "0.log.6", "1.log.0"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        drop_oldest(&dir.path().join("0.log")).unwrap();
        let mut left: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(left, ["0.log", "0.log.3", "0.log.4", "0.log.5", "0.log.6", "1.log.0"]);
    }
}
