use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use super::{Job, Outcome, Runner, RunnerError, State, file_name, quoted};

/// A stand-in for e2e.test: what a shell script makes of the flags it is given.
fn runner(folder: &tempfile::TempDir, script: &str) -> Runner {
    let program = folder.path().join("e2e.test");
    let flags = r#"for f in "$@"; do case "$f" in
        --ginkgo.json-report=*) report=${f#*=};; --ginkgo.focus=*) focus=${f#*=};; --ginkgo.timeout=*) limit=${f#*=};;
    esac; done"#;
    std::fs::write(&program, format!("#!/bin/sh\n{flags}\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, "").unwrap();
    Runner::new(&program, &kubeconfig, &folder.path().join("cache")).unwrap()
}

fn job(name: &str) -> Job {
    Job { name: name.to_owned(), limit_s: 120 }
}

fn outcomes(runner: &Runner, jobs: &[Job], procs: usize, deadline: Option<Instant>) -> Vec<Outcome> {
    let mut seen = Vec::new();
    let mut keep = |outcome: &Outcome| {
        seen.push(outcome.clone());
        Ok(())
    };
    runner.run(jobs, procs, deadline, &mut keep).unwrap();
    seen.sort_by(|a, b| a.name.cmp(&b.name));
    seen
}

const PASS: &str = r#"cat > "$report" <<J
[{"SpecReports":[{"LeafNodeType":"It","LeafNodeText":"${focus%$}","State":"passed","RunTime":1000000000}]}]
J"#;

#[test]
fn every_job_is_run_once_whatever_the_number_of_processes() {
    let folder = tempfile::tempdir().unwrap();
    let runner = runner(&folder, PASS);
    let jobs: Vec<Job> = ["a", "b", "c", "d", "e"].into_iter().map(job).collect();
    for procs in [1, 3, 9] {
        let names: Vec<String> =
            outcomes(&runner, &jobs, procs, None).iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["passed 1.0 s a", "passed 1.0 s b", "passed 1.0 s c", "passed 1.0 s d", "passed 1.0 s e"]
        );
    }
}

#[test]
fn a_process_that_leaves_no_report_has_failed_and_its_log_stays() {
    let folder = tempfile::tempdir().unwrap();
    let seen = outcomes(&runner(&folder, "echo panic; exit 2"), &[job("[sig-a] b")], 1, None);
    let log = folder.path().join(format!("cache/logs/{}.log", file_name("[sig-a] b")));
    assert_eq!(seen[0].state, State::Failed);
    assert_eq!(seen[0].message, format!("e2e.test left no report; see {}", log.display()));
    assert_eq!(std::fs::read_to_string(log).unwrap(), "panic\n");
}

#[test]
fn the_report_of_an_earlier_spec_is_not_taken_for_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let runner = runner(&folder, &format!("[ \"$focus\" != 'a$' ] || {{\n{PASS}\n}}"));
    let states: Vec<State> =
        outcomes(&runner, &[job("a"), job("b")], 1, None).iter().map(|o| o.state).collect();
    assert_eq!(states, [State::Passed, State::Failed]);
}

#[test]
fn nothing_is_begun_after_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(outcomes(&runner(&folder, PASS), &[job("a"), job("b")], 2, Some(Instant::now())), []);
}

#[test]
fn an_e2e_test_that_cannot_list_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let error = runner(&folder, "echo broken >&2; exit 1").specs().unwrap_err();
    assert_eq!(error.to_string(), "e2e.test could not list its specs: broken");
}

#[test]
fn a_missing_kubeconfig_is_refused_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    let Err(error) = Runner::new(&missing, &missing, folder.path()) else {
        panic!("made without a kubeconfig")
    };
    assert!(matches!(&error, RunnerError::Kubeconfig { path, .. } if *path == missing), "{error}");
}

#[test]
fn a_name_is_quoted_as_go_does() {
    assert_eq!(quoted("[sig-a] b.c (d) *e*"), r"\[sig-a\] b\.c \(d\) \*e\*");
}

#[test]
fn specs_that_begin_alike_have_logs_of_their_own() {
    let long = "[sig-a] ".to_owned() + &"very long ".repeat(20);
    let (one, other) = (file_name(&format!("{long}one")), file_name(&format!("{long}other")));
    assert_ne!(one, other);
    assert_eq!(&one[..21], "sig-a-very-long-very-");
    assert!(one.len() < 140 && one.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{one}");
}
