//! Create, read, update, patch, delete of plain objects.

use expect_test::expect;
use serde_json::json;

use crate::harness::{START, World, config_map, status};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_created_object_has_what_the_server_gives_it_and_nothing_else() {
    let world = World::new().await;
    let made = world.admin().post(MAPS, &config_map("a", "1")).await;
    assert_eq!(made.code, 201);
    let mut body = made.body.clone();
    let metadata = body["metadata"].as_object_mut().unwrap();
    assert_eq!(metadata.remove("uid").unwrap().as_str().unwrap().len(), 36);
    assert!(metadata.remove("resourceVersion").unwrap().as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(
        body,
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"key": "1"},
            "metadata": {"name": "a", "namespace": "default", "creationTimestamp": START},
        })
    );
    let read = world.admin().get(&format!("{MAPS}/a")).await;
    assert_eq!(read.body, made.body);
    assert!(read.headers.contains_key("audit-id"));
}

#[tokio::test]
async fn refusals_of_a_create_say_what_upstream_says() {
    let world = World::new().await;
    let admin = world.admin();
    admin.post(MAPS, &config_map("a", "1")).await;
    let mut wrong_namespace = config_map("b", "1");
    wrong_namespace["metadata"]["namespace"] = json!("kube-system");
    let mut versioned = config_map("c", "1");
    versioned["metadata"]["resourceVersion"] = json!("4");
    let mut unknown = config_map("d", "1");
    unknown["extra"] = json!(1);
    let mut wrong_kind = config_map("e", "1");
    wrong_kind["kind"] = json!("Secret");
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let refused = [
        admin.post(MAPS, &config_map("a", "2")).await,
        admin.post(MAPS, &wrong_namespace).await,
        admin.post(MAPS, &versioned).await,
        admin.post(&strict, &unknown).await,
        admin.post(MAPS, &wrong_kind).await,
        admin.post(MAPS, &config_map("Not_A_Name", "1")).await,
        admin.post("/api/v1/namespaces/nowhere/configmaps", &config_map("a", "1")).await,
        admin.post("/api/v1/namespaces/default/nothings", &config_map("a", "1")).await,
        admin.post("/api/v1/configmaps", &config_map("a", "1")).await,
    ];
    let lines: Vec<String> = refused.iter().map(status).collect();
    expect![[r#"
        409 AlreadyExists: configmaps "a" already exists
        400 BadRequest: the namespace of the provided object does not match the namespace sent on the request
        400 BadRequest: resourceVersion should not be set on objects to be created
        400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "extra"
        400 BadRequest: the kind in the data (Secret) does not match the expected kind (ConfigMap)
        422 Invalid: ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        404 NotFound: namespaces "nowhere" not found
        404 NotFound: the server could not find the requested resource
        405 MethodNotAllowed: the server does not allow this method on the requested resource"#]].assert_eq(&lines.join("\n"));
    assert_eq!(refused[0].body["details"], json!({"name": "a", "kind": "configmaps"}));
    assert_eq!(refused[5].body["details"]["causes"][0]["field"], "metadata.name");
    assert_eq!(admin.get(&format!("{MAPS}/a")).await.body["data"]["key"], "1");
}

#[tokio::test]
async fn unknown_fields_are_warned_of_and_dropped() {
    let world = World::new().await;
    let mut unknown = config_map("a", "1");
    unknown["extra"] = json!(1);
    let made = world.admin().post(MAPS, &unknown).await;
    assert_eq!(made.code, 201);
    assert_eq!(made.headers["warning"], "299 - \"unknown field \\\"extra\\\"\"");
    assert_eq!(made.body.get("extra"), None);
}

#[tokio::test]
async fn a_generated_name_has_five_letters_behind_its_prefix() {
    let world = World::new().await;
    let mut map = config_map("", "1");
    map["metadata"] = json!({"generateName": "job-"});
    let made = world.admin().post(MAPS, &map).await;
    let name = made.body["metadata"]["name"].as_str().unwrap();
    assert_eq!((made.code.as_u16(), &name[..4], name.len()), (201, "job-", 9));
}

#[tokio::test]
async fn an_update_needs_the_latest_version_and_changes_nothing_when_nothing_changes() {
    let world = World::new().await;
    let admin = world.admin();
    let path = format!("{MAPS}/a");
    let first = admin.post(MAPS, &config_map("a", "1")).await.body;
    let same = admin.put(&path, &first).await;
    assert_eq!((same.code.as_u16(), &same.body), (200, &first));
    let mut second = first.clone();
    second["data"]["key"] = json!("2");
    let second = admin.put(&path, &second).await.body;
    assert_ne!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let stale = admin.put(&path, &first).await;
    let mut other = second.clone();
    other["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    let mut renamed = second.clone();
    renamed["metadata"]["name"] = json!("b");
    let refused = [stale, admin.put(&path, &other).await, admin.put(&path, &renamed).await];
    let uid = second["metadata"]["uid"].as_str().unwrap();
    let lines: Vec<String> = refused.iter().map(|one| status(one).replace(uid, "UID")).collect();
    expect![[r#"
        409 Conflict: Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again
        409 Conflict: Operation cannot be fulfilled on configmaps "a": Precondition failed: UID in precondition: 00000000-0000-4000-8000-000000000000, UID in object meta: UID
        400 BadRequest: the name of the object (b) does not match the name on the URL (a)"#]].assert_eq(&lines.join("\n"));
    assert_eq!(admin.get(&path).await.body, second);
}

#[tokio::test]
async fn each_form_of_patch_does_its_work() {
    let world = World::new().await;
    let admin = world.admin();
    let path = format!("{MAPS}/a");
    admin.post(MAPS, &config_map("a", "1")).await;
    let merged = admin.patch(&path, "merge-patch+json", &json!({"data": {"key": null, "b": "2"}})).await;
    assert_eq!(merged.body["data"], json!({"b": "2"}));
    let operations = json!([{"op": "test", "path": "/data/b", "value": "2"}, {"op": "add", "path": "/data/c", "value": "3"}]);
    let patched = admin.patch(&path, "json-patch+json", &operations).await;
    assert_eq!(patched.body["data"], json!({"b": "2", "c": "3"}));
    let strategic =
        admin.patch(&path, "strategic-merge-patch+json", &json!({"metadata": {"labels": {"x": "y"}}})).await;
    assert_eq!(strategic.body["metadata"]["labels"], json!({"x": "y"}));
    let failed = json!([{"op": "test", "path": "/data/b", "value": "other"}]);
    let refused = [
        admin.patch(&path, "json-patch+json", &failed).await,
        admin.patch(&path, "apply-patch+yaml", &config_map("a", "1")).await,
        admin.patch(&path, "json", &json!({})).await,
        admin.patch(&path, "merge-patch+json", &json!({"metadata": {"resourceVersion": "1"}})).await,
        admin.patch(&format!("{MAPS}/none"), "merge-patch+json", &json!({})).await,
    ];
    let lines: Vec<String> = refused.iter().map(status).collect();
    expect![[r#"
        422 Invalid: the server rejected our request due to an error in our request: operation '/0' failed at path '/data/b': value did not match
        415 UnsupportedMediaType: server-side apply is not served yet: use client-side apply (kubectl apply --server-side=false), or a patch of one of the media types application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json
        415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json
        409 Conflict: Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again
        404 NotFound: configmaps "none" not found"#]].assert_eq(&lines.join("\n"));
    assert_eq!(admin.get(&path).await.body, strategic.body);
}

#[tokio::test]
async fn a_delete_checks_its_preconditions_and_tells_what_went() {
    let world = World::new().await;
    let admin = world.admin();
    let path = format!("{MAPS}/a");
    let made = admin.post(MAPS, &config_map("a", "1")).await.body;
    let wrong = admin.delete(&path, &json!({"preconditions": {"uid": "other"}})).await;
    assert_eq!((wrong.code.as_u16(), wrong.body["reason"].as_str()), (409, Some("Conflict")));
    let dry = admin.delete(&format!("{path}?dryRun=All"), &json!(null)).await;
    assert_eq!(dry.code, 200);
    assert_eq!(admin.get(&path).await.code, 200);
    let gone = admin.delete(&path, &json!({"preconditions": {"uid": made["metadata"]["uid"]}})).await;
    assert_eq!(
        gone.body,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]},
        })
    );
    assert_eq!(status(&admin.get(&path).await), "404 NotFound: configmaps \"a\" not found");
    assert_eq!(admin.delete(&path, &json!(null)).await.code, 404);
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_off() {
    let world = World::new().await;
    let admin = world.admin();
    let path = format!("{MAPS}/a");
    let mut map = config_map("a", "1");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    admin.post(MAPS, &map).await;
    let marked = admin.delete(&path, &json!(null)).await;
    assert_eq!(marked.body["metadata"]["deletionTimestamp"], START);
    assert_eq!(marked.body["metadata"]["deletionGracePeriodSeconds"], 0);
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let refused = admin.patch(&path, "merge-patch+json", &more).await;
    assert_eq!(
        status(&refused),
        "422 Invalid: ConfigMap \"a\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if \
         the object is being deleted, found new finalizers []string{\"example.com/more\"}"
    );
    let released = admin.patch(&path, "merge-patch+json", &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(released.code, 200);
    assert_eq!(admin.get(&path).await.code, 404);
}

#[tokio::test]
async fn propagation_policies_become_finalizers() {
    let world = World::new().await;
    let admin = world.admin();
    for (name, policy, finalizer) in [("a", "Orphan", "orphan"), ("b", "Foreground", "foregroundDeletion")] {
        admin.post(MAPS, &config_map(name, "1")).await;
        let held = admin.delete(&format!("{MAPS}/{name}"), &json!({"propagationPolicy": policy})).await;
        assert_eq!(held.body["metadata"]["finalizers"], json!([finalizer]));
    }
    admin.post(MAPS, &config_map("c", "1")).await;
    let gone = admin.delete(&format!("{MAPS}/c"), &json!({"propagationPolicy": "Background"})).await;
    assert_eq!(gone.body["status"], "Success");
}

#[tokio::test]
async fn a_dry_run_goes_through_everything_and_leaves_nothing() {
    let world = World::new().await;
    let admin = world.admin();
    let made = admin.post(&format!("{MAPS}?dryRun=All"), &config_map("a", "1")).await;
    assert_eq!(made.code, 201);
    assert_eq!(admin.get(&format!("{MAPS}/a")).await.code, 404);
}

#[tokio::test]
async fn status_and_spec_are_written_apart_and_only_the_spec_counts_generations() {
    let world = World::new().await;
    let admin = world.admin();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "example/app:1"}]},
            },
        },
        "status": {"replicas": 7},
    });
    let made = admin.post(deployments, &deployment).await.body;
    assert_eq!((&made["metadata"]["generation"], &made["status"]["replicas"]), (&json!(1), &json!(null)));
    let path = format!("{deployments}/web");
    let both = json!({"spec": {"replicas": 5}, "status": {"replicas": 3}});
    let status = admin.patch(&format!("{path}/status"), "merge-patch+json", &both).await.body;
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(1), &json!(3)));
    assert_eq!(status["metadata"]["generation"], 1);
    let spec = admin.patch(&path, "merge-patch+json", &both).await.body;
    assert_eq!((&spec["spec"]["replicas"], &spec["status"]["replicas"]), (&json!(5), &json!(3)));
    assert_eq!(spec["metadata"]["generation"], 2);
    let scale = admin.get(&format!("{path}/scale")).await.body;
    assert_eq!(scale["spec"], json!({"replicas": 5}));
    assert_eq!(scale["status"], json!({"replicas": 3, "selector": "app=web"}));
    let scaled =
        admin.patch(&format!("{path}/scale"), "merge-patch+json", &json!({"spec": {"replicas": 2}})).await;
    assert_eq!(scaled.body["spec"]["replicas"], 2);
    assert_eq!(admin.get(&path).await.body["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_body_beyond_three_mebibytes_is_refused() {
    let world = World::new().await;
    let answer = world.admin().post(MAPS, &config_map("a", &"x".repeat(3 << 20))).await;
    assert_eq!(status(&answer), "413 RequestEntityTooLarge: Request entity too large: limit is 3145728");
}

#[tokio::test]
async fn patches_made_at_once_all_land() {
    let world = World::new().await;
    let admin = world.admin();
    let path = format!("{MAPS}/a");
    admin.post(MAPS, &config_map("a", "1")).await;
    let patches: Vec<_> = (0..8).map(|number| json!({"data": {format!("k{number}"): "v"}})).collect();
    let answers =
        futures::future::join_all(patches.iter().map(|patch| admin.patch(&path, "merge-patch+json", patch)))
            .await;
    assert!(answers.iter().all(|answer| answer.code == 200));
    assert_eq!(admin.get(&path).await.body["data"].as_object().unwrap().len(), 9);
}
