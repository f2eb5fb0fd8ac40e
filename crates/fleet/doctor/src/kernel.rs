//! What the kernel shows in files.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the kernel's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into() }
    }
}

impl Roots {
    pub(crate) fn boot_id(&self) -> String {
        line(&self.proc.join("sys/kernel/random/boot_id")).unwrap_or_default()
    }

    pub(crate) fn uptime(&self) -> Duration {
        let text = line(&self.proc.join("uptime")).unwrap_or_default();
        let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
        Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default()
    }
}

/// A file of one line; none where it cannot be read.
pub(crate) fn line(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// A file of one number.
pub(crate) fn number(path: &Path) -> Option<u64> {
    line(path)?.parse().ok()
}

/// The names in a directory, sorted; none where it cannot be read.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
