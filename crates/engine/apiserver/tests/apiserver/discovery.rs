//! What the server says it serves.

use serde_json::json;

use crate::harness::World;

const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

#[tokio::test]
async fn the_version_is_of_integers() {
    let world = World::new().await;
    let version = world.admin().get("/version").await.body;
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("37")));
    assert!(version["gitVersion"].as_str().unwrap().starts_with("v1.37.0+muster"));
}

#[tokio::test]
async fn plain_and_aggregated_discovery_agree() {
    let world = World::new().await;
    let admin = world.admin();
    let groups = admin.get("/apis").await.body;
    let plain: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let aggregated = admin.get_as("/apis", AGGREGATED).await;
    assert_eq!(
        aggregated.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let items = aggregated.body["items"].as_array().unwrap();
    let names: Vec<&str> = items.iter().map(|one| one["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(plain, names);
    assert!(names.contains(&"apps") && names.contains(&"rbac.authorization.k8s.io"));
    let core = admin.get_as("/api", AGGREGATED).await.body;
    let pods = core["items"][0]["versions"][0]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["resource"] == "pods")
        .unwrap()
        .clone();
    assert_eq!(pods["shortNames"], json!(["po"]));
    let eviction =
        pods["subresources"].as_array().unwrap().iter().find(|one| one["subresource"] == "eviction").unwrap();
    assert_eq!(eviction["responseKind"], json!({"group": "policy", "version": "v1", "kind": "Eviction"}));
}

#[tokio::test]
async fn discovery_is_not_sent_again_to_those_who_have_it() {
    let world = World::new().await;
    let first = world.admin().get_as("/apis", AGGREGATED).await;
    let tag = first.headers["etag"].to_str().unwrap();
    let again = world
        .admin()
        .send("GET", "/apis", &[("accept", AGGREGATED), ("if-none-match", tag)], Vec::new())
        .await;
    assert_eq!((again.code.as_u16(), &again.body), (304, &json!("")));
}

#[tokio::test]
async fn readiness_ends_when_shutdown_begins() {
    let world = World::new().await;
    let admin = world.admin();
    assert_eq!(admin.get("/readyz").await.body, "ok");
    assert!(admin.get("/readyz?verbose").await.body.as_str().unwrap().contains("[+]bootstrap ok"));
    world.tasks.shutdown_token().cancel();
    assert_eq!(admin.get("/readyz").await.code, 500);
    assert_eq!(admin.get("/livez").await.code, 200);
}

#[tokio::test]
async fn tokens_can_be_verified_by_others() {
    let world = World::new().await;
    let configuration = world.admin().get("/.well-known/openid-configuration").await.body;
    assert_eq!(configuration["issuer"], "https://kubernetes.default.svc.cluster.local");
    let keys = world.admin().get("/openid/v1/jwks").await.body;
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["alg"]), (&json!("EC"), &json!("ES256")));
}

#[tokio::test]
async fn openapi_v2_is_json_for_whoever_names_no_form() {
    let world = World::new().await;
    let document = world.admin().get("/openapi/v2").await;
    assert_eq!(document.headers["content-type"], "application/json");
    assert_eq!(document.body["swagger"], "2.0");
    assert!(document.body["definitions"]["io.k8s.api.core.v1.Pod"].is_object());
    let other = world.admin().get_as("/openapi/v2", "text/html").await;
    assert_eq!(other.code, 406);
}
