//! Small files of what a doctor keeps between two lives.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// One file; nothing is kept where there is no directory for it.
#[derive(Clone, Debug)]
pub(crate) struct StateFile(Option<PathBuf>);

impl StateFile {
    pub(crate) fn new(dir: Option<&Path>, name: &str) -> Self {
        Self(dir.map(|dir| dir.join(name)))
    }

    /// Whether anything is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// What was kept; none too where it is damaged.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let path = self.0.as_ref()?;
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "what the doctor kept cannot be read");
                }
                return None;
            }
        };
        serde_json::from_slice(&text)
            .inspect_err(
                |error| tracing::warn!(path = %path.display(), %error, "what the doctor kept is damaged"),
            )
            .ok()
    }

    /// Keeps it, whole or not at all.
    pub(crate) fn write<T: Serialize>(&self, value: &T) {
        let Some(path) = &self.0 else { return };
        let written = serde_json::to_vec(value).map_err(io::Error::from).and_then(|text| {
            let next = path.with_extension("next");
            std::fs::write(&next, text)?;
            std::fs::rename(&next, path)
        });
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "the doctor cannot keep what it saw");
        }
    }
}
