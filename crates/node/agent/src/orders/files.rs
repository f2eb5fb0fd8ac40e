//! Files of a role: settings, written whole, with a note of what stood in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use muster_api::role::{FILES_MAX, File, FileFault};
use muster_base::error::chain;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::note;

mod tree;

use tree::{Forbidden, State, TreeError};

/// Where files go.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// `/` on a machine.
    pub(super) root: PathBuf,
    /// Muster's own, in which no role has a file; the note stands there.
    pub(super) data_dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("arguments.files: this verb needs files")]
    Nothing,
    #[error("arguments.files: {count} files are more than {FILES_MAX}")]
    Many { count: usize },
    #[error("arguments.files[{index}]")]
    Fault {
        index: usize,
        #[source]
        source: FileFault,
    },
    #[error(
        "arguments.files[{index}]: path {path:?} stands twice, with another content or mode: name it once"
    )]
    Twice { index: usize, path: String },
    #[error("arguments.files: path {path:?}")]
    Unreachable {
        path: String,
        #[source]
        source: TreeError,
    },
    #[error("file {path:?}")]
    Write {
        path: String,
        #[source]
        source: TreeError,
    },
    #[error("cannot keep the note of former files {}", .path.display())]
    Note {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl FileError {
    /// Whether nothing was begun: what was asked for cannot be had here.
    pub(super) const fn is_refusal(&self) -> bool {
        match self {
            Self::Nothing
            | Self::Many { .. }
            | Self::Fault { .. }
            | Self::Twice { .. }
            | Self::Unreachable { .. } => true,
            Self::Write { .. } | Self::Note { .. } => false,
        }
    }
}

/// What is to come back.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    files: BTreeMap<String, Kept>,
    /// Directories that were made on the way.
    directories: BTreeSet<String>,
}

/// One file in the note.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// What stood in its place before it was first touched; none: nothing.
    before: Option<State>,
    /// SHA-256 of what we put there last, and of what that replaced: either may be there after a sudden death.
    ours: Vec<String>,
}

