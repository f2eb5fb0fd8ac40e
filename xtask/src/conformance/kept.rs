//! What outlives a run: the outcomes of one that was interrupted, and the list of passing names.
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::report::Outcome;

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error("{path} cannot be read: {source}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} cannot be written: {source}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// The outcomes of the run in hand: one line of JSON each, after a line that says which run it is.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    file: File,
    outcomes: BTreeMap<String, Outcome>,
}

impl Kept {
    /// Takes up the run that `path` holds if its first line is `key`, else begins a new one.
    pub(super) fn open(path: &Path, key: &str, fresh: bool) -> Result<Kept, KeptError> {
        let write = |source| KeptError::Write { path: path.to_owned(), source };
        let earlier = if fresh { None } else { read(path)? };
        let outcomes = earlier.as_deref().and_then(|text| same_run(text, key)).unwrap_or_default();
        // Written anew: a line that a kill cut in half does not stay in the middle.
        let mut file = File::create(path).map_err(write)?;
        writeln!(file, "{key}").map_err(write)?;
        let mut kept = Kept { path: path.to_owned(), file, outcomes: BTreeMap::new() };
        for outcome in outcomes.values() {
            kept.add(outcome)?;
        }
        Ok(kept)
    }

    pub(super) fn outcomes(&self) -> &BTreeMap<String, Outcome> {
        &self.outcomes
    }

    /// A second outcome of the same spec takes the place of the first.
    pub(super) fn add(&mut self, outcome: &Outcome) -> Result<(), KeptError> {
        let write = |source: std::io::Error| KeptError::Write { path: self.path.clone(), source };
        let line = serde_json::to_string(outcome).map_err(|error| write(error.into()))?;
        writeln!(self.file, "{line}").map_err(write)?;
        self.outcomes.insert(outcome.name.clone(), outcome.clone());
        Ok(())
    }

    /// The run is complete: the next one begins anew.
    pub(super) fn finish(self) -> Result<(), KeptError> {
        let last = self.path.with_extension("last.jsonl");
        std::fs::rename(&self.path, &last).map_err(|source| KeptError::Write { path: last, source })
    }
}

fn same_run(text: &str, key: &str) -> Option<BTreeMap<String, Outcome>> {
    let mut lines = text.lines();
    (lines.next() == Some(key)).then(|| {
        let whole = lines.map_while(|line| serde_json::from_str::<Outcome>(line).ok());
        whole.map(|outcome| (outcome.name.clone(), outcome)).collect()
    })
}

fn read(path: &Path) -> Result<Option<String>, KeptError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeptError::Read { path: path.to_owned(), source }),
    }
}

/// The names of a list; no file is an empty list.
pub(super) fn read_names(path: &Path) -> Result<BTreeSet<String>, KeptError> {
    Ok(read(path)?.unwrap_or_default().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Sorted, one a line, in one step.
pub(super) fn write_names<'a>(path: &Path, names: impl Iterator<Item = &'a String>) -> Result<(), KeptError> {
    let names: BTreeSet<&String> = names.collect();
    let text: String = names.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
    let new = path.with_extension("txt.new");
    let write = |source| KeptError::Write { path: path.to_owned(), source };
    std::fs::write(&new, text).map_err(write)?;
    std::fs::rename(&new, path).map_err(write)
}

#[cfg(test)]
mod tests;
