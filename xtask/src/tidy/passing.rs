//! The list of conformance specs that pass: sorted, without doubles, and no name is ever lost.
use std::collections::BTreeSet;

use super::finding::{Finding, Rule};

pub(super) const PATH: &str = "tests/conformance/passing.txt";

/// `earlier` is the list as the commit before has it.
pub(super) fn check(now: &str, earlier: Option<&str>) -> Vec<Finding> {
    let names: BTreeSet<&str> = now.lines().collect();
    let lost = earlier.into_iter().flat_map(str::lines).filter(|name| !names.contains(name));
    let mut findings: Vec<Finding> = lost
        .map(|name| {
            finding(
                None,
                format!("`{name}` is gone from the list"),
                "make the spec pass again, and put it back",
            )
        })
        .collect();
    let disorder = now.lines().zip(now.lines().skip(1)).position(|(one, next)| one >= next);
    findings.extend(disorder.map(|index| {
        finding(
            Some(index + 2),
            "out of order, or twice".to_owned(),
            "sort the list with LC_ALL=C sort --unique",
        )
    }));
    findings
}

fn finding(line: Option<usize>, what: String, remedy: &'static str) -> Finding {
    Finding { subject: PATH.to_owned(), line, rule: Rule::ConformanceList, measure: None, what, remedy }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn found(now: &str, earlier: Option<&str>) -> Vec<String> {
        check(now, earlier)
            .into_iter()
            .map(|finding| format!("{:?} {}", finding.line, finding.what))
            .collect()
    }

    #[test]
    fn a_name_may_be_added_and_never_lost() {
        assert_eq!(found("a\nb\nc\n", Some("b\n")), Vec::<String>::new());
        assert_eq!(found("a\nc\n", Some("b\nc\n")), ["None `b` is gone from the list"]);
        assert_eq!(found("a\n", None), Vec::<String>::new());
    }

    #[test]
    fn the_list_is_sorted_and_without_doubles() {
        assert_eq!(found("a\nc\nb\n", None), ["Some(3) out of order, or twice"]);
        assert_eq!(found("a\na\n", None), ["Some(2) out of order, or twice"]);
        assert_eq!(found("", None), Vec::<String>::new());
    }
}
