//! The names of the files.

use crate::key::Revision;

const SEGMENT: (&str, &str) = ("log-", ".wal");
const CHECKPOINT: (&str, &str) = ("checkpoint-", "");
const UNFINISHED: &str = ".new";

pub(crate) fn segment(first: Revision) -> String {
    format!("{}{:020}{}", SEGMENT.0, first.get(), SEGMENT.1)
}

pub(crate) fn checkpoint(revision: Revision) -> String {
    format!("{}{:020}{}", CHECKPOINT.0, revision.get(), CHECKPOINT.1)
}

pub(crate) fn unfinished(name: &str) -> String {
    format!("{name}{UNFINISHED}")
}

/// The store's files in a directory; others are none of its business.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// First revisions, rising.
    pub(crate) segments: Vec<Revision>,
    /// Revisions, rising.
    pub(crate) checkpoints: Vec<Revision>,
    pub(crate) unfinished: Vec<String>,
}

impl Files {
    pub(crate) fn sort(names: Vec<String>) -> Self {
        let mut files = Self::default();
        for name in names {
            let whole = name.strip_suffix(UNFINISHED);
            let stem = whole.unwrap_or(&name);
            let found = (parse(stem, SEGMENT), parse(stem, CHECKPOINT));
            match (whole.is_some(), found) {
                (true, (Some(_), _) | (_, Some(_))) => files.unfinished.push(name),
                (false, (Some(first), _)) => files.segments.push(first),
                (false, (_, Some(revision))) => files.checkpoints.push(revision),
                (_, (None, None)) => {}
            }
        }
        files.segments.sort_unstable();
        files.checkpoints.sort_unstable();
        files
    }
}

fn parse(name: &str, (prefix, suffix): (&str, &str)) -> Option<Revision> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let exact = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    exact.then(|| digits.parse().ok().map(Revision::new)).flatten()
}
