use super::*;
use serde_json::{Value, json};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn node(name: &str, cpu: &str) -> News<view::Node> {
    let node = json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "pods": "10"}}});
    News::from([(name.to_owned(), Some(Arc::new(serde_json::from_value(node).unwrap())))])
}

fn pod(name: &str, spec: Value) -> News<view::Pod> {
    let mut full = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
    for (key, value) in spec.as_object().unwrap() {
        full[key] = value.clone();
    }
    let pod = json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": full});
    News::from([(name.to_owned(), Some(Arc::new(serde_json::from_value(pod).unwrap())))])
}

fn decide(state: &mut State, now: i64) -> Vec<String> {
    state.queue_mut().ripen(at(now));
    let row = |decision: &Decision| match decision {
        Decision::Place { pod, node } => format!("{} -> {node}", pod.name),
        Decision::Hold { pod, refusal } => format!("{}: {refusal}", pod.name),
    };
    state.decide(10, at(now)).iter().map(row).collect()
}

const FULL: &str = "b: 0/1 nodes are available: 1 Insufficient cpu.";

#[test]
fn a_waiting_pod_comes_back_when_room_is_made_and_not_before() {
    let mut state = State::new("default-scheduler".into());
    state.nodes(node("n1", "1"), at(0));
    state.pods(pod("a", json!({})), at(0));
    assert_eq!(decide(&mut state, 0), ["a -> n1"]);
    state.pods(pod("b", json!({})), at(0));
    assert_eq!(decide(&mut state, 0), [FULL]);
    state.nodes(node("n1", "1"), at(2));
    assert_eq!(decide(&mut state, 2), [""; 0]);
    state.pods(News::from([("a".to_owned(), None)]), at(3));
    assert_eq!(decide(&mut state, 3), ["b -> n1"]);
}

#[test]
fn a_placement_that_was_not_taken_is_tried_again_later_and_its_room_is_free_at_once() {
    let mut state = State::new("default-scheduler".into());
    state.nodes(node("n1", "1"), at(0));
    state.pods(pod("a", json!({})), at(0));
    assert_eq!(decide(&mut state, 0), ["a -> n1"]);
    state.not_bound("a", at(0));
    assert_eq!(decide(&mut state, 0), [""; 0]);
    state.pods(pod("b", json!({})), at(0));
    assert_eq!(decide(&mut state, 0), ["b -> n1"]);
}

#[test]
fn pods_of_another_scheduler_gated_ones_and_placed_ones_are_not_placed() {
    let mut state = State::new("default-scheduler".into());
    state.nodes(node("n1", "1"), at(0));
    state.pods(pod("x", json!({"schedulerName": "other"})), at(0));
    state.pods(pod("y", json!({"schedulingGates": [{"name": "wait"}]})), at(0));
    assert_eq!(decide(&mut state, 0), [""; 0]);
    state.pods(pod("z", json!({"schedulerName": "other", "nodeName": "n1"})), at(0));
    state.pods(pod("b", json!({})), at(0));
    assert_eq!(decide(&mut state, 0), [FULL], "z takes room although another scheduler placed it");
    state.pods(News::from([("z".to_owned(), None)]), at(0));
    state.pods(pod("b", json!({})), at(0));
    state.pods(pod("y", json!({})), at(0));
    assert_eq!(decide(&mut state, 0), ["y -> n1"], "b rests, y's gate is open now");
}

#[test]
fn news_of_a_pod_whose_binding_is_under_way_do_not_place_it_twice() {
    let mut state = State::new("default-scheduler".into());
    state.nodes(node("n1", "4"), at(0));
    state.pods(pod("a", json!({})), at(0));
    assert_eq!(decide(&mut state, 0), ["a -> n1"]);
    state.pods(pod("a", json!({})), at(0));
    assert_eq!(decide(&mut state, 0), [""; 0]);
}

#[test]
fn a_pod_that_asks_for_less_is_looked_at_again_at_once() {
    let mut state = State::new("default-scheduler".into());
    state.nodes(node("n1", "1"), at(0));
    state.pods(pod("b", json!({"nodeSelector": {"disk": "ssd"}})), at(0));
    assert_eq!(decide(&mut state, 0).len(), 1);
    state.pods(pod("b", json!({"nodeSelector": {}})), at(0));
    assert_eq!(decide(&mut state, 0), ["b -> n1"]);
}
