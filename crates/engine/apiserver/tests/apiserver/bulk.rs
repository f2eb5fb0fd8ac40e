//! Many objects in one request.

use expect_test::expect;
use muster_apiserver::Identity;
use muster_apiserver::bulk::{self, Report};
use serde_json::{Value, json};

use crate::harness::{Answer, User, World, config_map, status};
use crate::webhook_server::{WebhookServer, bundle};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn send(user: &User<'_>, path: &str, lines: &[String]) -> Answer {
    let body = lines.join("\n").into_bytes();
    user.send("POST", path, &[("content-type", bulk::CONTENT_TYPE)], body).await
}

fn report(answer: &Answer) -> Report {
    serde_json::from_value(answer.body.clone()).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
}

/// `LINE CODE REASON: MESSAGE`, or the warnings.
fn told(report: &Report) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let line = |one: &bulk::LineReport| {
        let status = &one.status;
        if status.is_null() {
            return format!("{} {}", one.line, one.warnings.join("; "));
        }
        let (reason, message) = (text(&status["reason"]), text(&status["message"]));
        format!("{} {} {reason}: {message}", one.line, status["code"])
    };
    report.told.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn each_line_is_done_or_refused_by_itself() {
    let world = World::new().await;
    let admin = world.admin();
    assert_eq!(admin.post(MAPS, &config_map("there", "v")).await.code, 201);
    let mut odd = config_map("odd", "v");
    odd["date"] = json!(1);
    let generated = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}});
    let lines = [
        config_map("a", "1").to_string(),
        "{not json".to_owned(),
        String::new(),
        config_map("Bad_Name", "v").to_string(),
        config_map("there", "v").to_string(),
        odd.to_string(),
        config_map("a", "2").to_string(),
        generated.to_string(),
        config_map("b", "1").to_string(),
    ];
    let answer = send(&admin, MAPS, &lines).await;
    let report = report(&answer);
    assert_eq!((answer.code.as_u16(), report.lines, report.created, report.failed), (200, 8, 4, 4));
    expect![[r#"
        2 400 BadRequest: the object provided is unrecognized (must be of type ConfigMap): key must be a string at line 1 column 2
        4 422 Invalid: ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        5 409 AlreadyExists: configmaps "there" already exists
        6 unknown field "date"
        7 409 AlreadyExists: configmaps "a" already exists"#]].assert_eq(&told(&report));
    let kept = admin.get(&format!("{MAPS}/a")).await.body;
    assert_eq!((&kept["data"]["key"], kept["metadata"]["uid"].is_string()), (&json!("1"), true));
}

#[tokio::test]
async fn thousands_are_created_in_order_of_their_commits_and_watched() {
    let world = World::new().await;
    let admin = world.admin();
    let lines: Vec<String> = (0..3000).map(|n| config_map(&format!("m-{n:05}"), "v").to_string()).collect();
    let report = report(&send(&admin, MAPS, &lines).await);
    assert_eq!((report.lines, report.created, report.failed, report.broken), (3000, 3000, 0, None));
    let list = admin.get(&format!("{MAPS}?limit=1")).await.body;
    // With the root certificate of the namespace, less the one that is listed.
    assert_eq!(list["metadata"]["remainingItemCount"], 3000);
    let again = self::report(&send(&admin, MAPS, &lines).await);
    assert_eq!((again.created, again.failed, again.told.len()), (0, 3000, 3000));
}

#[tokio::test]
async fn rights_dry_runs_and_webhooks_are_those_of_a_create() {
    let world = World::of_today().await;
    let server = WebhookServer::start(
        &world,
        |request| json!({"allowed": request["name"] != "m-1", "warnings": ["seen"]}),
    )
    .await;
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "v"}, "webhooks": [{
            "name": "maps.hooks.example", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("https://127.0.0.1:{}/", server.port), "caBundle": bundle(&world)},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        }],
    });
    let admin = world.admin();
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    assert_eq!(admin.post(path, &configuration).await.code, 201);
    let lines: Vec<String> = (0..3).map(|n| config_map(&format!("m-{n}"), "v").to_string()).collect();
    let nobody = world.user(Identity::new("kim", &[]));
    let refused = send(&nobody, MAPS, &lines).await;
    assert_eq!(
        status(&refused),
        "403 Forbidden: configmaps is forbidden: User \"kim\" cannot create resource \"configmaps\" in API group \"\" \
         in the namespace \"default\""
    );
    let dry = report(&send(&admin, &format!("{MAPS}?dryRun=All"), &lines).await);
    assert_eq!((dry.created, dry.failed), (2, 1));
    assert_eq!(admin.get(&format!("{MAPS}/m-0")).await.code, 404);
    let done = report(&send(&admin, MAPS, &lines).await);
    expect![[r#"
        1 seen
        2 400 : admission webhook "maps.hooks.example" denied the request without explanation
        3 seen"#]]
    .assert_eq(&told(&done));
    assert_eq!(admin.get(&format!("{MAPS}/m-0")).await.code, 200);
    assert_eq!(admin.get(&format!("{MAPS}/m-1")).await.code, 404);
    let absent = send(&admin, "/apis/none.example/v1/things", &lines).await;
    assert_eq!(absent.code, 404);
}

#[tokio::test]
async fn a_status_is_kept_where_it_is_asked_for_by_one_who_may_write_it() {
    let world = World::new().await;
    let admin = world.admin();
    for crd in muster_api::crds::all() {
        let crd = serde_json::to_value(crd).unwrap();
        assert_eq!(
            admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd).await.code,
            201
        );
    }
    const PATH: &str = "/apis/muster.dev/v1alpha1/inventories";
    let line = |name: &str, memory: &str| {
        format!(
            r#"{{"apiVersion":"muster.dev/v1alpha1","kind":"Inventory","metadata":{{"name":"{name}"}},"spec":{{}},"status":{{"memoryGiB":{memory}}}}}"#
        )
    };
    let keeping = format!("{PATH}?keepStatus=true");
    let kept = report(&send(&admin, &keeping, &[line("kept", "64"), line("wrong", "\"many\"")]).await);
    assert_eq!((kept.created, kept.failed), (1, 1));
    expect![[r#"2 422 Invalid: Inventory.muster.dev "wrong" is invalid: [status.memoryGiB: Invalid value: "string": status.memoryGiB in body must be of type integer: "string", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]"#]]
    .assert_eq(&told(&kept));
    assert_eq!(report(&send(&admin, PATH, &[line("dropped", "64")]).await).created, 1);
    assert_eq!(admin.get(&format!("{PATH}/kept")).await.body["status"]["memoryGiB"], 64);
    assert_eq!(admin.get(&format!("{PATH}/dropped")).await.body.get("status"), None);
    let unnamed = line("x", "1").replace(r#""name":"x""#, r#""generateName":"x-""#);
    let alone = report(&send(&admin, &keeping, &[unnamed]).await);
    assert_eq!(
        told(&alone),
        "1 400 BadRequest: where the status is kept, each object needs a name and is no Service"
    );

    let rules =
        json!([{"apiGroups": ["muster.dev"], "resources": ["inventories"], "verbs": ["create", "update"]}]);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "importer"}, "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "importer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "importer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "kim"}],
    });
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
    assert_eq!(admin.post(&format!("{RBAC}/clusterroles"), &role).await.code, 201);
    assert_eq!(admin.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.code, 201);
    let kim = world.user(Identity::new("kim", &[]));
    let refused = send(&kim, &keeping, &[line("other", "1")]).await;
    assert_eq!(
        status(&refused),
        "403 Forbidden: inventories.muster.dev is forbidden: User \"kim\" cannot update resource \"inventories/status\" \
         in API group \"muster.dev\" at the cluster scope"
    );
    assert_eq!(report(&send(&kim, PATH, &[line("other", "1")]).await).created, 1);
}
