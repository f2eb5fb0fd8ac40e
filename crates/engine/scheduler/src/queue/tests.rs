use super::*;
use crate::refusal::Blocker;
use crate::view::{PodSpec, PodStatus};
use serde_json::json;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn pod(name: &str, priority: i32) -> Arc<Pod> {
    let meta = serde_json::from_value(json!({"name": name, "uid": name})).unwrap();
    let spec = PodSpec { priority: Some(priority), ..PodSpec::default() };
    Arc::new(Pod::parse(&meta, &spec, &PodStatus::default()).unwrap())
}

fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
    pods.iter().map(|pod| &*pod.name).collect()
}

fn refusal(blocker: Blocker) -> Refusal {
    Refusal { nodes: 1, counts: [(blocker, 1)].into() }
}

#[test]
fn higher_priority_goes_first_then_first_come() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
        queue.add(pod(name, priority));
    }
    assert_eq!(names(&queue.take(3)), ["b", "d", "a"]);
    assert_eq!(names(&queue.take(3)), ["c"]);
    assert!(queue.is_empty());
}

#[test]
fn a_refused_pod_comes_back_only_for_a_change_that_can_help() {
    let mut queue = Queue::default();
    queue.refused(pod("a", 0), refusal(Blocker::Taint), at(0));
    queue.refused(pod("b", 0), refusal(Blocker::Insufficient("cpu".into())), at(0));
    queue.wake(Change::PodCame, at(5));
    queue.wake(Change::Nothing, at(5));
    assert_eq!(names(&queue.take(9)), [""; 0]);
    queue.wake(Change::PodLeft, at(5));
    assert_eq!(names(&queue.take(9)), ["b"]);
    queue.wake(Change::Node, at(5));
    assert_eq!(names(&queue.take(9)), ["a"]);
}

#[test]
fn each_failure_doubles_the_rest_up_to_ten_seconds() {
    let mut queue = Queue::default();
    let mut now = at(0);
    queue.add(pod("a", 0));
    for rest in [1, 2, 4, 8, 10, 10] {
        let taken = queue.take(1).remove(0);
        queue.failed(taken, now);
        assert_eq!(queue.next_at(), Some(later(now, Duration::from_secs(rest))));
        now = later(now, Duration::from_secs(rest));
        queue.ripen(now);
        assert!(queue.has_ready());
    }
}

#[test]
fn a_woken_pod_finishes_its_rest_first() {
    let mut queue = Queue::default();
    queue.refused(pod("a", 0), refusal(Blocker::Taint), at(0));
    queue.wake(Change::Node, at(0));
    assert!(!queue.has_ready());
    queue.ripen(at(1));
    assert_eq!(names(&queue.take(1)), ["a"]);
}

#[test]
fn a_refused_pod_is_looked_at_again_after_five_minutes_without_any_event() {
    let mut queue = Queue::default();
    queue.refused(pod("a", 0), refusal(Blocker::Taint), at(0));
    queue.ripen(at(299));
    assert!(!queue.has_ready());
    queue.ripen(at(300));
    assert!(queue.has_ready());
}

#[test]
fn a_removed_pod_is_gone_from_every_list() {
    let mut queue = Queue::default();
    queue.add(pod("a", 0));
    queue.refused(pod("b", 0), refusal(Blocker::Taint), at(0));
    queue.remove("a");
    queue.remove("b");
    assert!(queue.is_empty() && !queue.has_ready() && queue.next_at().is_none());
}
