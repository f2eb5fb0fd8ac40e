use muster_store::{CommitError, Expect, Key};

use crate::text::{delete, memory, pod, put, put_if, rev, rows};

#[tokio::test]
async fn every_write_of_a_batch_has_its_own_revision() {
    let store = memory();
    assert_eq!(store.revision(), rev(0));
    let first = store.commit(vec![put(pod("a"), "1"), put(pod("b"), "2")]).await.unwrap();
    assert_eq!(first.revision, rev(2));
    assert_eq!(rows(&first), ["pods/default/a=1@1/1", "pods/default/b=2@2/2"]);
    let second = store.commit(vec![put(pod("a"), "3"), delete(pod("b"))]).await.unwrap();
    assert_eq!(rows(&second), ["pods/default/a=3@3/1", "pods/default/b=2@4/2"]);
    assert_eq!(store.revision(), rev(4));
    assert!(store.get(&pod("b")).is_none());
}

#[tokio::test]
async fn a_batch_sees_its_own_earlier_writes() {
    let store = memory();
    let again = vec![
        put_if(pod("a"), "1", Expect::Absent),
        put_if(pod("a"), "2", Expect::Exists),
        delete(pod("a")),
        put_if(pod("a"), "3", Expect::Absent),
    ];
    let done = store.commit(again).await.unwrap();
    assert_eq!(
        rows(&done),
        ["pods/default/a=1@1/1", "pods/default/a=2@2/1", "pods/default/a=2@3/1", "pods/default/a=3@4/4"]
    );
}

#[tokio::test]
async fn preconditions_refuse_with_what_was_found() {
    let store = memory();
    store.commit(vec![put(pod("a"), "1")]).await.unwrap();
    let cases = [
        (
            pod("a"),
            Expect::Absent,
            "write 0 of the batch: pods/default/a should be absent but is at revision 1",
        ),
        (
            pod("a"),
            Expect::Revision(rev(7)),
            "write 0 of the batch: pods/default/a should be at revision 7 but is at revision 1",
        ),
        (
            pod("x"),
            Expect::Revision(rev(1)),
            "write 0 of the batch: pods/default/x should be at revision 1 but is absent",
        ),
        (pod("x"), Expect::Exists, "write 0 of the batch: pods/default/x should exist but is absent"),
    ];
    for (key, expect, text) in cases {
        let error = store.commit(vec![put_if(key, "2", expect)]).await.unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    store.commit(vec![put_if(pod("a"), "2", Expect::Revision(rev(1)))]).await.unwrap();
}

#[tokio::test]
async fn a_batch_with_one_conflict_leaves_no_trace() {
    let store = memory();
    store.commit(vec![put(pod("a"), "1")]).await.unwrap();
    let mut watch = store.watch("pods", rev(0)).unwrap();
    let service = Key::new("services", "default", "s");
    let batch = vec![
        put(pod("a"), "2"),
        put(service.clone(), "new"),
        delete(pod("a")),
        put_if(pod("a"), "3", Expect::Exists),
    ];
    let error = store.commit(batch).await.unwrap_err();
    let CommitError::Conflict { index: 3, found: None, .. } = error else { panic!("{error}") };
    assert_eq!(store.get(&pod("a")).unwrap().value.0, "1");
    assert!(store.get(&service).is_none());
    assert_eq!(store.resources().len(), 1);
    assert_eq!(store.revision(), rev(1));
    assert_eq!(crate::text::drain(&mut watch), ["+pods/default/a=1@1/1"]);
    let next = store.commit(vec![put(pod("b"), "4")]).await.unwrap();
    assert_eq!(next.revision, rev(2));
}

#[tokio::test]
async fn nothing_to_change_takes_no_revision() {
    let store = memory();
    store.commit(vec![put(pod("a"), "1")]).await.unwrap();
    let empty = store.commit(vec![]).await.unwrap();
    assert_eq!((empty.revision, empty.entries.len()), (rev(1), 0));
    let gone = muster_store::Write::Delete { key: pod("x"), expect: Expect::Any };
    let nothing = store.commit(vec![gone]).await.unwrap();
    assert_eq!((nothing.revision, nothing.entries.len()), (rev(1), 0));
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_its_limit() {
    let store = memory();
    let long = "n".repeat(5000);
    let error = store.commit(vec![put(pod(&long), "1")]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "write 0 of the batch: a part of its key has 5000 bytes, at most 4096 can be kept; use a shorter name"
    );
    let many = (0..5000).map(|n| put(pod(&n.to_string()), "1")).collect();
    let error = store.commit(many).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the batch has 5000 writes, at most 4096 can be committed at once; split it"
    );
    let error = store.commit(vec![put(pod("a"), &"x".repeat(33 << 20))]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the batch has 34603008 bytes, at most 33554432 can be committed at once; split it"
    );
    assert_eq!(store.revision(), rev(0));
}

#[tokio::test]
async fn a_closed_store_refuses_commits_and_ends_watches() {
    let store = memory();
    let other = store.clone();
    let mut watch = store.watch("pods", rev(0)).unwrap();
    let waiting = async { watch.next().await.unwrap_err() };
    let closing = store.close();
    let (ended, ()) = futures::future::join(waiting, closing).await;
    assert_eq!(ended, muster_store::WatchError::Closed);
    let error = other.commit(vec![put(pod("a"), "1")]).await.unwrap_err();
    assert_eq!(error.to_string(), "the store is closed");
    assert!(other.get(&pod("a")).is_none());
}
