//! Every code of an error has its page and its row, and every page its code.
use std::collections::BTreeSet;

use crate::tidy::finding::{Finding, Rule};
use crate::tidy::tree::{Tree, is_test_path};

/// Where the command line's codes stand, one text each.
const CODES: &str = "crates/muster/src/failure/code.rs";
const PAGES: &str = "docs/errors/";
const INDEX: &str = "docs/errors/index.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.paths().iter().filter(|path| path.ends_with(".rs") && path.starts_with("crates/"));
    let mut given: BTreeSet<String> =
        tree.text(CODES).map(|text| between(&text, "=> \"")).unwrap_or_default().into_iter().collect();
    for path in sources.filter(|path| !is_test_path(path)) {
        given.extend(tree.text(path).map(|text| between(&text, "code = \"")).unwrap_or_default());
    }
    let pages = tree.paths().iter().filter_map(|path| path.strip_prefix(PAGES)?.strip_suffix(".md"));
    let pages: BTreeSet<String> = pages.filter(|name| *name != "index").map(str::to_owned).collect();
    compare(&given, &pages, &tree.text(INDEX).unwrap_or_default())
}

/// What stands between `mark` and the next quote.
fn between(text: &str, mark: &str) -> Vec<String> {
    let found = text.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
    found.map(str::to_owned).collect()
}

fn compare(given: &BTreeSet<String>, pages: &BTreeSet<String>, index: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |subject: String, what: String, remedy| {
        findings.push(Finding { subject, line: None, rule: Rule::NamedPath, measure: None, what, remedy });
    };
    for code in given.difference(pages) {
        report(INDEX.to_owned(), format!("the code {code} has no page"), "write docs/errors/<code>.md");
    }
    for code in pages.difference(given) {
        let page = format!("{PAGES}{code}.md");
        report(page, format!("nothing gives the code {code}"), "delete the page, or give the code");
    }
    for code in pages.iter().filter(|code| !index.contains(&format!("[{code}]({code}.md)"))) {
        report(INDEX.to_owned(), format!("the code {code} has no row"), "add a row with a link");
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn codes_are_read_from_the_table_and_from_the_log() {
        assert_eq!(between("A => \"disk-full\",\nB => \"b\"", "=> \""), ["disk-full", "b"]);
        assert_eq!(between("error!(code = \"store-read-only\", \"x\")", "code = \""), ["store-read-only"]);
    }

    #[test]
    fn a_code_without_a_page_a_page_without_a_code_and_a_page_without_a_row_are_told() {
        let findings = compare(&set(&["a", "b"]), &set(&["b", "c"]), "| [c](c.md) | x |");
        let told: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        let expected = ["the code a has no page", "nothing gives the code c", "the code b has no row"];
        assert_eq!(told, expected);
        assert_eq!(compare(&set(&["a"]), &set(&["a"]), "[a](a.md)"), []);
    }
}
