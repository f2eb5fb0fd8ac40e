use super::{Finding, Rule, apply, grown, parse};

fn size(subject: &str, measure: usize) -> Finding {
    Finding {
        subject: subject.to_owned(),
        line: None,
        rule: Rule::FileSize,
        measure: Some(measure),
        what: "too long".to_owned(),
        remedy: "split it",
    }
}

fn left(rows: &str, findings: Vec<Finding>) -> Vec<String> {
    apply(&parse(rows).unwrap(), findings).iter().map(ToString::to_string).collect()
}

#[test]
fn a_row_lets_its_subject_pass_up_to_its_size() {
    assert_eq!(left("# why\n\nfile-size a.rs 612", vec![size("a.rs", 612)]), Vec::<String>::new());
    assert_eq!(
        left("file-size a.rs 612", vec![size("a.rs", 613)]),
        [
            "a.rs: file-size: too long; split it",
            "xtask/tidy-exceptions.txt:1: exception: nothing needs the row for `a.rs`; delete the row"
        ]
    );
}

#[test]
fn a_row_for_another_rule_or_subject_lets_nothing_pass() {
    assert_eq!(left("glob a.rs", vec![size("a.rs", 9)]).len(), 2);
    assert_eq!(left("file-size b.rs 9", vec![size("a.rs", 9)]).len(), 2);
}

#[test]
fn a_row_larger_than_needed_must_be_lowered() {
    assert_eq!(
        left("file-size a.rs 700", vec![size("a.rs", 650)]),
        ["xtask/tidy-exceptions.txt:1: exception: `a.rs` is down to 650; write the smaller size in its row"]
    );
}

#[test]
fn a_subject_may_hold_spaces() {
    let finding =
        Finding { subject: "a -> b".to_owned(), rule: Rule::Dependency, measure: None, ..size("", 0) };
    assert_eq!(left("dependency a -> b", vec![finding]), Vec::<String>::new());
}

#[test]
fn the_list_may_only_shrink() {
    let grown = |now: &str, before| grown(&parse(now).unwrap(), before).unwrap().len();
    assert_eq!(grown("file-size a.rs 600", Some("file-size a.rs 600\nglob b.rs")), 0);
    assert_eq!(grown("file-size a.rs 599", Some("file-size a.rs 600")), 0);
    assert_eq!(grown("file-size a.rs 601", Some("file-size a.rs 600")), 1);
    assert_eq!(grown("glob b.rs", Some("")), 1);
    assert_eq!(grown("glob b.rs", None), 0);
}

#[test]
fn a_row_that_says_nothing_is_refused_with_its_line() {
    let message = |text| parse(text).unwrap_err().to_string();
    assert_eq!(
        message("\nglobs a.rs"),
        "xtask/tidy-exceptions.txt:2: there is no rule `globs`; write `rule subject` or `rule subject size`"
    );
    assert_eq!(
        message("glob"),
        "xtask/tidy-exceptions.txt:1: `glob` has no subject; write `rule subject` or `rule subject size`"
    );
}
