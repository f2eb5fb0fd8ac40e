use std::sync::Arc;

use muster_store::{Entry, Key};

use crate::text::{Text, delete, memory, pod, put, rev};

fn names<'a>(entries: impl Iterator<Item = &'a Arc<Entry<Text>>>) -> Vec<String> {
    entries.map(|entry| format!("{}/{}", entry.key.namespace, entry.key.name)).collect()
}

#[tokio::test]
async fn lists_in_order_by_namespace_and_in_pages() {
    let store = memory();
    let keys = [("b", "1"), ("a", "2"), ("b", "0"), ("", "z"), ("a-", "1"), ("a", "10")];
    for (namespace, name) in keys {
        store.commit(vec![put(Key::new("pods", namespace, name), "x")]).await.unwrap();
    }
    let pods = store.snapshot("pods");
    assert_eq!(names(pods.iter()), ["/z", "a/10", "a/2", "a-/1", "b/0", "b/1"]);
    assert_eq!(names(pods.namespace("a")), ["a/10", "a/2"]);
    assert_eq!(names(pods.namespace("b")), ["b/0", "b/1"]);
    assert_eq!(names(pods.namespace("c")), [""; 0]);
    assert_eq!(names(pods.after("a", "2")), ["a-/1", "b/0", "b/1"]);
    assert_eq!(names(pods.after("a", "11")), ["a/2", "a-/1", "b/0", "b/1"]);
    assert_eq!((pods.len(), pods.revision()), (6, rev(6)));
    assert!(pods.contains(&Key::new("pods", "", "z")));
    assert!(pods.get("a", "3").is_none());
}

#[tokio::test]
async fn stays_as_it_was_taken() {
    let store = memory();
    store.commit(vec![put(pod("a"), "1"), put(pod("b"), "1")]).await.unwrap();
    let before = store.snapshot("pods");
    store.commit(vec![put(pod("a"), "2"), delete(pod("b")), put(pod("c"), "1")]).await.unwrap();
    assert_eq!(names(before.iter()), ["default/a", "default/b"]);
    assert_eq!(before.get("default", "a").unwrap().value.0, "1");
    assert_eq!(before.revision(), rev(2));
    assert_eq!(names(store.snapshot("pods").iter()), ["default/a", "default/c"]);
}

#[tokio::test]
async fn an_unknown_resource_is_empty_at_the_stores_revision() {
    let store = memory();
    store.commit(vec![put(pod("a"), "1")]).await.unwrap();
    let none = store.snapshot("secrets");
    assert!(none.is_empty());
    assert_eq!(none.revision(), rev(1));
    assert_eq!(store.resources(), [Arc::from("pods")]);
}

#[tokio::test]
async fn keys_of_one_namespace_share_its_name() {
    let store = memory();
    store.commit(vec![put(pod("b"), "1")]).await.unwrap();
    store.commit(vec![put(pod("a"), "1")]).await.unwrap();
    let (a, b) = (store.get(&pod("a")).unwrap(), store.get(&pod("b")).unwrap());
    assert!(Arc::ptr_eq(&a.key.namespace, &b.key.namespace));
    assert!(Arc::ptr_eq(&a.key.resource, &b.key.resource));
}
