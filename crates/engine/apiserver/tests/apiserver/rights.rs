//! Who may do what.

use expect_test::expect;
use muster_apiserver::Identity;
use serde_json::json;

use crate::harness::{World, config_map, pod, status};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn role(name: &str, verbs: &[&str], resources: &[&str]) -> serde_json::Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name},
        "rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs}],
    })
}

fn binding(name: &str, kind: &str, role: &str, user: &str) -> serde_json::Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })
}

async fn grant(world: &World, user: &str, verbs: &[&str], resources: &[&str]) {
    let admin = world.admin();
    let roles = format!("{RBAC}/namespaces/default/roles");
    assert_eq!(admin.post(&roles, &role(user, verbs, resources)).await.code, 201);
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    assert_eq!(admin.post(&bindings, &binding(user, "Role", user, user)).await.code, 201);
}

#[tokio::test]
async fn without_a_role_nothing_is_allowed_and_the_refusal_says_what() {
    let world = World::new().await;
    let user = world.user(Identity::new("kim", &[]));
    let refused = [
        user.get(MAPS).await,
        user.get(&format!("{MAPS}/a")).await,
        user.get("/api/v1/nodes").await,
        user.get("/api/v1/namespaces/default/pods/p/log").await,
        user.get("/apis/apps/v1/deployments").await,
        user.get("/metrics").await,
        world.user(Identity::anonymous()).get("/api").await,
    ];
    let lines: Vec<String> = refused.iter().map(status).collect();
    expect![[r#"
        403 Forbidden: configmaps is forbidden: User "kim" cannot list resource "configmaps" in API group "" in the namespace "default"
        403 Forbidden: configmaps "a" is forbidden: User "kim" cannot get resource "configmaps" in API group "" in the namespace "default"
        403 Forbidden: nodes is forbidden: User "kim" cannot list resource "nodes" in API group "" at the cluster scope
        403 Forbidden: pods "p" is forbidden: User "kim" cannot get resource "pods/log" in API group "" in the namespace "default"
        403 Forbidden: deployments.apps is forbidden: User "kim" cannot list resource "deployments" in API group "apps" at the cluster scope
        403 Forbidden: forbidden: User "kim" cannot get path "/metrics"
        403 Forbidden: forbidden: User "system:anonymous" cannot get path "/api""#]].assert_eq(&lines.join("\n"));
    assert_eq!(refused[1].body["details"], json!({"name": "a", "kind": "configmaps"}));
}

#[tokio::test]
async fn anybody_may_see_health_and_version_and_nothing_more() {
    let world = World::new().await;
    let nobody = world.user(Identity::anonymous());
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(nobody.get(path).await.code, 200, "{path}");
    }
    for path in ["/api", "/apis", "/openapi/v3", "/metrics", "/api/v1/namespaces"] {
        assert_eq!(nobody.get(path).await.code, 403, "{path}");
    }
}

#[tokio::test]
async fn a_role_holds_from_the_moment_it_is_bound_until_it_is_not() {
    let world = World::new().await;
    let user = world.user(Identity::new("kim", &[]));
    grant(&world, "kim", &["get", "list"], &["configmaps"]).await;
    assert_eq!(user.get(MAPS).await.code, 200);
    assert_eq!(user.post(MAPS, &config_map("a", "1")).await.code, 403);
    assert_eq!(user.get("/api/v1/namespaces/kube-system/configmaps").await.code, 403);
    assert_eq!(user.get("/api/v1/configmaps").await.code, 403);
    let path = format!("{RBAC}/namespaces/default/rolebindings/kim");
    world.admin().delete(&path, &json!(null)).await;
    assert_eq!(user.get(MAPS).await.code, 403);
}

#[tokio::test]
async fn aggregated_roles_have_the_rules_of_their_parts() {
    let world = World::new().await;
    let user = world.user(Identity::new("kim", &[]));
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    world.admin().post(&bindings, &binding("kim", "ClusterRole", "edit", "kim")).await;
    assert_eq!(user.post(MAPS, &config_map("a", "1")).await.code, 201);
    assert_eq!(user.get("/apis/apps/v1/namespaces/default/deployments").await.code, 200);
    assert_eq!(user.get(&format!("{RBAC}/namespaces/default/roles")).await.code, 403);
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_hold() {
    let world = World::new().await;
    let admin = world.admin();
    let rbac = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "granter"},
        "rules": [{
            "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"],
            "verbs": ["create", "update", "get"],
        }],
    });
    let roles = format!("{RBAC}/namespaces/default/roles");
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    admin.post(&roles, &rbac).await;
    admin.post(&bindings, &binding("granter", "Role", "granter", "kim")).await;
    let user = world.user(Identity::new("kim", &[]));
    let refused = [
        user.post(&roles, &role("more", &["get"], &["secrets"])).await,
        user.post(&bindings, &binding("more", "ClusterRole", "view", "kim")).await,
    ];
    let first = status(&refused[0]);
    expect![[r#"
        403 Forbidden: roles.rbac.authorization.k8s.io "more" is forbidden: user "kim" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
        {APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#]].assert_eq(&first);
    assert_eq!(refused[1].code, 403);
    grant(&world, "kim", &["get"], &["secrets"]).await;
    assert_eq!(user.post(&roles, &role("more", &["get"], &["secrets"])).await.code, 201);
}

#[tokio::test]
async fn impersonation_needs_its_right_and_takes_the_other_rights() {
    let world = World::new().await;
    grant(&world, "kim", &["list"], &["configmaps"]).await;
    let headers = [("impersonate-user", "kim")];
    let as_kim = world.admin().send("GET", MAPS, &headers, Vec::new()).await;
    assert_eq!(as_kim.code, 200);
    let secrets = "/api/v1/namespaces/default/secrets";
    assert_eq!(world.admin().send("GET", secrets, &headers, Vec::new()).await.code, 403);
    let other = world.user(Identity::new("lee", &[]));
    let refused = other.send("GET", MAPS, &headers, Vec::new()).await;
    assert_eq!(
        status(&refused),
        "403 Forbidden: users \"kim\" is forbidden: User \"lee\" cannot impersonate resource \"users\" in API group \"\" \
         at the cluster scope"
    );
}

#[tokio::test]
async fn reviews_answer_the_question_form() {
    let world = World::new().await;
    grant(&world, "kim", &["list"], &["configmaps"]).await;
    let kim = world.user(Identity::new("kim", &[]));
    let ask = |verb: &str| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": "default", "verb": verb, "resource": "configmaps"}},
        })
    };
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let yes = kim.post(path, &ask("list")).await;
    assert_eq!((yes.code.as_u16(), &yes.body["status"]["allowed"]), (201, &json!(true)));
    assert_eq!(
        yes.body["status"]["reason"],
        "RBAC: allowed by RoleBinding \"kim/default\" of Role \"kim\" to User \"kim\""
    );
    assert_eq!(kim.post(path, &ask("delete")).await.body["status"], json!({"allowed": false}));
    let me = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let me = kim.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &me).await;
    assert_eq!(me.body["status"]["userInfo"], json!({"username": "kim", "groups": ["system:authenticated"]}));
    let rules = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"},
    });
    let rules = kim.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &rules).await;
    let resources = rules.body["status"]["resourceRules"].as_array().unwrap();
    assert!(resources.contains(&json!({"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"]})));
}

