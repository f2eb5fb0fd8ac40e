//! Subresources with a life of their own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use muster_apiserver::{ByteStream, DialError, Identity, LogOptions, NodeDialer};
use serde_json::{Value, json};

use crate::harness::{World, pod, status};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn binding(node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    })
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let world = World::new().await.with_default_account().await;
    let admin = world.admin();
    admin.post(PODS, &pod("p")).await;
    let path = format!("{PODS}/p/binding");
    let bound = admin.post(&path, &binding("n1")).await;
    assert_eq!((bound.code.as_u16(), &bound.body["status"]), (201, &json!("Success")));
    let stored = admin.get(&format!("{PODS}/p")).await.body;
    assert_eq!(stored["spec"]["nodeName"], "n1");
    assert_eq!(stored["status"]["conditions"][0]["type"], "PodScheduled");
    let again = admin.post(&path, &binding("n2")).await;
    assert_eq!(
        status(&again),
        "409 Conflict: Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
    );
    let selected = admin.get(&format!("{PODS}?fieldSelector=spec.nodeName%3Dn1")).await.body;
    assert_eq!(selected["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_running_pod_is_given_its_time_and_goes_when_its_node_says_so() {
    let world = World::new().await.with_default_account().await;
    let admin = world.admin();
    admin.post(PODS, &pod("p")).await;
    admin.post(&format!("{PODS}/p/binding"), &binding("n1")).await;
    let path = format!("{PODS}/p");
    let marked = admin.delete(&path, &Value::Null).await;
    assert_eq!(marked.body["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked.body["metadata"]["deletionTimestamp"], "2026-11-23T06:00:30Z");
    let shorter = admin.delete(&path, &json!({"gracePeriodSeconds": 5})).await;
    assert_eq!(shorter.body["metadata"]["deletionGracePeriodSeconds"], 5);
    let longer = admin.delete(&path, &json!({"gracePeriodSeconds": 60})).await;
    assert_eq!(longer.body["metadata"]["deletionGracePeriodSeconds"], 5);
    assert_eq!(admin.get(&path).await.code, 200);
    let gone = admin.delete(&path, &json!({"gracePeriodSeconds": 0})).await;
    assert_eq!((gone.code.as_u16(), &gone.body["kind"]), (200, &json!("Pod")));
    assert_eq!(admin.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_pod_that_no_node_has_goes_at_once() {
    let world = World::new().await.with_default_account().await;
    world.admin().post(PODS, &pod("p")).await;
    world.admin().delete(&format!("{PODS}/p"), &Value::Null).await;
    assert_eq!(world.admin().get(&format!("{PODS}/p")).await.code, 404);
}

#[tokio::test]
async fn an_eviction_draws_on_the_pods_disruption_budget() {
    let world = World::new().await.with_default_account().await;
    let admin = world.admin();
    admin.post(PODS, &pod("p")).await;
    let running = json!({"status": {"phase": "Running"}});
    admin.patch(&format!("{PODS}/p/status"), "merge-patch+json", &running).await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}},
    });
    assert_eq!(admin.post(budgets, &budget).await.code, 201);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let path = format!("{PODS}/p/eviction");
    let unknown = admin.post(&path, &eviction).await;
    assert_eq!((unknown.code.as_u16(), unknown.headers["retry-after"].to_str().unwrap()), (429, "10"));
    let none = json!({"status": {
        "observedGeneration": 1, "disruptionsAllowed": 0, "desiredHealthy": 1, "currentHealthy": 1, "expectedPods": 1,
    }});
    admin.patch(&format!("{budgets}/b/status"), "merge-patch+json", &none).await;
    let refused = admin.post(&path, &eviction).await;
    assert_eq!(
        status(&refused),
        "429 TooManyRequests: Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(
        refused.body["details"]["causes"][0]["message"],
        "The disruption budget b needs 1 healthy pods and has 1 currently"
    );
    let one = json!({"status": {"disruptionsAllowed": 1}});
    admin.patch(&format!("{budgets}/b/status"), "merge-patch+json", &one).await;
    assert_eq!(admin.post(&path, &eviction).await.code, 201);
    assert_eq!(admin.get(&format!("{PODS}/p")).await.code, 404);
    let left = admin.get(&format!("{budgets}/b")).await.body;
    assert_eq!(left["status"]["disruptionsAllowed"], 0);
}

struct Parrot;

impl NodeDialer for Parrot {
    fn logs(&self, node: &str, options: LogOptions) -> BoxFuture<'static, Result<ByteStream, DialError>> {
        let line = format!("{node} {}/{} {:?}\n", options.pod, options.container, options.tail_lines);
        let stream: ByteStream = Box::pin(futures::stream::iter([Bytes::from(line)]));
        Box::pin(std::future::ready(Ok(stream)))
    }
}

