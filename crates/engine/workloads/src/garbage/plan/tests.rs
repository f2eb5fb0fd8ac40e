use super::*;
use crate::garbage::graph::Place;
use serde_json::json;

/// `web owner=a owner=b! foreground orphan leaving`; `!` blocks the owner's deletion.
fn add(graph: &mut Graph, text: &str) -> Vec<String> {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap();
    let mut meta = json!({"name": name, "uid": name, "ownerReferences": [], "finalizers": []});
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("owner", owner) => {
                let (uid, block) = owner.strip_suffix('!').map_or((owner, false), |uid| (uid, true));
                meta["ownerReferences"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"apiVersion": "v1", "kind": "Thing",
                    "name": uid, "uid": uid, "blockOwnerDeletion": block}));
            }
            ("leaving", _) => meta["deletionTimestamp"] = json!("2026-11-01T00:00:00Z"),
            ("foreground", _) => meta["finalizers"].as_array_mut().unwrap().push(json!(FOREGROUND)),
            ("orphan", _) => meta["finalizers"].as_array_mut().unwrap().push(json!(ORPHAN)),
            other => panic!("{other:?}"),
        }
    }
    let place = Place {
        group_version: "v1".into(),
        plural: "things".into(),
        kind: "Thing".into(),
        namespace: "default".into(),
        name: name.into(),
    };
    let mut look: Vec<String> = graph
        .upsert(name.into(), Node::new(place, &serde_json::from_value(meta).unwrap()))
        .iter()
        .map(|uid| uid.to_string())
        .collect();
    look.sort();
    look
}

fn known(graph: &Graph) -> impl Fn(&Node, &OwnerReference) -> Owner {
    |_, reference| match graph.get(&reference.uid).map(|node| node.ending) {
        Some(Ending::Foreground) => Owner::Waiting,
        Some(Ending::No | Ending::Yes | Ending::Orphaning) => Owner::Present,
        None if reference.uid.starts_with("gone") => Owner::Absent,
        None => Owner::Unknown,
    }
}

#[track_caller]
fn check(objects: &[&str], uid: &str, expected: Option<Act>) {
    let mut graph = Graph::default();
    for text in objects {
        add(&mut graph, text);
    }
    assert_eq!(plan(&graph, uid, known(&graph)), expected);
}

fn uids(names: &[&str]) -> Vec<Uid> {
    names.iter().map(|name| Uid::from(*name)).collect()
}

#[test]
fn what_has_no_owner_or_a_living_one_stays() {
    check(&["a"], "a", None);
    check(&["a", "b owner=a"], "b", None);
    check(&["a leaving", "b owner=a"], "b", None);
}

#[test]
fn an_owner_that_is_not_in_the_cache_is_asked_for_before_anything_is_done() {
    check(&["b owner=x owner=gone"], "b", Some(Act::Ask(uids(&["x"]))));
}

#[test]
fn what_has_lost_every_owner_is_deleted_and_what_has_lost_some_is_disowned() {
    check(&["b owner=gone"], "b", Some(Act::Delete(Propagation::Background)));
    check(&["b owner=gone orphan"], "b", Some(Act::Delete(Propagation::Orphan)));
    check(&["a", "b owner=a owner=gone"], "b", Some(Act::Disown(uids(&["gone"]))));
    check(&["b owner=gone leaving"], "b", None);
}

#[test]
fn a_foreground_deletion_waits_for_those_that_block_it() {
    let objects = ["a leaving foreground", "b owner=a!", "c owner=a"];
    check(&objects, "a", Some(Act::Dependents(uids(&["b"]))));
    check(&objects, "b", Some(Act::Delete(Propagation::Background)));
    check(
        &["a leaving foreground", "b owner=a!", "c owner=b!"],
        "b",
        Some(Act::Delete(Propagation::Foreground)),
    );
    check(&["a leaving foreground", "c owner=a"], "a", Some(Act::Finish(FOREGROUND)));
}

#[test]
fn a_circle_of_owners_is_broken_where_it_closes() {
    let circle =
        |last: &'static str| ["a leaving foreground owner=c!", "b leaving foreground owner=a!", last];
    check(&circle("c owner=b!"), "c", Some(Act::Unblock));
    check(&circle("c owner=b"), "c", Some(Act::Delete(Propagation::Foreground)));
    check(&circle("c leaving foreground owner=b"), "b", Some(Act::Finish(FOREGROUND)));
}

#[test]
fn an_orphaning_deletion_lets_its_dependents_go_first() {
    check(&["a leaving orphan", "b owner=a"], "a", Some(Act::Orphan(uids(&["b"]))));
    check(&["a leaving orphan", "b"], "a", Some(Act::Finish(ORPHAN)));
}

#[test]
fn the_graph_says_whom_a_change_concerns() {
    let mut graph = Graph::default();
    assert_eq!(add(&mut graph, "a"), [""; 0]);
    assert_eq!(add(&mut graph, "b owner=a!"), ["b"]);
    assert_eq!(add(&mut graph, "b owner=a!"), [""; 0], "nothing changed");
    assert_eq!(add(&mut graph, "a leaving foreground"), ["a"]);
    assert_eq!(add(&mut graph, "b"), ["a"], "the last blocker is gone");
    assert_eq!(add(&mut graph, "b owner=a!"), ["a", "b"]);
    assert_eq!(graph.remove("b"), uids(&["a"]));
    assert_eq!(add(&mut graph, "b owner=a!"), ["a", "b"]);
    assert_eq!(graph.remove("a"), uids(&["b"]));
}
