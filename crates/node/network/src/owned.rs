//! The owner record: every lasting side effect on the node is written down before it is made, so that it can be undone
//! by a later process, whatever happened to this one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Something that stays on the node when Muster's process ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase", deny_unknown_fields)]
pub enum Effect {
    /// `key` below /proc/sys was `former` and is now `value`.
    Sysctl {
        key: String,
        former: String,
        value: String,
    },
    Bridge {
        name: String,
    },
    Route {
        network: Ipv4Net,
        device: String,
    },
    Address {
        address: Ipv4Addr,
        device: String,
    },
    File {
        path: PathBuf,
    },
    Folder {
        path: PathBuf,
    },
    /// The chains the portmap plugin makes in iptables.
    HostPorts,
    /// The nftables table.
    Table,
}

/// Why the owner record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("reading the owner record {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the owner record {path} is damaged; undo its effects by hand (bridge, route, sysctls) and delete it"
    )]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("writing the owner record {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The effects of this node, oldest first.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    effects: Vec<Effect>,
}

impl Record {
    /// Reads the record in `folder`; a missing one is empty.
    pub fn open(folder: &Path) -> Result<Self, RecordError> {
        let path = folder.join("owned.json");
        let effects = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| RecordError::Parse { path: path.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(RecordError::Read { path, source }),
        };
        Ok(Self { path, effects })
    }

    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    pub fn owns(&self, effect: &Effect) -> bool {
        self.effects.contains(effect)
    }

    /// Writes `effect` down, durably. Call it before the effect is made.
    pub fn add(&mut self, effect: Effect) -> Result<(), RecordError> {
        if self.owns(&effect) {
            return Ok(());
        }
        self.effects.push(effect);
        self.save()
    }

    /// Strikes `effect` out after it was undone; an empty record is no file.
    pub fn strike(&mut self, effect: &Effect) -> Result<(), RecordError> {
        self.effects.retain(|kept| kept != effect);
        if !self.effects.is_empty() {
            return self.save();
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn save(&self) -> Result<(), RecordError> {
        let bytes =
            serde_json::to_vec_pretty(&self.effects).expect("effects hold only strings and addresses");
        write_whole(&self.path, &bytes).map_err(|error| self.error(error))
    }

    fn error(&self, source: io::Error) -> RecordError {
        RecordError::Write { path: self.path.clone(), source }
    }
}

/// Replaces `path` by `bytes`, durably: whoever reads it sees the old content or the new, never a part.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    // The name does not end in .conf, .conflist or .json: a CNI runtime that looks now does not take it up.
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_kept_once_and_survives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let bridge = Effect::Bridge { name: "muster0".into() };
        let mut record = Record::open(folder.path()).unwrap();
        record.add(bridge.clone()).unwrap();
        record.add(Effect::Table).unwrap();
        record.add(bridge.clone()).unwrap();
        let mut later = Record::open(folder.path()).unwrap();
        assert_eq!(later.effects(), [bridge.clone(), Effect::Table]);
        later.strike(&bridge).unwrap();
        assert_eq!(Record::open(folder.path()).unwrap().effects(), [Effect::Table]);
        later.strike(&Effect::Table).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_record_is_refused_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("owned.json"), "[{\"what\":\"table\"").unwrap();
        assert!(matches!(Record::open(folder.path()), Err(RecordError::Parse { .. })));
    }
}
