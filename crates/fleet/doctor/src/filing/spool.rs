//! Changes of state that the API does not know yet: in order, bounded, and in a file where there is a place for one.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use muster_api::problem::ProblemStatus;
use serde::{Deserialize, Serialize};

use crate::diagnosis::cases::Key;

/// Bytes that wait at most; the same in memory and in the file, and well below the 32 MiB that a doctor may keep.
const BYTES_MAX: usize = 4 << 20;
/// Name of the file in the state directory.
const FILE: &str = "spool.jsonl";

/// One change of state of one problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) class: String,
    pub(crate) component: String,
    pub(crate) status: ProblemStatus,
    /// It was found by a doctor that ended since, who may have filed it.
    #[serde(skip)]
    pub(crate) is_old: bool,
}

impl Change {
    pub(crate) fn key(&self) -> Key {
        Key { class: self.class.clone(), component: self.component.clone() }
    }
}

struct Waiting {
    change: Change,
    bytes: usize,
}

/// The changes that wait.
pub(crate) struct Spool {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    lost: u64,
    file: Option<PathBuf>,
    log: Option<File>,
}

impl Spool {
    /// What waited in an earlier life, where there is a directory that knows it.
    pub(crate) fn open(dir: Option<&Path>) -> Self {
        let file = dir.map(|dir| dir.join(FILE));
        let mut spool = Self { waiting: VecDeque::new(), bytes: 0, lost: 0, file, log: None };
        let text = spool.file.as_ref().map(std::fs::read_to_string).transpose();
        let text = text.unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "what waited to be filed cannot be read");
            }
            None
        });
        for line in text.unwrap_or_default().lines() {
            match serde_json::from_str(line) {
                Ok(change) => spool.keep(Change { is_old: true, ..change }, line.len()),
                // The last line of a doctor that was killed while it wrote.
                Err(error) => tracing::debug!(%error, "a line of what waited to be filed is damaged"),
            }
        }
        spool
    }

    /// Puts a change behind the others. One that only said "suspect" of the same problem says nothing more then.
    pub(crate) fn push(&mut self, change: Change) {
        let line = match serde_json::to_string(&change) {
            Ok(line) => line,
            Err(error) => return tracing::warn!(%error, "a change of state cannot be written down"),
        };
        self.write(&line);
        self.keep(change, line.len());
    }

    fn keep(&mut self, change: Change, bytes: usize) {
        let suspect = muster_api::problem::State::Suspect;
        let same = |waiting: &Waiting| {
            waiting.change.status.state == suspect
                && waiting.change.class == change.class
                && waiting.change.component == change.component
        };
        if let Some(at) = self.waiting.iter().rposition(same)
            && let Some(old) = self.waiting.remove(at)
        {
            self.bytes -= old.bytes;
        }
        self.bytes += bytes;
        self.waiting.push_back(Waiting { change, bytes });
        while BYTES_MAX < self.bytes {
            self.drop_one();
        }
    }

    /// First the evidence of the old ones goes, then the old ones themselves; that is counted and told.
    fn drop_one(&mut self) {
        let rich = self.waiting.iter_mut().find(|waiting| 1 < waiting.change.status.evidence.len());
        if let Some(waiting) = rich {
            waiting.change.status.evidence.truncate(1);
            let left = serde_json::to_string(&waiting.change).map_or(0, |line| line.len());
            self.bytes -= waiting.bytes - left.min(waiting.bytes);
            waiting.bytes = left.min(waiting.bytes);
        } else if let Some(old) = self.waiting.pop_front() {
            self.bytes -= old.bytes;
            self.lost += 1;
            tracing::error!(
                lost = self.lost,
                "more changes of state wait to be filed than are kept; old ones are lost"
            );
        }
    }

    /// The one that is to be filed next.
    pub(crate) fn front(&self) -> Option<&Change> {
        self.waiting.front().map(|waiting| &waiting.change)
    }

    /// The first was filed.
    pub(crate) fn pop(&mut self) {
        if let Some(done) = self.waiting.pop_front() {
            self.bytes -= done.bytes;
        }
        if self.waiting.is_empty() {
            self.empty_file();
        }
    }

    /// Everything that waits.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.waiting.iter().map(|waiting| &waiting.change)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn write(&mut self, line: &str) {
        let Some(path) = self.file.clone() else { return };
        if let Err(error) = self.append(&path, line) {
            tracing::warn!(%error, "what waits to be filed cannot be written down");
        }
    }

    fn append(&mut self, path: &Path, line: &str) -> io::Result<()> {
        if self.log.as_ref().map(File::metadata).transpose()?.is_some_and(|log| is_long(log.len())) {
            self.log = Some(self.rewrite(path, line)?);
            return Ok(());
        }
        let mut log = match self.log.take() {
            Some(log) => log,
            None => OpenOptions::new().create(true).append(true).open(path)?,
        };
        log.write_all(format!("{line}\n").as_bytes())?;
        self.log = Some(log);
        Ok(())
    }

    /// The file holds what was filed long ago too; anew it holds what waits.
    fn rewrite(&self, path: &Path, line: &str) -> io::Result<File> {
        let mut lines = String::new();
        for change in self.changes() {
            lines.push_str(&serde_json::to_string(change)?);
            lines.push('\n');
        }
        let next = path.with_extension("next");
        std::fs::write(&next, format!("{lines}{line}\n"))?;
        std::fs::rename(&next, path)?;
        OpenOptions::new().append(true).open(path)
    }

    fn empty_file(&mut self) {
        let Some(path) = &self.file else { return };
        self.log = None;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "what was filed cannot be struck from the file of what waits");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

