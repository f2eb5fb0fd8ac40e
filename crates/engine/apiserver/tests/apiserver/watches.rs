//! Watches: order, selectors, bookmarks, ends.

use serde_json::{Value, json};

use crate::harness::{World, config_map, status};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn revision(world: &World) -> String {
    let list = world.admin().get(MAPS).await.body;
    list["metadata"]["resourceVersion"].as_str().expect("a list has a revision").to_owned()
}

#[tokio::test]
async fn a_watch_from_a_revision_shows_every_later_change_in_order() {
    let world = World::new().await;
    let admin = world.admin();
    let from = revision(&world).await;
    admin.post(MAPS, &config_map("a", "1")).await;
    let mut events = admin.watch(&format!("{MAPS}?watch=true&resourceVersion={from}")).await;
    admin.patch(&format!("{MAPS}/a"), "merge-patch+json", &json!({"data": {"key": "2"}})).await;
    admin.delete(&format!("{MAPS}/a"), &Value::Null).await;
    assert_eq!(events.line().await, "ADDED a");
    let changed = events.next().await.unwrap();
    assert_eq!((&changed["type"], &changed["object"]["data"]["key"]), (&json!("MODIFIED"), &json!("2")));
    let gone = events.next().await.unwrap();
    assert_eq!(gone["type"], "DELETED");
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], json!(revision(&world).await));
}

#[tokio::test]
async fn an_object_that_leaves_a_selection_is_deleted_from_it_and_one_that_enters_is_added() {
    let world = World::new().await;
    let admin = world.admin();
    let from = revision(&world).await;
    let mut events =
        admin.watch(&format!("{MAPS}?watch=1&resourceVersion={from}&labelSelector=in%3Dyes")).await;
    admin.post(MAPS, &config_map("a", "1")).await;
    let label = |value: &str| json!({"metadata": {"labels": {"in": value}}});
    for value in ["yes", "no", "yes"] {
        admin.patch(&format!("{MAPS}/a"), "merge-patch+json", &label(value)).await;
    }
    admin.post("/api/v1/namespaces/kube-system/configmaps", &config_map("other", "1")).await;
    assert_eq!(events.line().await, "ADDED a");
    let left = events.next().await.unwrap();
    assert_eq!(
        (&left["type"], &left["object"]["metadata"]["labels"]["in"]),
        (&json!("DELETED"), &json!("yes"))
    );
    assert_eq!(events.line().await, "ADDED a");
}

#[tokio::test]
async fn initial_events_are_closed_by_a_bookmark() {
    let world = World::new().await;
    let admin = world.admin();
    admin.post(MAPS, &config_map("a", "1")).await;
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = admin.watch(&format!("{MAPS}?{query}")).await;
    assert_eq!(events.line().await, "ADDED a");
    assert_eq!(events.line().await, "ADDED kube-root-ca.crt");
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    admin.post(MAPS, &config_map("b", "1")).await;
    assert_eq!(events.line().await, "ADDED b");
}

#[tokio::test]
async fn a_watch_may_ask_not_to_begin_with_the_present_state() {
    let world = World::new().await;
    let admin = world.admin();
    admin.post(MAPS, &config_map("a", "1")).await;
    for from in ["", "&resourceVersion=0"] {
        let query = format!("watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan{from}");
        let mut events = admin.watch(&format!("{MAPS}?{query}")).await;
        let name = format!("b{}", from.len());
        admin.post(MAPS, &config_map(&name, "1")).await;
        assert_eq!(events.line().await, format!("ADDED {name}"));
    }
    let refused = admin.get(&format!("{MAPS}?watch=true&sendInitialEvents=false")).await;
    assert_eq!(
        status(&refused),
        "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    );
}

#[tokio::test]
async fn a_watch_ends_after_its_timeout_and_at_shutdown() {
    let world = World::new().await;
    let from = revision(&world).await;
    let mut short =
        world.admin().watch(&format!("{MAPS}?watch=true&resourceVersion={from}&timeoutSeconds=1")).await;
    let mut long = world.admin().watch(&format!("{MAPS}?watch=true&resourceVersion={from}")).await;
    assert_eq!(short.next().await, None);
    world.tasks.shutdown_token().cancel();
    assert_eq!(long.next().await, None);
}

#[tokio::test]
async fn a_watch_from_a_revision_not_yet_written_is_an_error_event() {
    let world = World::new().await;
    let mut events = world.admin().watch(&format!("{MAPS}?watch=true&resourceVersion=99999")).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(504)));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_watch_of_one_object_shows_only_that_one() {
    let world = World::new().await;
    let admin = world.admin();
    let from = revision(&world).await;
    let query = format!("watch=true&resourceVersion={from}&fieldSelector=metadata.name%3Db");
    let mut events = admin.watch(&format!("{MAPS}?{query}")).await;
    admin.post(MAPS, &config_map("a", "1")).await;
    admin.post(MAPS, &config_map("b", "1")).await;
    assert_eq!(events.line().await, "ADDED b");
}
