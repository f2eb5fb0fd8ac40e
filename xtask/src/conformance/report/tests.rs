use super::{State, names, outcome};

const REPORT: &str = r#"[{"SpecReports": [
    {"ContainerHierarchyTexts": null, "LeafNodeType": "SynchronizedBeforeSuite", "LeafNodeText": "",
     "State": "passed", "RunTime": 5},
    {"ContainerHierarchyTexts": ["[sig-a] B", "c"], "LeafNodeType": "It", "LeafNodeText": "does d [Conformance]",
     "State": "passed", "RunTime": 1500000000},
    {"ContainerHierarchyTexts": ["[sig-a] B"], "LeafNodeType": "It", "LeafNodeText": "fails [Conformance]",
     "State": "failed", "RunTime": 250000000, "Failure": {"Message": "\n  expected 1\nto equal 2"}},
    {"ContainerHierarchyTexts": ["[sig-a] B"], "LeafNodeType": "It", "LeafNodeText": "hangs [Conformance]",
     "State": "timedout", "RunTime": 120000000000, "Failure": {"Message": "A suite timeout occurred"}},
    {"ContainerHierarchyTexts": ["[sig-a] B"], "LeafNodeType": "It", "LeafNodeText": "other", "State": "skipped",
     "RunTime": 0}
]}]"#;

fn line(report: &str, name: &str) -> String {
    outcome(report, name).unwrap().to_string()
}

#[test]
fn a_spec_is_named_by_its_containers_and_its_own_text() {
    assert_eq!(names(REPORT).unwrap(), ["[sig-a] B c does d [Conformance]"]);
}

#[test]
fn each_state_is_read_with_its_time_and_the_first_lines_of_its_failure() {
    assert_eq!(
        line(REPORT, "[sig-a] B c does d [Conformance]"),
        "passed 1.5 s [sig-a] B c does d [Conformance]"
    );
    assert_eq!(
        line(REPORT, "[sig-a] B fails [Conformance]"),
        "FAILED 0.2 s [sig-a] B fails [Conformance]\n    expected 1 to equal 2"
    );
    assert_eq!(
        line(REPORT, "[sig-a] B hangs [Conformance]"),
        "TIMED OUT 120.0 s [sig-a] B hangs [Conformance]\n    A suite timeout occurred"
    );
}

#[test]
fn a_suite_that_fails_before_the_spec_fails_the_spec() {
    let report = REPORT.replace(
        r#""State": "passed", "RunTime": 5"#,
        r#""State": "failed", "RunTime": 5, "Failure": {"Message": "no node is ready"}"#,
    );
    let found = outcome(&report, "[sig-a] B other").unwrap();
    assert_eq!(
        (found.state, found.message.as_str()),
        (State::Failed, "in SynchronizedBeforeSuite: no node is ready")
    );
}

#[test]
fn a_spec_that_was_not_run_is_not_passed() {
    let found = outcome("[]", "[sig-a] B other").unwrap();
    assert_eq!((found.state, found.message.as_str()), (State::Failed, "ginkgo ran no spec of this name"));
}

#[test]
fn a_report_that_is_cut_off_is_an_error() {
    assert!(outcome(&REPORT[..REPORT.len() / 2], "x").unwrap_err().is_eof());
}
