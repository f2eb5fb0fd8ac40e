//! The share of plain comments: they say only why, a limit, or a source, so there are few.
use std::collections::BTreeMap;

use super::finding::{Finding, Rule};
use super::tree::{Source, crate_folder};

const SHARE_MAX_PERCENT: usize = 8;
/// A small crate may have this many before the share says anything.
const ALWAYS_ALLOWED_LINES: usize = 4;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Lines {
    code: usize,
    comments: usize,
}

/// One finding for each crate whose plain comments are more than 8 % of its lines of code.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Lines> = BTreeMap::new();
    for source in sources {
        let lines = count(&source.text);
        let sum = crates.entry(crate_folder(&source.path)).or_default();
        sum.code += lines.code;
        sum.comments += lines.comments;
    }
    crates.into_iter().filter_map(|(name, lines)| finding(name, lines)).collect()
}

fn finding(name: &str, lines: Lines) -> Option<Finding> {
    let allowed = (lines.code * SHARE_MAX_PERCENT / 100).max(ALWAYS_ALLOWED_LINES);
    (lines.comments > allowed).then(|| Finding {
        subject: name.to_owned(),
        line: None,
        rule: Rule::CommentShare,
        measure: Some(lines.comments),
        what: format!(
            "{} lines of plain comments beside {} of code, at most {SHARE_MAX_PERCENT} %",
            lines.comments, lines.code
        ),
        remedy: "delete those that retell the code",
    })
}

fn count(text: &str) -> Lines {
    let mut lines = Lines::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let doc = line.starts_with("///") || line.starts_with("//!");
        if line.starts_with("//") && !doc || line.starts_with("/*") {
            lines.comments += 1;
        } else if !doc {
            lines.code += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Lines, count, finding};

    #[test]
    fn doc_comments_are_neither_code_nor_plain_comments() {
        let text = "//! Module.\n\n/// Item.\nfn f() {\n    // why\n    g(); // trailing\n}\n";
        assert_eq!(count(text), Lines { code: 3, comments: 1 });
    }

    #[test]
    fn eight_percent_pass_and_one_line_more_does_not() {
        assert_eq!(finding("a", Lines { code: 100, comments: 8 }), None);
        assert_eq!(finding("a", Lines { code: 100, comments: 9 }).unwrap().measure, Some(9));
        assert_eq!(finding("a", Lines { code: 3, comments: 4 }), None);
    }
}
