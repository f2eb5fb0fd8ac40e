//! Admission webhooks on real ports.

use std::time::Duration;

use expect_test::expect;
use muster_apiserver::Identity;
use serde_json::{Value, json};

use crate::harness::{World, config_map, pod, status};
use crate::webhook_server::{WebhookServer, bundle, patched};

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A webhook for every operation on configmaps, with `change` applied.
fn hook(client: Value, change: &Value) -> Value {
    let mut hook = json!({
        "name": "maps.hooks.example", "clientConfig": client, "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
    });
    for (key, value) in change.as_object().into_iter().flatten() {
        hook[key] = value.clone();
    }
    hook
}

async fn register(world: &World, stage: &str, name: &str, hooks: &[Value]) {
    let plural = format!("{}webhookconfigurations", stage.to_lowercase());
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{stage}WebhookConfiguration"),
        "metadata": {"name": name}, "webhooks": hooks,
    });
    let made = world.admin().post(&format!("{REGISTRATION}/{plural}"), &configuration).await;
    assert_eq!(made.code, 201, "{}", made.body);
}

fn allow(_: &Value) -> Value {
    json!({"allowed": true})
}

#[tokio::test]
async fn a_webhook_sees_who_does_what_and_its_refusal_reaches_the_client() {
    let world = World::of_today().await;
    let server = WebhookServer::start(&world, |request| match request["object"]["data"]["key"].as_str() {
        Some("bad") => json!({"allowed": false, "status": {"message": "bad is not good", "reason": "Taste", "code": 418}}),
        Some("mute") => json!({"allowed": false}),
        _ => json!({"allowed": true, "warnings": ["think again"]}),
    })
    .await;
    register(&world, "Validating", "v", &[hook(server.client(&world, "/judge"), &json!({}))]).await;
    let mut who = Identity::new("kim", &["system:masters", "ops"]);
    who.extra.insert("example.com/why".into(), vec!["ticket 7".into()]);
    let user = world.user(who);
    let made = user.post(&format!("{MAPS}?fieldManager=hand"), &config_map("a", "good")).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(made.headers["warning"], "299 - \"think again\"");
    let asked = &server.asked()[0];
    assert_eq!(asked["path"], "/judge?timeout=10s");
    assert_eq!(
        asked["userInfo"],
        json!({"username": "kim", "groups": ["system:masters", "ops", "system:authenticated"],
               "extra": {"example.com/why": ["ticket 7"]}})
    );
    assert_eq!(asked["object"]["metadata"]["uid"], made.body["metadata"]["uid"]);
    assert_eq!(asked["options"]["fieldManager"], "hand");
    assert_eq!((&asked["oldObject"], &asked["dryRun"]), (&Value::Null, &json!(false)));
    let refused = user.put(&format!("{MAPS}/a"), &config_map("a", "bad")).await;
    let mute = user.post(MAPS, &config_map("b", "mute")).await;
    expect![[r#"
        418 Taste: admission webhook "maps.hooks.example" denied the request: bad is not good
        400 : admission webhook "maps.hooks.example" denied the request without explanation"#]]
    .assert_eq(&format!("{}\n{}", status(&refused), status(&mute)));
    let update = &server.asked()[1];
    assert_eq!((&update["operation"], &update["namespace"]), (&json!("UPDATE"), &json!("default")));
    assert_eq!(update["oldObject"]["data"]["key"], "good");
    assert_eq!(user.delete(&format!("{MAPS}/a"), &Value::Null).await.code, 200);
    let delete = server.asked().pop().unwrap();
    assert_eq!((&delete["operation"], &delete["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(delete["oldObject"]["metadata"]["name"], "a");
    assert_eq!(server.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn mutating_webhooks_go_one_after_the_other_and_what_they_made_is_checked() {
    let world = World::of_today().await;
    let label = |key: &'static str| {
        move |request: &Value| {
            let labels = &request["object"]["metadata"]["labels"];
            let value = labels.as_object().map_or(0, |labels| labels.len());
            match (labels.is_object(), labels.get(key).is_some()) {
                (_, true) => json!({"allowed": true}),
                (true, false) => {
                    let path = format!("/metadata/labels/{key}");
                    patched(&json!([{"op": "add", "path": path, "value": value.to_string()}]))
                }
                (false, false) => {
                    patched(&json!([{"op": "add", "path": "/metadata/labels", "value": {key: "0"}}]))
                }
            }
        }
    };
    let first = WebhookServer::start(&world, label("first")).await;
    let second = WebhookServer::start(&world, label("second")).await;
    let again = json!({"name": "one.hooks.example", "reinvocationPolicy": "IfNeeded"});
    register(&world, "Mutating", "a", &[hook(first.client(&world, "/"), &again)]).await;
    let never = json!({"name": "two.hooks.example"});
    register(&world, "Mutating", "b", &[hook(second.client(&world, "/"), &never)]).await;
    let made = world.admin().post(MAPS, &config_map("a", "v")).await;
    assert_eq!(made.body["metadata"]["labels"], json!({"first": "0", "second": "1"}));
    assert_eq!((first.asked().len(), second.asked().len()), (2, 1), "the first is asked again");
    let stored = world.admin().get(&format!("{MAPS}/a")).await;
    assert_eq!(stored.body["metadata"]["labels"], made.body["metadata"]["labels"]);
}

#[tokio::test]
async fn what_a_webhook_makes_wrong_is_refused_and_identity_stays() {
    let world = World::of_today().await;
    let server = WebhookServer::start(&world, |request| match request["name"].as_str() {
        Some("wrong") => patched(&json!([{"op": "add", "path": "/data/a b", "value": "x"}])),
        Some("type") => patched(&json!([{"op": "add", "path": "/data/x", "value": 5}])),
        _ => patched(&json!([
            {"op": "replace", "path": "/metadata/uid", "value": "mine"},
            {"op": "add", "path": "/data/more", "value": "x"},
        ])),
    })
    .await;
    register(&world, "Mutating", "m", &[hook(server.client(&world, "/"), &json!({}))]).await;
    let admin = world.admin();
    let wrong = admin.post(MAPS, &config_map("wrong", "v")).await;
    assert_eq!((wrong.code.as_u16(), &wrong.body["reason"]), (422, &json!("Invalid")), "{}", wrong.body);
    let mistyped = admin.post(MAPS, &config_map("type", "v")).await;
    assert_eq!(mistyped.code, 500, "{}", mistyped.body);
    let made = admin.post(MAPS, &config_map("right", "v")).await;
    assert_eq!(made.body["data"], json!({"key": "v", "more": "x"}));
    assert_eq!(made.body["metadata"]["uid"], server.asked().pop().unwrap()["object"]["metadata"]["uid"]);
    let delete = admin.delete(&format!("{MAPS}/right"), &Value::Null).await;
    let text = "attempted to modify the object, which is not supported for this operation";
    assert!(status(&delete).contains(text), "{}", delete.body);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_asked_refuses_or_is_left_out_as_its_policy_says() {
    let world = World::of_today().await;
    let silent = WebhookServer::start(&world, |_| Value::Null).await;
    let admin = world.admin();
    let mut lines = Vec::new();
    let closed = json!({"url": "https://127.0.0.1:1/", "caBundle": bundle(&world)});
    let other = World::of_today().await;
    let untrusted = json!({"url": format!("https://127.0.0.1:{}/", silent.port), "caBundle": bundle(&other)});
    let absent = json!({"service": {"namespace": "default", "name": "none"}, "caBundle": bundle(&world)});
    let silent = silent.client(&world, "/");
    for (name, client) in
        [("closed", closed), ("untrusted", untrusted), ("absent", absent), ("silent", silent)]
    {
        for policy in ["Fail", "Ignore"] {
            let change = json!({"failurePolicy": policy, "timeoutSeconds": 1});
            register(&world, "Validating", name, &[hook(client.clone(), &change)]).await;
            let made = admin.post(MAPS, &config_map(&format!("{name}-{}", policy.to_lowercase()), "v")).await;
            let port = client["url"].as_str().and_then(|url| url.rsplit(':').next()).unwrap_or("-");
            lines.push(format!("{policy} {}", status(&made).replace(port, "PORT/")));
            let path = format!("{REGISTRATION}/validatingwebhookconfigurations/{name}");
            assert_eq!(admin.delete(&path, &Value::Null).await.code, 200);
        }
    }
    expect![[r#"
        Fail 500 InternalError: Internal error occurred: failed calling webhook "maps.hooks.example": failed to call webhook: Post "https://127.0.0.1:PORT/?timeout=1s": dial tcp 127.0.0.1:1: Connection refused (os error 111)
        Ignore 201 : 
        Fail 500 InternalError: Internal error occurred: failed calling webhook "maps.hooks.example": failed to call webhook: Post "https://127.0.0.1:PORT/?timeout=1s": invalid peer certificate: BadSignature
        Ignore 201 : 
        Fail 500 InternalError: Internal error occurred: failed calling webhook "maps.hooks.example": failed to call webhook: Post "https://none.default.svc:443/?timeout=1s": service "none" not found
        Ignore 201 : 
        Fail 500 InternalError: Internal error occurred: failed calling webhook "maps.hooks.example": failed to call webhook: Post "https://127.0.0.1:PORT/?timeout=1s": context deadline exceeded
        Ignore 201 : "#]].assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn a_service_is_found_by_its_slices() {
    let world = World::of_today().await;
    let server = WebhookServer::start(&world, allow).await;
    let admin = world.admin();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"ports": [{"name": "https", "port": 443}]},
    });
    assert_eq!(admin.post("/api/v1/namespaces/default/services", &service).await.code, 201);
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "ports": [{"name": "https", "port": server.port}],
        "endpoints": [
            {"addresses": ["127.0.0.9"], "conditions": {"ready": false}},
            {"addresses": ["127.0.0.1"], "conditions": {"ready": true}},
        ],
    });
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    assert_eq!(admin.post(slices, &slice).await.code, 201);
    let client = json!({
        "service": {"namespace": "default", "name": "hook", "path": "/in/cluster"}, "caBundle": bundle(&world),
    });
    register(&world, "Validating", "v", &[hook(client, &json!({}))]).await;
    let made = admin.post(MAPS, &config_map("a", "v")).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(server.asked()[0]["path"], "/in/cluster?timeout=10s");
}

#[tokio::test]
async fn selectors_and_conditions_narrow_what_a_webhook_is_asked() {
    let world = World::of_today().await;
    let server = WebhookServer::start(&world, |_| json!({"allowed": false})).await;
    let admin = world.admin();
    let client = server.client(&world, "/");
    let narrow = [
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}),
        json!({"objectSelector": {"matchLabels": {"judge": "me"}}}),
        json!({"matchConditions": [
            {"name": "not-kim", "expression": "request.userInfo.username != 'kim'"},
            {"name": "never", "expression": "object.data.key == 'judge me'"},
        ]}),
    ];
    for (at, change) in narrow.iter().enumerate() {
        let mut change = change.clone();
        change["name"] = json!(format!("n{at}.hooks.example"));
        register(&world, "Validating", &format!("n{at}"), &[hook(client.clone(), &change)]).await;
    }
    assert_eq!(admin.post(MAPS, &config_map("free", "v")).await.code, 201);
    let mut labelled = config_map("a", "v");
    labelled["metadata"]["labels"] = json!({"judge": "me"});
    let system = "/api/v1/namespaces/kube-system/configmaps";
    let kim = world.user(Identity::new("kim", &["system:masters"]));
    let broken = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    let lines: Vec<String> = [
        admin.post(system, &config_map("a", "v")).await,
        admin.post(MAPS, &labelled).await,
        admin.post(MAPS, &config_map("a", "judge me")).await,
        admin.post(MAPS, &broken).await,
        kim.post(MAPS, &config_map("a", "judge me")).await,
    ]
    .iter()
    .map(status)
    .collect();
    expect![[r#"
        400 : admission webhook "n0.hooks.example" denied the request without explanation
        400 : admission webhook "n1.hooks.example" denied the request without explanation
        400 : admission webhook "n2.hooks.example" denied the request without explanation
        403 Forbidden: configmaps "x" is forbidden: expression 'object.data.key == 'judge me'' resulted in error: No such key: data
        201 : "#]].assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn another_version_of_the_same_objects_is_shown_in_the_version_asked_for() {
    let world = World::of_today().await;
    let server = WebhookServer::start(&world, allow).await;
    let rule = json!([{"apiGroups": ["autoscaling"], "apiVersions": ["v2"], "operations": ["CREATE"],
                       "resources": ["horizontalpodautoscalers"]}]);
    let client = server.client(&world, "/");
    let exact = json!({"name": "x.hooks.example", "rules": rule, "matchPolicy": "Exact"});
    let equivalent = json!({"name": "e.hooks.example", "rules": rule});
    register(&world, "Validating", "v", &[hook(client.clone(), &exact), hook(client, &equivalent)]).await;
    let scaler = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50,
                 "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}},
    });
    let path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let made = world.admin().post(path, &scaler).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let [asked] = server.asked().try_into().unwrap_or_else(|all: Vec<Value>| panic!("{}", all.len()));
    let of = |key: &str| asked[key]["version"].as_str().unwrap_or("").to_owned();
    assert_eq!(
        [of("kind"), of("resource"), of("requestKind"), of("requestResource")],
        ["v2", "v2", "v1", "v1"]
    );
    assert_eq!(asked["object"]["apiVersion"], "autoscaling/v2");
    assert_eq!(asked["object"]["spec"]["metrics"][0]["resource"]["name"], "cpu");
}

#[tokio::test]
async fn configurations_are_never_judged_and_dry_runs_say_so() {
    let world = World::of_today().await;
    let server = WebhookServer::start(&world, |_| json!({"allowed": false})).await;
    let everything = json!({"rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]});
    register(&world, "Validating", "all", &[hook(server.client(&world, "/"), &everything)]).await;
    let admin = world.admin();
    let path = format!("{REGISTRATION}/validatingwebhookconfigurations/all");
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(admin.patch(&path, "merge-patch+json", &patch).await.code, 200);
    assert!(server.asked().is_empty());
    let dry = admin.post(&format!("{MAPS}?dryRun=All"), &config_map("a", "v")).await;
    assert_eq!(dry.code, 400, "{}", dry.body);
    assert_eq!(server.asked()[0]["dryRun"], true);
    assert_eq!(server.asked()[0]["options"]["dryRun"], json!(["All"]));
    assert_eq!(admin.delete(&path, &Value::Null).await.code, 200);
    assert_eq!(admin.post(MAPS, &config_map("a", "v")).await.code, 201, "without it nothing is judged");
}

#[tokio::test]
async fn what_subresources_are_sent_is_judged_as_what_it_is() {
    let world = World::of_today().await.with_default_account().await;
    let server = WebhookServer::start(&world, allow).await;
    let all = json!({"rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]});
    register(&world, "Validating", "all", &[hook(server.client(&world, "/"), &all)]).await;
    let admin = world.admin();
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(admin.post(pods, &pod("p")).await.code, 201);
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    assert_eq!(admin.post(&format!("{pods}/p/binding"), &binding).await.code, 201);
    let phase = json!({"status": {"phase": "Running"}});
    assert_eq!(admin.patch(&format!("{pods}/p/status"), "merge-patch+json", &phase).await.code, 200);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    assert_eq!(admin.post(&format!("{pods}/p/eviction"), &eviction).await.code, 201);
    let token = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let asked =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}});
    assert_eq!(admin.post(token, &asked).await.code, 201);
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"app": "d"}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }});
    assert_eq!(admin.post(deployments, &deployment).await.code, 201);
    let scale = json!({"spec": {"replicas": 3}});
    let scaled = admin.patch(&format!("{deployments}/d/scale"), "merge-patch+json", &scale).await;
    assert_eq!((scaled.code.as_u16(), &scaled.body["spec"]["replicas"]), (200, &json!(3)));
    let subresource = |one: &Value| one["subResource"].as_str().unwrap_or("").to_owned();
    let parts: Vec<String> = server.asked().iter().map(subresource).collect();
    let lines: Vec<String> =
        server.lines().into_iter().zip(parts).map(|(line, part)| format!("{line} {part}")).collect();
    expect![[r#"
        CREATE Pod p 
        CREATE Binding p binding
        UPDATE Pod p status
        CREATE Eviction p eviction
        CREATE TokenRequest default token
        CREATE Deployment d 
        UPDATE Scale d scale"#]]
    .assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn a_slow_webhook_does_not_outlast_its_time() {
    let world = World::of_today().await;
    let server = WebhookServer::start(&world, |_| Value::Null).await;
    let change = json!({"timeoutSeconds": 1});
    register(&world, "Mutating", "slow", &[hook(server.client(&world, "/"), &change)]).await;
    let admin = world.admin();
    let made = tokio::time::timeout(Duration::from_secs(5), admin.post(MAPS, &config_map("a", "v"))).await;
    assert_eq!(made.expect("an answer in time").code, 500);
}
