//! What the binary may say at WARN or ERROR while a story runs; anything else fails the test.

use std::fs;
use std::path::Path;

/// A part of a line that may be said, and why it is then no fault of ours.
pub(crate) type Allowed = (&'static str, &'static str);

/// What the stories themselves bring about.
const ALWAYS: &[Allowed] = &[(
    "zones in which so many nodes fail that no pods are moved",
    "a node is not ready between its registration and the start of its network",
)];

/// The lines of all logs of a folder that warn of something not listed.
pub(crate) fn unlisted(folder: &Path, allowed: &[Allowed]) -> Vec<String> {
    let logs = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let words = logs
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    let lines: Vec<String> = words.flat_map(|text| warnings(&text)).collect();
    let listed = |line: &String| ALWAYS.iter().chain(allowed).any(|(part, _)| line.contains(part));
    lines.into_iter().filter(|line| !listed(line)).collect()
}

/// The level is the second word of a line.
fn warnings(text: &str) -> Vec<String> {
    let warns = |line: &&str| matches!(line.split_whitespace().nth(1), Some("WARN" | "ERROR"));
    let panicked = |line: &&str| line.contains("panicked at");
    text.lines().filter(|line| warns(line) || panicked(line)).map(str::to_owned).collect()
}

#[test]
fn warnings_errors_and_panics_are_seen_and_nothing_else() {
    let text = "2026-11-28T16:16:11Z  INFO muster: WARN is a word\n\
                2026-11-28T16:16:11Z  WARN muster: a\n\
                2026-11-28T16:16:11Z ERROR muster: b\n\
                thread 'main' panicked at src/main.rs:1\n";
    assert_eq!(warnings(text).len(), 3);
}
