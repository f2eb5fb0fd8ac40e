//! Kernel settings by dotted name, with a note of what they were.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(super) enum SysctlError {
    #[error("sysctl {name:?}: a name is made of letters, digits, dots, dashes and underscores")]
    Name { name: String },
    #[error("sysctl {name}: cannot read it: does this kernel have it?")]
    Read {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("sysctl {name}: cannot set it to {value:?}")]
    Write {
        name: String,
        value: String,
        #[source]
        source: io::Error,
    },
    #[error("sysctl {name}: set to {value:?}, but the kernel says {found:?}")]
    NotKept { name: String, value: String, found: String },
    #[error("cannot note the former values in {}", .path.display())]
    Note {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn path(proc: &Path, name: &str) -> Result<PathBuf, SysctlError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let parts: Vec<&str> = name.split('.').collect();
    if !name.chars().all(allowed) || parts.iter().any(|part| part.is_empty()) {
        return Err(SysctlError::Name { name: name.to_owned() });
    }
    Ok(parts.iter().fold(proc.join("sys"), |path, part| path.join(part)))
}

/// Words compared without regard to how the kernel spaces them.
fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// Brings the settings about. `note` keeps the value each had before it was first touched. Says what changed.
pub(super) fn ensure(
    proc: &Path,
    note: &Path,
    wanted: &BTreeMap<String, String>,
) -> Result<Vec<String>, SysctlError> {
    let noted = |source| SysctlError::Note { path: note.to_owned(), source };
    let mut former: BTreeMap<String, String> = match fs::read(note) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| noted(error.into()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(noted(error)),
    };
    let mut changes = Vec::new();
    for (name, value) in wanted {
        let path = path(proc, name)?;
        let read =
            || fs::read_to_string(&path).map_err(|source| SysctlError::Read { name: name.clone(), source });
        let before = read()?;
        if same(&before, value) {
            continue;
        }
        former.entry(name.clone()).or_insert_with(|| before.trim().to_owned());
        note.parent().map_or(Ok(()), fs::create_dir_all).map_err(noted)?;
        let text = serde_json::to_vec(&former).map_err(|error| noted(error.into()))?;
        fs::write(note, text).map_err(noted)?;
        fs::write(&path, value).map_err(|source| SysctlError::Write {
            name: name.clone(),
            value: value.clone(),
            source,
        })?;
        let found = read()?;
        if !same(&found, value) {
            return Err(SysctlError::NotKept {
                name: name.clone(),
                value: value.clone(),
                found: found.trim().to_owned(),
            });
        }
        changes.push(format!("{name}: {} -> {value}", before.trim()));
    }
    Ok(changes)
}

/// Brings the noted former values back and forgets them.
pub(super) fn restore(proc: &Path, note: &Path) -> io::Result<()> {
    let former: BTreeMap<String, String> = match fs::read(note) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for (name, value) in &former {
        let path = path(proc, name).map_err(io::Error::other)?;
        fs::write(path, value)?;
    }
    fs::remove_file(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_changed_once_and_its_first_value_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, note) = (dir.path().join("proc"), dir.path().join("note.json"));
        fs::create_dir_all(proc.join("sys/net/ipv4")).unwrap();
        fs::write(proc.join("sys/net/ipv4/ip_forward"), "0\n").unwrap();
        let want = |value: &str| BTreeMap::from([("net.ipv4.ip_forward".to_owned(), value.to_owned())]);
        assert_eq!(ensure(&proc, &note, &want("1")).unwrap(), ["net.ipv4.ip_forward: 0 -> 1"]);
        assert_eq!(ensure(&proc, &note, &want("1")).unwrap(), Vec::<String>::new());
        assert_eq!(ensure(&proc, &note, &want("2")).unwrap().len(), 1);
        assert_eq!(fs::read_to_string(&note).unwrap(), r#"{"net.ipv4.ip_forward":"0"}"#);
        for _ in 0..2 {
            restore(&proc, &note).unwrap();
            assert_eq!(fs::read_to_string(proc.join("sys/net/ipv4/ip_forward")).unwrap(), "0");
            assert!(!note.exists());
        }
    }

    #[test]
    fn a_name_cannot_leave_the_settings() {
        let wanted = |name: &str| BTreeMap::from([(name.to_owned(), "1".to_owned())]);
        for name in ["../x", "a/b", "", "a..b"] {
            let refused = ensure(Path::new("/none"), Path::new("/none/n"), &wanted(name));
            assert!(matches!(refused, Err(SysctlError::Name { .. })), "{name}");
        }
    }
}