#[tokio::test]
async fn logs_come_from_the_pods_node() {
    let world = World::with_dialer(Arc::new(Parrot)).await.with_default_account().await;
    let admin = world.admin();
    admin.post(PODS, &pod("p")).await;
    let path = format!("{PODS}/p/log");
    assert_eq!(admin.get(&path).await.body, json!(""));
    admin.post(&format!("{PODS}/p/binding"), &binding("n1")).await;
    assert_eq!(admin.get(&format!("{path}?tailLines=3")).await.body, "n1 p/main Some(3)\n");
    assert_eq!(
        status(&admin.get(&format!("{path}?container=none")).await),
        "400 BadRequest: container none is not valid for pod p"
    );
}

#[tokio::test]
async fn a_token_lives_as_long_as_its_time_its_account_and_its_pod() {
    let world = World::new().await.with_default_account().await;
    let admin = world.admin();
    let made = admin.post(PODS, &pod("p")).await.body;
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "expirationSeconds": 600, "audiences": [],
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]},
        },
    });
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let answer = admin.post(path, &request).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    assert_eq!(answer.body["status"]["expirationTimestamp"], "2026-11-23T06:10:00Z");
    let token = answer.body["status"]["token"].as_str().unwrap().to_owned();
    let review = |token: &str| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let good = admin.post(reviews, &review(&token)).await.body;
    assert_eq!(good["status"]["authenticated"], true);
    assert_eq!(good["status"]["user"]["username"], "system:serviceaccount:default:default");
    assert_eq!(good["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    let forged = format!("{}A", &token[..token.len() - 1]);
    let other = if forged == token { format!("{}B", &token[..token.len() - 1]) } else { forged };
    assert_eq!(admin.post(reviews, &review(&other)).await.body["status"]["authenticated"], false);
    admin.delete(&format!("{PODS}/p"), &Value::Null).await;
    let orphan = admin.post(reviews, &review(&token)).await.body;
    assert_eq!(orphan["status"]["error"], "pods \"p\" that the token is bound to does not exist");
    let plain = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = admin.post(path, &plain).await.body["status"]["token"].as_str().unwrap().to_owned();
    world.clock.advance(Duration::from_secs(3600));
    let late = admin.post(reviews, &review(&token)).await.body;
    assert_eq!(late["status"]["error"], "service account token has expired");
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let world = World::new().await.with_default_account().await;
    world.admin().post(PODS, &pod("p")).await;
    let refused = world.admin().post(&format!("{PODS}/p/exec"), &json!({})).await;
    assert_eq!(status(&refused), "405 MethodNotAllowed: pods/exec is not served by this version of Muster");
    assert_eq!(
        world.user(Identity::new("kim", &[])).post(&format!("{PODS}/p/exec"), &json!({})).await.code,
        403
    );
}

#[tokio::test]
async fn an_event_is_the_same_in_both_groups() {
    let world = World::new().await;
    let admin = world.admin();
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
        "eventTime": "2026-11-23T06:00:00.000000Z", "reportingController": "muster.dev/doctor", "reportingInstance": "d-1",
        "action": "Look", "reason": "Seen", "note": "something", "type": "Normal",
        "regarding": {"kind": "Node", "name": "n1", "namespace": "default"},
    });
    let made = admin.post("/apis/events.k8s.io/v1/namespaces/default/events", &event).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(made.body["note"], "something");
    let core =
        admin.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dn1").await.body;
    let core = &core["items"][0];
    assert_eq!((&core["message"], &core["apiVersion"]), (&json!("something"), &json!("v1")));
    assert_eq!(core["involvedObject"]["name"], "n1");
    assert_eq!(core["reportingComponent"], "muster.dev/doctor");
    assert_eq!(core.get("note"), None);
    let new = "/apis/events.k8s.io/v1/namespaces/default/events?fieldSelector=regarding.name%3Dn1,reportingController!%3Dx";
    assert_eq!(admin.get(new).await.body["items"].as_array().unwrap().len(), 1);
}
