//! Every path that a document names exists; every code of an error has its page.
mod codes;

use std::collections::BTreeSet;
use std::fmt;

use super::finding::{Finding, Rule};
use super::tree::{Tree, TreeError};

/// Folders that documents may name even when the last file has gone from them.
const TOPS: &[&str] = &[".cargo", ".ci", "crates", "dist", "docs", "tests", "xtask"];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>, TreeError> {
    let tops = tops(tree.paths());
    let documents = tree.paths().iter().filter(|path| is_document(path));
    let mut findings = codes::check(tree);
    for document in documents {
        let text = tree.require_text(document)?;
        let missing = named(&text, document, &tops).into_iter().filter(|named| !is_there(tree, named));
        findings.extend(missing.map(|named| Finding {
            subject: document.clone(),
            line: Some(named.line),
            rule: Rule::NamedPath,
            measure: None,
            what: format!("names {named}, which does not exist"),
            remedy: "name what is there now",
        }));
    }
    Ok(findings)
}

/// A path, or a function in a file (`file.rs::name`), that a document names.
struct Named {
    line: usize,
    path: String,
    function: Option<String>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        self.function.iter().try_for_each(|function| write!(f, "::{function}"))
    }
}

fn is_there(tree: &Tree, named: &Named) -> bool {
    let holds = |function: &String| {
        tree.text(&named.path).is_some_and(|text| text.contains(&format!("fn {function}(")))
    };
    tree.exists(&named.path) && named.function.as_ref().is_none_or(holds)
}

fn is_document(path: &str) -> bool {
    matches!(path, "README.md" | "ARCHITECTURE.md") || path.starts_with("docs/") && path.ends_with(".md")
}

fn tops(paths: &[String]) -> BTreeSet<String> {
    let folders = paths.iter().filter_map(|path| path.split_once('/')).map(|(top, _)| top);
    folders.chain(TOPS.iter().copied()).map(str::to_owned).collect()
}

/// The paths that a document names, with their lines: targets of links, and words of code that begin with a folder
/// at the top of the tree. Patterns (`*`, `<…>`, `{…}`, `…`) name nothing.
fn named(text: &str, document: &str, tops: &BTreeSet<String>) -> Vec<Named> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let links = if fenced { Vec::new() } else { link_targets(line) };
        let line_number = index + 1;
        let link = |target| Named { line: line_number, path: beside(document, target), function: None };
        found.extend(links.into_iter().map(link));
        let code: Vec<&str> = if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        let words = code.into_iter().flat_map(str::split_whitespace).filter_map(|word| path_in(word, tops));
        found.extend(words.map(|(path, function)| Named { line: line_number, path, function }));
    }
    found
}

fn link_targets(line: &str) -> Vec<&str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local = targets.map(|target| target.split('#').next().unwrap_or_default());
    local
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

fn beside(document: &str, target: &str) -> String {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn path_in(word: &str, tops: &BTreeSet<String>) -> Option<(String, Option<String>)> {
    let word = word.trim_start_matches(['(', '"', '\'']).trim_start_matches("./");
    let word = word.trim_end_matches([')', ',', ';', '.', ':', '"', '\'', '/']);
    let (top, _) = word.split_once('/')?;
    if !tops.contains(top) || word.contains(['*', '<', '{', '$', '…']) {
        return None;
    }
    let function = word.split_once("::").map(|(_, name)| name.to_owned());
    // `file.rs:12` names the file.
    Some((word.split(':').next().unwrap_or(word).to_owned(), function))
}

#[cfg(test)]
mod tests {
    use super::{named, tops};

    fn check(document: &str, text: &str, expected: &[&str]) {
        let tops = tops(&["crates/base/src/lib.rs".to_owned(), "docs/errors/index.md".to_owned()]);
        let found: Vec<String> =
            named(text, document, &tops).into_iter().map(|named| format!("{} {named}", named.line)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn code_words_that_begin_with_a_folder_of_the_tree_are_paths() {
        check(
            "README.md",
            "see `crates/base` and\n`xtask/src/main.rs:12`, `docs/a.rs::b`, `./dist/up.sh`.",
            &["1 crates/base", "2 xtask/src/main.rs", "2 docs/a.rs::b", "2 dist/up.sh"],
        );
    }

    #[test]
    fn other_words_and_patterns_are_not() {
        check(
            "README.md",
            "crates/plain text, `var/lib/muster`, `crates/*/src`, `docs/<name>.md`, `base`",
            &[],
        );
    }

    #[test]
    fn words_in_fenced_code_are_looked_at_and_links_are_not() {
        check("README.md", "```sh\nsh dist/up.sh # [a](b)\n```\n`docs/x`", &["2 dist/up.sh", "4 docs/x"]);
    }

    #[test]
    fn links_are_relative_to_the_document() {
        check(
            "docs/errors/index.md",
            "[up](../glossary.md#word) [by](E1.md) [out](https://a.b/c) [in](#here)",
            &["1 docs/glossary.md", "1 docs/errors/E1.md"],
        );
    }
}
