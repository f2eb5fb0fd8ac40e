use futures::FutureExt;
use muster_store::{Key, Limits, Store, WatchError};

use crate::text::{Text, delete, drain, event, memory, pod, put, rev, soon};

#[tokio::test]
async fn events_tell_the_change_and_what_was_before() {
    let store = memory();
    store.commit(vec![put(pod("a"), "1"), put(pod("a"), "2"), delete(pod("a"))]).await.unwrap();
    let mut watch = store.watch("pods", rev(0)).unwrap();
    assert_eq!(
        drain(&mut watch),
        ["+pods/default/a=1@1/1", "~pods/default/a=2@2/1 was 1", "-pods/default/a=2@3/1 was 2"]
    );
}

#[tokio::test]
async fn begins_after_any_revision_that_is_kept() {
    let store = memory();
    store.commit(vec![put(pod("a"), "1")]).await.unwrap();
    store.commit(vec![put(Key::new("services", "default", "s"), "1")]).await.unwrap();
    store.commit(vec![put(pod("b"), "1")]).await.unwrap();
    for (after, events) in [(0, 2), (1, 1), (2, 1), (3, 0)] {
        let mut watch = store.watch("pods", rev(after)).unwrap();
        assert_eq!(drain(&mut watch).len(), events, "after {after}");
    }
    assert_eq!(store.watch("pods", rev(4)).err(), Some(WatchError::Ahead { after: rev(4), current: rev(3) }));
}

#[tokio::test]
async fn a_snapshot_and_a_watch_from_it_miss_and_repeat_nothing() {
    let store = memory();
    store.commit(vec![put(pod("a"), "1")]).await.unwrap();
    let snapshot = store.snapshot("pods");
    store.commit(vec![put(pod("b"), "1")]).await.unwrap();
    let mut watch = store.watch("pods", snapshot.revision()).unwrap();
    assert_eq!(drain(&mut watch), ["+pods/default/b=1@2/2"]);
}

#[tokio::test]
async fn wakes_all_who_wait_and_loses_nothing_when_a_wait_is_dropped() {
    let store = memory();
    let mut first = store.watch("pods", rev(0)).unwrap();
    let mut second = store.watch("pods", rev(0)).unwrap();
    assert!(first.next().now_or_never().is_none());
    let both = futures::future::join(first.next(), second.next());
    let write = async {
        store.commit(vec![put(pod("a"), "1")]).await.unwrap();
    };
    let ((a, b), ()) = soon("both events", futures::future::join(both, write)).await;
    assert_eq!(event(&a.unwrap()), "+pods/default/a=1@1/1");
    assert_eq!(event(&b.unwrap()), "+pods/default/a=1@1/1");
    assert!(second.next().now_or_never().is_none());
}

fn small() -> Store<Text> {
    Store::in_memory(Limits { ring_bytes: 5000 })
}

#[tokio::test]
async fn only_the_slow_watcher_expires() {
    let store = small();
    let mut slow = store.watch("pods", rev(0)).unwrap();
    let mut quick = store.watch("pods", rev(0)).unwrap();
    for n in 0..100 {
        store.commit(vec![put(pod("a"), &n.to_string())]).await.unwrap();
        assert_eq!(drain(&mut quick).len(), 1);
    }
    let oldest = store.oldest("pods");
    assert!(rev(50) < oldest && oldest < rev(100), "{oldest}");
    assert_eq!(slow.try_next().err(), Some(WatchError::Expired { after: rev(0), oldest }));
    assert!(matches!(slow.next().await, Err(WatchError::Expired { .. })));
    assert!(quick.try_next().unwrap().is_none());
    let below = rev(oldest.get() - 1);
    assert_eq!(store.watch("pods", below).err(), Some(WatchError::Expired { after: below, oldest }));
    let mut resumed = store.watch("pods", oldest).unwrap();
    assert_eq!(drain(&mut resumed).len() as u64, 100 - oldest.get());
}

#[tokio::test]
async fn one_busy_resource_expires_no_watcher_of_another() {
    let store = small();
    store.commit(vec![put(Key::new("services", "default", "s"), "1")]).await.unwrap();
    for n in 0..100 {
        store.commit(vec![put(pod("a"), &n.to_string())]).await.unwrap();
    }
    let mut services = store.watch("services", rev(0)).unwrap();
    assert_eq!(drain(&mut services).len(), 1);
    let mut never_written = store.watch("secrets", rev(0)).unwrap();
    assert_eq!(drain(&mut never_written), [""; 0]);
}

#[tokio::test]
async fn progress_follows_the_store_but_never_passes_a_waiting_event() {
    let store = memory();
    let mut services = store.watch("services", rev(0)).unwrap();
    let mut pods = store.watch("pods", rev(0)).unwrap();
    store.commit(vec![put(pod("a"), "1"), put(pod("a"), "2")]).await.unwrap();
    assert_eq!(services.progress(), rev(2));
    assert_eq!(pods.progress(), rev(0));
    pods.next().await.unwrap();
    assert_eq!(pods.progress(), rev(1));
    pods.next().await.unwrap();
    store.commit(vec![put(Key::new("nodes", "", "n"), "1")]).await.unwrap();
    assert_eq!(pods.progress(), rev(3));
}
