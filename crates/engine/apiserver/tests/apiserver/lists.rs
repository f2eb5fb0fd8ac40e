//! Lists: selectors, pages, revisions, forms.

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{Answer, World, config_map, status};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const OWN: &str = "?labelSelector=own";

async fn with_maps(names: &[&str]) -> World {
    let world = World::new().await;
    for name in names {
        let mut map = config_map(name, name);
        map["metadata"]["labels"] = json!({"own": "yes", "name": name});
        assert_eq!(world.admin().post(MAPS, &map).await.code, 201);
    }
    world
}

fn names(answer: &Answer) -> Vec<&str> {
    let items = answer.body["items"].as_array().expect("a list with names");
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a list with names")).collect()
}

#[tokio::test]
async fn selectors_select() {
    let world = with_maps(&["a", "b", "c"]).await;
    let admin = world.admin();
    for (query, expected) in [
        ("labelSelector=name%3Da", vec!["a"]),
        ("labelSelector=own,name!%3Da", vec!["b", "c"]),
        ("labelSelector=name%20in%20(a,c)", vec!["a", "c"]),
        ("labelSelector=own,name%20notin%20(a,c)", vec!["b"]),
        ("labelSelector=!own", vec!["kube-root-ca.crt"]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
        ("labelSelector=own&fieldSelector=metadata.name!%3Db", vec!["a", "c"]),
    ] {
        world.admin();
        assert_eq!(names(&admin.get(&format!("{MAPS}?{query}")).await), expected, "{query}");
    }
    let unknown = admin.get(&format!("{MAPS}?fieldSelector=spec.x%3Db")).await;
    assert_eq!(unknown.code, 400);
    assert!(status(&unknown).ends_with("field label not supported: spec.x"));
}

#[tokio::test]
async fn pages_show_one_moment_whatever_is_written_between() {
    let world = with_maps(&["a", "b", "c", "d", "e"]).await;
    let admin = world.admin();
    let first = admin.get(&format!("{MAPS}?limit=2&fieldSelector=")).await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first.body["metadata"]["remainingItemCount"], 4);
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    admin.delete(&format!("{MAPS}/c"), &Value::Null).await;
    admin.post(MAPS, &config_map("bb", "1")).await;
    admin.patch(&format!("{MAPS}/d"), "merge-patch+json", &json!({"data": {"key": "new"}})).await;
    let rest = admin.get(&format!("{MAPS}?limit=50&continue={token}")).await;
    assert_eq!(names(&rest), ["c", "d", "e", "kube-root-ca.crt"]);
    assert_eq!(rest.body["items"][1]["data"]["key"], "d");
    assert_eq!(rest.body["metadata"]["resourceVersion"], first.body["metadata"]["resourceVersion"]);
    assert_eq!(rest.body["metadata"].get("continue"), None);
}

#[tokio::test]
async fn every_page_of_a_collection_that_changes_is_of_its_first_moment_and_tells_how_many_follow() {
    let world = with_maps(&["a", "b", "c", "d", "e", "f", "g"]).await;
    let admin = world.admin();
    for path in [MAPS, "/api/v1/configmaps"] {
        let all = names(&admin.get(path).await).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let (mut seen, mut left, mut token) = (Vec::new(), Vec::new(), String::new());
        for page in 0.. {
            let answer = admin.get(&format!("{path}?limit=3{token}")).await;
            seen.extend(names(&answer).into_iter().map(str::to_owned));
            let metadata = &answer.body["metadata"];
            left.push(metadata.get("remainingItemCount").and_then(Value::as_u64));
            admin.post(MAPS, &config_map(&format!("bb{page}"), "1")).await;
            admin.delete(&format!("{MAPS}/g"), &Value::Null).await;
            let Some(next) = metadata["continue"].as_str() else { break };
            token = format!("&continue={next}");
        }
        assert_eq!(seen, all, "{path}");
        let count = all.len() as u64;
        let told = |page: u64| count.checked_sub(3 * page).filter(|left| 0 < *left);
        let expected: Vec<_> = (1..=count.div_ceil(3)).map(told).collect();
        assert_eq!(left, expected, "{path}");
    }
}

