use std::io::Write;

use super::{Kept, Outcome, read_names, write_names};
use crate::conformance::report::State;

fn outcome(name: &str, state: State) -> Outcome {
    Outcome { name: name.to_owned(), state, seconds: 0.5, message: String::new() }
}

fn names(kept: &Kept) -> Vec<(&str, State)> {
    kept.outcomes().values().map(|outcome| (outcome.name.as_str(), outcome.state)).collect()
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.jsonl");
    let mut kept = Kept::open(&path, "run 1", false).unwrap();
    kept.add(&outcome("a", State::Failed)).unwrap();
    kept.add(&outcome("b", State::Passed)).unwrap();
    kept.add(&outcome("a", State::Passed)).unwrap();
    drop(kept);
    assert_eq!(
        names(&Kept::open(&path, "run 1", false).unwrap()),
        [("a", State::Passed), ("b", State::Passed)]
    );
}

#[test]
fn another_run_a_fresh_one_or_one_after_a_finished_one_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.jsonl");
    let begin = || {
        let mut kept = Kept::open(&path, "run 1", true).unwrap();
        kept.add(&outcome("a", State::Passed)).unwrap();
        kept
    };
    drop(begin());
    assert_eq!(names(&Kept::open(&path, "run 2", false).unwrap()), []);
    drop(begin());
    assert_eq!(names(&Kept::open(&path, "run 1", true).unwrap()), []);
    begin().finish().unwrap();
    assert_eq!(names(&Kept::open(&path, "run 1", false).unwrap()), []);
}

#[test]
fn a_line_that_was_cut_in_half_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.jsonl");
    let mut kept = Kept::open(&path, "run 1", false).unwrap();
    kept.add(&outcome("a", State::Passed)).unwrap();
    kept.file.write_all(b"{\"name\":\"b\",\"sta").unwrap();
    drop(kept);
    let mut kept = Kept::open(&path, "run 1", false).unwrap();
    assert_eq!(names(&kept), [("a", State::Passed)]);
    kept.add(&outcome("c", State::Passed)).unwrap();
    drop(kept);
    assert_eq!(
        names(&Kept::open(&path, "run 1", false).unwrap()),
        [("a", State::Passed), ("c", State::Passed)]
    );
}

#[test]
fn the_list_is_sorted_and_without_doubles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passing.txt");
    assert_eq!(read_names(&path).unwrap().len(), 0);
    let given = ["b two".to_owned(), "a one".to_owned(), "b two".to_owned()];
    write_names(&path, given.iter()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a one\nb two\n");
    assert_eq!(read_names(&path).unwrap().into_iter().collect::<Vec<_>>(), ["a one", "b two"]);
}