#[tokio::test]
async fn a_node_reads_the_secrets_of_its_own_pods_only_and_changes_only_itself() {
    let world = World::new().await.with_default_account().await;
    let admin = world.admin();
    let secret = |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    let secrets = "/api/v1/namespaces/default/secrets";
    admin.post(secrets, &secret("used")).await;
    admin.post(secrets, &secret("unused")).await;
    let mut bound = pod("p");
    bound["spec"]["nodeName"] = json!("n1");
    bound["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "used"}}]);
    assert_eq!(admin.post("/api/v1/namespaces/default/pods", &bound).await.code, 201);
    let node = world.user(Identity::node("n1"));
    let other = world.user(Identity::node("n2"));
    assert_eq!(node.get(&format!("{secrets}/used")).await.code, 200);
    assert_eq!(node.get(&format!("{secrets}/unused")).await.code, 403);
    assert_eq!(node.get(secrets).await.code, 403);
    assert_eq!(other.get(&format!("{secrets}/used")).await.code, 403);
    let machine = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    assert_eq!(node.post("/api/v1/nodes", &machine).await.code, 201);
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    assert_eq!(node.patch("/api/v1/nodes/n1", "merge-patch+json", &label).await.code, 200);
    assert_eq!(other.patch("/api/v1/nodes/n1", "merge-patch+json", &label).await.code, 403);
    let phase = json!({"status": {"phase": "Running"}});
    let path = "/api/v1/namespaces/default/pods/p/status";
    assert_eq!(other.patch(path, "merge-patch+json", &phase).await.code, 403);
    assert_eq!(node.patch(path, "merge-patch+json", &phase).await.code, 200);
}

#[tokio::test]
async fn a_component_has_the_rights_it_was_given_and_no_others() {
    let world = World::new().await;
    let rule = muster_apiserver::authz::Rule {
        verbs: vec!["list".into()],
        groups: vec![String::new()],
        resources: vec!["nodes".into()],
        ..Default::default()
    };
    for _ in 0..2 {
        world.server.ensure_component_roles(&[("doctor", vec![rule.clone()])]).await.unwrap();
    }
    let doctor = world.user(Identity::component("doctor"));
    assert_eq!(doctor.get("/api/v1/nodes").await.code, 200);
    assert_eq!(doctor.get("/api/v1/pods").await.code, 403);
}
