//! Words that may not stand in the tree.
use super::finding::{Finding, Rule};
use super::tree::{Tree, TreeError};

/// A pattern is put together here so that this file does not hold it.
struct Word {
    pattern: &'static str,
    place: Place,
    what: &'static str,
    remedy: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Anywhere in a Rust file.
    Rust,
    /// Anywhere in any text file.
    Anywhere,
    /// In any text file, as the beginning of an absolute path.
    AbsolutePath,
}

const WORDS: &[Word] = &[
    Word {
        pattern: concat!("to", "do!("),
        place: Place::Rust,
        what: "a hole that panics",
        remedy: "answer a typed refusal until it is done",
    },
    Word {
        pattern: concat!("unimple", "mented!("),
        place: Place::Rust,
        what: "a hole that panics",
        remedy: "answer a typed refusal until it is done",
    },
    Word {
        pattern: concat!("FIX", "ME"),
        place: Place::Anywhere,
        what: "a note to oneself",
        remedy: "mend it, or file an issue and delete the note",
    },
    Word {
        pattern: concat!("#[ig", "nore]"),
        place: Place::Rust,
        what: "a test that is ignored without a reason",
        remedy: "write #[ignore = \"why, and what runs it\"] or delete the test",
    },
    Word {
        pattern: concat!("/wo", "rk/"),
        place: Place::AbsolutePath,
        what: "an absolute path of one workplace",
        remedy: "use a path relative to the tree, or a setting",
    },
    Word {
        pattern: concat!("/ro", "ot/"),
        place: Place::AbsolutePath,
        what: "an absolute path of one workplace",
        remedy: "use a path relative to the tree, $HOME, or a setting",
    },
];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>, TreeError> {
    let mut findings = Vec::new();
    for path in tree.paths().iter().filter(|path| is_written_by_people(path)) {
        let Some(text) = tree.text(path) else { continue };
        for (index, line) in text.lines().enumerate() {
            findings.extend(in_line(path, line).map(|word| finding(path, index + 1, word)));
        }
    }
    Ok(findings)
}

/// Locks and data tables are written by programs.
fn is_written_by_people(path: &str) -> bool {
    const DATA: &[&str] = &[".lock", "go.sum", ".json", ".csv", ".tsv", ".pb", ".proto", ".gz", ".zst"];
    !DATA.iter().any(|end| path.ends_with(end))
}

fn in_line<'a>(path: &'a str, line: &'a str) -> impl Iterator<Item = &'static Word> {
    let rust = path.ends_with(".rs");
    WORDS.iter().filter(move |word| match word.place {
        Place::Rust => rust && line.contains(word.pattern),
        Place::Anywhere => line.contains(word.pattern),
        Place::AbsolutePath => line.match_indices(word.pattern).any(|(at, _)| begins_a_path(&line[..at])),
    })
}

fn begins_a_path(before: &str) -> bool {
    !before.ends_with(|last: char| {
        last.is_alphanumeric() || matches!(last, '_' | '-' | '.' | '}' | ')' | '*' | '/' | '>')
    })
}

fn finding(path: &str, line: usize, word: &Word) -> Finding {
    Finding {
        subject: path.to_owned(),
        line: Some(line),
        rule: Rule::Word,
        measure: None,
        what: format!("`{}`: {}", word.pattern, word.what),
        remedy: word.remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::{in_line, is_written_by_people};

    fn patterns(path: &str, line: &str) -> Vec<&'static str> {
        in_line(path, line).map(|word| word.pattern).collect()
    }

    #[test]
    fn holes_and_ignored_tests_are_found_in_rust() {
        assert_eq!(patterns("a.rs", concat!("    to", "do!(\"later\")")), [concat!("to", "do!(")]);
        assert_eq!(patterns("a.rs", concat!("#[ig", "nore]")), [concat!("#[ig", "nore]")]);
        assert_eq!(patterns("a.rs", "#[ignore = \"needs root: make test\"]"), Vec::<&str>::new());
        assert_eq!(patterns("a.md", concat!("#[ig", "nore]")), Vec::<&str>::new());
    }

    #[test]
    fn notes_to_oneself_are_found_anywhere() {
        assert_eq!(patterns("Makefile", concat!("# FIX", "ME later")), [concat!("FIX", "ME")]);
    }

    #[test]
    fn only_the_beginning_of_an_absolute_path_counts() {
        let found = |line: &str| patterns("a.sh", line).len();
        assert_eq!(found(concat!("cd /wo", "rk/main")), 1);
        assert_eq!(found(concat!("A=/ro", "ot/x")), 1);
        assert_eq!(found(concat!("mkdir $D/wo", "rk/upper a/ro", "ot/x {dir}/wo", "rk/")), 0);
    }

    #[test]
    fn locks_and_data_are_left_alone() {
        assert!(is_written_by_people("tests/upstream/build"));
        assert!(!is_written_by_people("Cargo.lock"));
        assert!(!is_written_by_people("crates/engine/schema/data/kinds.json"));
    }
}