fn is_long(bytes: u64) -> bool {
    usize::try_from(bytes).map_or(true, |bytes| 2 * BYTES_MAX < bytes)
}

#[cfg(test)]
mod tests {
    use muster_api::problem::{Evidence, State};

    use super::*;

    fn change(component: &str, state: State, episode: i64) -> Change {
        let status = ProblemStatus { state, episode, ..ProblemStatus::default() };
        Change { class: "nic.down".into(), component: component.into(), status, is_old: false }
    }

    fn shown(spool: &Spool) -> Vec<String> {
        let row = |change: &Change| {
            format!("{} {} {}", change.component, change.status.state.as_str(), change.status.episode)
        };
        spool.changes().map(row).collect()
    }

    #[test]
    fn changes_keep_their_order_and_survive_the_doctor() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(Some(dir.path()));
        for (component, state, episode) in [
            ("eth0", State::Suspect, 0),
            ("eth1", State::Suspect, 0),
            ("eth0", State::Open, 1),
            ("eth0", State::Clear, 1),
            ("eth0", State::Suspect, 1),
            ("eth0", State::Open, 2),
        ] {
            spool.push(change(component, state, episode));
        }
        let expected = ["eth1 Suspect 0", "eth0 Open 1", "eth0 Clear 1", "eth0 Open 2"];
        assert_eq!(shown(&spool), expected);
        drop(spool);
        let mut spool = Spool::open(Some(dir.path()));
        assert_eq!(shown(&spool), expected);
        while spool.front().is_some() {
            spool.pop();
        }
        assert_eq!(shown(&Spool::open(Some(dir.path()))), Vec::<String>::new());
    }

    #[test]
    fn a_half_written_line_costs_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        Spool::open(Some(dir.path())).push(change("eth0", State::Open, 1));
        let mut file = OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        file.write_all(b"{\"class\":\"nic").unwrap();
        assert_eq!(shown(&Spool::open(Some(dir.path()))), ["eth0 Open 1"]);
    }

    #[test]
    fn what_waits_is_bounded_and_evidence_goes_before_changes() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(Some(dir.path()));
        let evidence = Evidence { at: jiff::Timestamp::UNIX_EPOCH, text: "x".repeat(500) };
        for number in 0..2000 {
            let mut change = change(&format!("eth{number}"), State::Open, 1);
            change.status.evidence = vec![evidence.clone(); 16];
            spool.push(change);
        }
        assert!(spool.bytes <= BYTES_MAX, "{}", spool.bytes);
        assert_eq!((spool.len(), spool.lost), (2000, 0));
        for number in 0..10_000 {
            let mut change = change(&format!("eth{number}"), State::Clear, 1);
            change.status.evidence = vec![evidence.clone(); 1];
            spool.push(change);
        }
        assert!(spool.bytes <= BYTES_MAX && 0 < spool.lost, "{} {}", spool.bytes, spool.lost);
        let file = std::fs::metadata(dir.path().join(FILE)).unwrap().len();
        assert!(file < 32 << 20, "{file} bytes");
    }
}
