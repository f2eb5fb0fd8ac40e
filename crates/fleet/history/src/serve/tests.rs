use serde_json::{Value, json};

use super::reply::Reply;
use super::{changes, states};
use crate::database::Database;
use crate::database::tests::Bench;
use crate::kinds::Kind;

fn run(phase: &str) -> Option<Value> {
    Some(json!({"spec": {"workflow": "reboot"}, "status": {"phase": phase}}))
}

fn problem(class: &str, state: &str, count: u32) -> Value {
    json!({"spec": {"class": class}, "status": {"state": state, "count": count}})
}

type List = fn(&Database, &str) -> Reply;

/// All pages of a list.
fn pages(bench: &Bench, list: List, query: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut next = String::new();
    loop {
        let page: Value = list(bench.database(), &format!("{query}{next}")).body();
        pages.push(page["items"].as_array().expect("a list").clone());
        match page["metadata"]["continue"].as_str().expect("a token") {
            "" => return pages,
            token => next = format!("&continue={token}"),
        }
    }
}

#[test]
fn states_tell_what_each_object_was_last_also_when_it_is_gone() {
    let mut bench = Bench::new();
    bench.sees(Kind::Run, "r1", 1, run("Pending"));
    bench.sees(Kind::Run, "r2", 2, run("Pending"));
    bench.sees(Kind::Problem, "p1", 3, Some(problem("io.stall", "Open", 1)));
    bench.sees(Kind::Run, "r1", 1, run("Succeeded"));
    bench.sees(Kind::Run, "r1", 1, None);
    bench.reopen();
    let told: Vec<(Value, Value, Value)> = pages(&bench, states::list, "kind=Run")
        .concat()
        .into_iter()
        .map(|item| (item["name"].clone(), item["there"].clone(), item["object"]["status"]["phase"].clone()))
        .collect();
    assert_eq!(
        told,
        [(json!("r1"), json!(false), json!("Succeeded")), (json!("r2"), json!(true), json!("Pending")),]
    );
    // A namesake is what there was last.
    bench.sees(Kind::Run, "r1", 4, run("Running"));
    let item = pages(&bench, states::list, "kind=Run").concat().remove(0);
    assert_eq!((&item["there"], &item["object"]["status"]["phase"]), (&json!(true), &json!("Running")));
}

#[test]
fn changes_of_all_objects_come_object_by_object_and_page_by_page() {
    let mut bench = Bench::with_segments(1 << 20);
    let names: Vec<String> = (0..4500).map(|number| format!("p{number}")).collect();
    for (state, count) in [("Suspect", 1), ("Open", 2), ("Open", 3)] {
        bench.sees_all(
            names.iter().map(|name| (Kind::Problem, name.clone(), problem("io.stall", state, count))),
        );
    }
    bench.sees(Kind::Problem, "p7", 1, None);
    let pages = pages(&bench, changes::list, "kind=Problem&field=spec.class&field=status.state");
    assert_eq!(pages.len(), 3, "2000 objects at a time");
    let all = pages.concat();
    // Made, opened; what is counted alone is not asked for; and the end of one.
    assert_eq!(all.len(), 3 * 4500 + 2);
    let mut seen: Vec<&str> = all.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    seen.dedup();
    assert_eq!(seen, names.iter().map(String::as_str).collect::<Vec<_>>());
    let of_one: Vec<String> = all
        .iter()
        .filter(|row| row["name"] == "p7")
        .map(|row| format!("{} {} {}", row["operation"], row["field"], row["new"]).replace('"', ""))
        .collect();
    assert_eq!(
        of_one,
        [
            "Create spec.class io.stall",
            "Create status.state Suspect",
            "Update status.state Open",
            "Delete spec.class null",
            "Delete status.state null",
        ]
    );
}

#[test]
fn a_page_ends_behind_the_object_with_which_it_became_full() {
    let mut bench = Bench::with_segments(1 << 20);
    let changes = (0..6000).flat_map(|number| ["p1", "p2"].map(|name| (name, number)));
    bench.sees_all(
        changes.map(|(name, number)| (Kind::Problem, name.to_owned(), problem("io.stall", "Open", number))),
    );
    let page = |query: &str| changes::list(bench.database(), query).body();
    let first = page("kind=Problem&field=status.count");
    let names = |page: &Value| {
        let mut names: Vec<String> =
            page["items"].as_array().expect("a list").iter().map(|row| row["name"].to_string()).collect();
        names.dedup();
        names
    };
    assert_eq!(names(&first), [r#""p1""#]);
    assert_eq!(first["metadata"], json!({"leftOut": 1000, "continue": "1"}), "that is told");
    let last = page("kind=Problem&field=status.count&continue=1");
    assert_eq!((names(&last), &last["metadata"]["continue"]), (vec![r#""p2""#.to_owned()], &json!("")));
}

#[test]
fn what_cannot_be_listed_is_refused_with_what_is_wrong() {
    let bench = Bench::new();
    let cases: [(List, &str, u16, &str); 8] = [
        (changes::list, "", 422, "which kind? add kind=Machine"),
        (states::list, "", 422, "which kind? add kind=Machine"),
        (
            states::list,
            "kind=Pod",
            422,
            r#"kind "Pod" has no history; these have: Machine, Inventory, Problem, MachineRole, Run, Site, Rack, HardwareProfile"#,
        ),
        (states::list, "kind=Run&name=r1", 422, r#"there is no parameter "name""#),
        (states::list, "kind=Run&continue=r1", 422, r#"continue: "r1" is no token that a list gave"#),
        (changes::list, "kind=Run&since=today", 422, r#"since: "today" is no RFC 3339 time"#),
        (changes::list, "kind=Run&colour=red", 422, r#"there is no parameter "colour""#),
        (changes::list, "kind=Run&name=r1", 404, r#"the history knows no Run "r1""#),
    ];
    for (list, query, code, words) in cases {
        let refused = list(bench.database(), query).body();
        assert_eq!((&refused["code"], &refused["message"]), (&json!(code), &json!(words)), "{query}");
    }
}