#[tokio::test]
async fn a_revision_means_what_its_match_says() {
    let world = with_maps(&["a"]).await;
    let admin = world.admin();
    let before = admin.get(&format!("{MAPS}{OWN}")).await.body["metadata"]["resourceVersion"].clone();
    let before = before.as_str().unwrap();
    admin.delete(&format!("{MAPS}/a"), &Value::Null).await;
    let list = |query: String| {
        let world = &world;
        async move { world.admin().get(&format!("{MAPS}{OWN}&{query}")).await }
    };
    assert_eq!(names(&list(format!("resourceVersion={before}&resourceVersionMatch=Exact")).await), ["a"]);
    assert!(
        names(&list(format!("resourceVersion={before}&resourceVersionMatch=NotOlderThan")).await).is_empty()
    );
    assert!(names(&list("resourceVersion=0".to_owned()).await).is_empty());
    let refused = [
        list("resourceVersion=999999".to_owned()).await,
        list("resourceVersion=x".to_owned()).await,
        list("resourceVersionMatch=Exact".to_owned()).await,
        list("resourceVersion=0&resourceVersionMatch=Exact".to_owned()).await,
        list("resourceVersion=1&resourceVersionMatch=Never".to_owned()).await,
        list("continue=nonsense".to_owned()).await,
    ];
    let lines: Vec<String> = refused.iter().map(status).collect();
    let current = admin.get(&format!("{MAPS}{OWN}")).await.body["metadata"]["resourceVersion"].clone();
    let text = lines.join("\n").replace(&format!("current: {}", current.as_str().unwrap()), "current: NOW");
    expect![[r#"
        504 Timeout: Too large resource version: 999999, current: NOW
        400 BadRequest: invalid value for query parameter resourceVersion: "x"
        422 Invalid: ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided
        422 Invalid: ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"
        422 Invalid: ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "Never": supported values: "Exact", "NotOlderThan"
        400 BadRequest: continue key is not valid: "nonsense""#]].assert_eq(&text);
}

#[tokio::test]
async fn metadata_and_tables_are_answered_where_asked_for() {
    let world = with_maps(&["a"]).await;
    let admin = world.admin();
    let path = format!("{MAPS}{OWN}");
    let partial =
        admin.get_as(&path, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").await.body;
    assert_eq!(partial["kind"], "PartialObjectMetadataList");
    assert_eq!(partial["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(partial["items"][0].get("data"), None);
    assert_eq!(partial["items"][0]["metadata"]["labels"]["name"], "a");
    let table =
        admin.get_as(&path, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await.body;
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"], json!(["a", 1, "0s"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let yaml = admin.get_as(&format!("{MAPS}/a"), "application/yaml").await;
    assert!(yaml.body.as_str().unwrap().contains("kind: ConfigMap"));
    let protobuf = admin.get_as(&path, "application/vnd.kubernetes.protobuf,application/json").await;
    assert_eq!(
        (protobuf.code.as_u16(), &protobuf.headers["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let only = admin.get_as(&path, "application/vnd.kubernetes.protobuf").await;
    assert_eq!(
        status(&only),
        "406 NotAcceptable: only the following media types are accepted: application/json, application/yaml"
    );
}

#[tokio::test]
async fn a_collection_is_deleted_as_selected() {
    let world = with_maps(&["a", "b", "c"]).await;
    let admin = world.admin();
    let deleted = admin.delete(&format!("{MAPS}?labelSelector=name%20in%20(a,b)"), &Value::Null).await;
    assert_eq!((deleted.code.as_u16(), names(&deleted)), (200, vec!["a", "b"]));
    assert_eq!(names(&admin.get(&format!("{MAPS}{OWN}")).await), ["c"]);
}

#[tokio::test]
async fn a_long_list_is_streamed_and_whole() {
    let world = World::new().await;
    for number in 0..300 {
        world.admin().post(MAPS, &config_map(&format!("m{number:03}"), &"x".repeat(2000))).await;
    }
    let list = world.admin().get(MAPS).await;
    assert_eq!(names(&list).len(), 301);
    assert_eq!(list.body["items"][300]["metadata"]["name"], "m299");
}

#[tokio::test]
async fn a_question_has_no_table() {
    let world = World::new().await;
    let ask = async |accept: &str| {
        let headers = [("content-type", "application/json"), ("accept", accept)];
        let body = serde_json::json!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        world.admin().send("POST", path, &headers, body.to_string().into_bytes()).await.code.as_u16()
    };
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    assert_eq!(ask(table).await, 406);
    assert_eq!(ask(&format!("{table},application/json")).await, 201);
}