fn hash(state: &State) -> String {
    Sha256::digest(&state.content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is wanted of each path; whatever is wrong with one of them by itself is found here.
fn wanted(files: &[File]) -> Result<BTreeMap<&str, State>, FileError> {
    if files.is_empty() {
        return Err(FileError::Nothing);
    }
    if FILES_MAX < files.len() {
        return Err(FileError::Many { count: files.len() });
    }
    let mut states = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        let mode = file.check().map_err(|source| FileError::Fault { index, source })?;
        let state = State::new(file.content.as_bytes(), mode);
        if states.insert(file.path.as_str(), state.clone()).is_some_and(|other| other != state) {
            return Err(FileError::Twice { index, path: file.path.clone() });
        }
    }
    Ok(states)
}

impl Files {
    fn note(&self) -> PathBuf {
        self.data_dir.join("files-before.json")
    }

    fn noted(&self) -> impl Fn(io::Error) -> FileError {
        let path = self.note();
        move |source| FileError::Note { path: path.clone(), source }
    }

    fn forbidden(&self) -> Result<Forbidden, FileError> {
        std::fs::create_dir_all(&self.data_dir)
            .and_then(|()| Forbidden::of(&self.data_dir))
            .map_err(self.noted())
    }

    /// Brings the files about. Says what changed; the second time nothing does.
    ///
    /// # Errors
    /// A wish that cannot be had, and then nothing was done; or the first file that could not be written.
    pub(super) fn ensure(&self, files: &[File]) -> Result<Vec<String>, FileError> {
        let wanted = wanted(files)?;
        let forbidden = self.forbidden()?;
        let mut differing = Vec::new();
        for (path, state) in &wanted {
            let found = self.find(path, forbidden);
            let found =
                found.map_err(|source| FileError::Unreachable { path: (*path).to_owned(), source })?;
            if found.as_ref() != Some(state) {
                differing.push((*path, state, found));
            }
        }
        let mut kept: Note = note::load(&self.note()).map_err(self.noted())?;
        let mut changes = Vec::new();
        for (path, state, found) in differing {
            let change = if found.is_some() { "changed" } else { "written" };
            let failed = |source| FileError::Write { path: path.to_owned(), source };
            let lacking = tree::lacking(&self.root, path, forbidden).map_err(failed)?;
            kept.add(path, state, found, &lacking);
            note::save(&self.note(), &kept).map_err(self.noted())?;
            self.put(path, state, &lacking, forbidden).map_err(failed)?;
            changes.push(format!("{path}: {change}"));
        }
        Ok(changes)
    }

    fn find(&self, path: &str, forbidden: Forbidden) -> Result<Option<State>, TreeError> {
        match tree::open(&self.root, path, forbidden)? {
            Some(directory) => tree::read(&directory, path),
            None => Ok(None),
        }
    }

    fn put(
        &self,
        path: &str,
        state: &State,
        lacking: &[String],
        forbidden: Forbidden,
    ) -> Result<(), TreeError> {
        for part in lacking {
            tree::make(&self.root, part, forbidden)?;
        }
        match tree::open(&self.root, path, forbidden)? {
            Some(directory) => tree::write(&directory, path, state),
            None => Err(TreeError::Io {
                step: "open its directory",
                source: io::Error::from(io::ErrorKind::NotFound),
            }),
        }
    }

    /// Brings back what stood in the place of the files, and forgets it. What another has changed or moved since is left to
    /// them.
    ///
    /// # Errors
    /// The first file that could not be brought back; it stays in the note, and every other was tried.
    pub(crate) fn restore(&self) -> io::Result<()> {
        if !self.note().exists() {
            return Ok(());
        }
        let mut kept: Note = note::load(&self.note())?;
        let forbidden = Forbidden::of(&self.data_dir)?;
        let mut first = None;
        for (path, file) in std::mem::take(&mut kept.files) {
            if let Err(error) = self.bring_back(&path, &file, forbidden) {
                first.get_or_insert_with(|| io::Error::other(format!("{path}: {}", chain(&error))));
                kept.files.insert(path, file);
            }
        }
        if let Some(error) = first {
            note::save(&self.note(), &kept)?;
            return Err(error);
        }
        // The longest first: those within others.
        for part in kept.directories.iter().rev() {
            match tree::unmake(&self.root, part, forbidden) {
                Err(error @ TreeError::Io { .. }) => return Err(io::Error::other(chain(&error))),
                Err(error) => tracing::info!(part, error = chain(&error), "a directory of a role stays"),
                Ok(()) => {}
            }
        }
        note::forget(&self.note())
    }

    fn bring_back(&self, path: &str, kept: &Kept, forbidden: Forbidden) -> Result<(), TreeError> {
        let found = match self.find(path, forbidden) {
            Err(error @ TreeError::Io { .. }) => return Err(error),
            Err(error) => {
                tracing::info!(path, error = chain(&error), "a file of a role is left to whoever moved it");
                return Ok(());
            }
            Ok(found) => found,
        };
        let is_ours = found.as_ref().is_some_and(|found| kept.ours.contains(&hash(found)));
        if !is_ours {
            tracing::info!(path, "a file of a role is left to whoever changed it");
            return Ok(());
        }
        let Some(directory) = tree::open(&self.root, path, forbidden)? else { return Ok(()) };
        match &kept.before {
            Some(before) => tree::write(&directory, path, before),
            None => tree::remove(&directory, path),
        }
    }
}

impl Note {
    fn add(&mut self, path: &str, state: &State, found: Option<State>, lacking: &[String]) {
        let first = Kept { before: found, ours: Vec::new() };
        let kept = self.files.entry(path.to_owned()).or_insert(first);
        kept.ours.push(hash(state));
        let old = kept.ours.len().saturating_sub(2);
        kept.ours.drain(..old);
        self.directories.extend(lacking.iter().cloned());
    }
}

#[cfg(test)]
mod tests;
