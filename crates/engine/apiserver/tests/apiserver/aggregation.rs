//! APIs of servers behind this one, on a real port.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster_apiserver::Identity;
use muster_apiserver::pki::ServingNames;
use muster_base::clock::Clock;
use muster_base::task::Kind;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Answer, World, status};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const THINGS: &str = "/apis/things.example/v1/things";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A server that takes connections of the front proxy only, and answers with what it was sent.
async fn things(world: &World) -> u16 {
    let map = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let map = world.admin().get(map).await;
    let authority =
        map.body["data"]["requestheader-client-ca-file"].as_str().expect("an authority").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = tokio_rustls::TlsAcceptor::from(tls(world, &authority));
    let tasks = world.tasks.clone();
    world.tasks.spawn(Kind::Request, "things", async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let acceptor = acceptor.clone();
            tasks.spawn(Kind::Request, "things connection", async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let builder = hyper::server::conn::http1::Builder::new();
                let connection = builder.serve_connection(TokioIo::new(stream), service_fn(respond));
                connection.await.unwrap_or_default();
            });
        }
    });
    port
}

fn tls(world: &World, authority: &str) -> Arc<rustls::ServerConfig> {
    let names = ServingNames { dns: vec!["things.kube-system.svc".into()], addresses: Vec::new() };
    let made = world.pki.server("things", &names, world.clock.now()).expect("a certificate");
    let chain = vec![CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM")).expect("a root");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.build().expect("a verifier");
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("versions").with_client_cert_verifier(verifier);
    Arc::new(builder.with_single_cert(chain, key).expect("a certificate with its key"))
}

async fn respond(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let sent = body.collect().await?.to_bytes();
    let of = |name: &str| -> Vec<String> {
        let values = parts.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap_or("").to_owned()).collect()
    };
    let query = parts.uri.query().unwrap_or("");
    let whole = |document: Value| -> Body {
        http_body_util::Full::new(Bytes::from(document.to_string())).boxed_unsync()
    };
    let body = match parts.uri.path() {
        "/apis/things.example/v1" => whole(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "things.example/v1",
            "resources": [{"name": "things", "singularName": "thing", "namespaced": false, "kind": "Thing",
                           "verbs": ["get", "list", "watch"]}],
        })),
        "/openapi/v3/apis/things.example/v1" => whole(json!({"openapi": "3.0.0", "of": "things"})),
        THINGS if query.contains("watch") => {
            let frames = futures::stream::iter([
                "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"one\"}}}\n",
            ])
            .map(|text| Ok(Frame::data(Bytes::from(text))))
            .chain(futures::stream::pending());
            StreamBody::new(frames).boxed_unsync()
        }
        path => whole(json!({
            "path": path, "query": query, "method": parts.method.as_str(),
            "user": of("x-remote-user"), "groups": of("x-remote-group"),
            "why": of("x-remote-extra-why"), "authorization": of("authorization"),
            "sent": String::from_utf8_lossy(&sent),
        })),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response.headers_mut().insert("x-own", http::HeaderValue::from_static("kept"));
    Ok(response)
}

/// Registers the server with slices and no Service, as one in this process does.
async fn register(world: &World, port: u16) {
    let admin = world.admin();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "things", "labels": {"kubernetes.io/service-name": "things"}},
        "ports": [{"port": port}], "endpoints": [{"addresses": ["127.0.0.1"]}],
    });
    let slices = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices";
    assert_eq!(admin.post(slices, &slice).await.code, 201);
    let registration = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.things.example"},
        "spec": {
            "group": "things.example", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "service": {"namespace": "kube-system", "name": "things"},
            "caBundle": STANDARD.encode(world.pki.authority_pem()),
        },
    });
    let made = admin.post(SERVICES, &registration).await;
    assert_eq!(made.code, 201, "{}", made.body);
}

/// Waits until the condition of the registration is as wanted.
async fn available(world: &World, wanted: &str) -> Value {
    let path = format!("{SERVICES}/v1.things.example");
    let mut watch = world
        .admin()
        .watch(&format!("{SERVICES}?watch=true&fieldSelector=metadata.name=v1.things.example"))
        .await;
    let found = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let now = world.admin().get(&path).await.body;
            if now["status"]["conditions"][0]["status"] == wanted {
                return now;
            }
            watch.next().await.expect("another change");
        }
    });
    found.await.unwrap_or_else(|_| panic!("not {wanted} within ten seconds"))
}

#[tokio::test]
async fn requests_are_handed_on_with_who_asks_and_discovery_lists_what_is_behind() {
    let world = World::of_today().await;
    register(&world, things(&world).await).await;
    let registered = available(&world, "True").await;
    assert_eq!(registered["status"]["conditions"][0]["reason"], "Passed");
    let mut who = Identity::new("kim", &["system:masters"]);
    who.extra.insert("why".into(), vec!["ticket 7".into()]);
    let user = world.user(who);
    let headers =
        [("authorization", "Bearer secret"), ("x-remote-user", "root"), ("content-type", "application/json")];
    let path = format!("{THINGS}/a%2Fb?dryRun=All");
    let answer: Answer = user.send("PUT", &path, &headers, b"{\"a\":1}".to_vec()).await;
    assert_eq!(
        (answer.code.as_u16(), &answer.headers["x-own"]),
        (200, &http::HeaderValue::from_static("kept"))
    );
    assert_eq!(
        answer.body,
        json!({
            "path": format!("{THINGS}/a%2Fb"), "query": "dryRun=All", "method": "PUT", "user": ["kim"],
            "groups": ["system:masters", "system:authenticated"], "why": ["ticket 7"], "authorization": [],
            "sent": "{\"a\":1}",
        })
    );
    let mut watch = user.watch(&format!("{THINGS}?watch=true")).await;
    assert_eq!(watch.line().await, "ADDED one", "frames come as they come");
    let groups = user.get("/apis").await.body;
    assert!(groups["groups"].as_array().unwrap().iter().any(|one| one["name"] == "things.example"));
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let all = user.get_as("/apis", accept).await.body;
    let group =
        all["items"].as_array().unwrap().iter().find(|one| one["metadata"]["name"] == "things.example");
    assert_eq!(group.unwrap()["versions"][0]["resources"][0]["resource"], "things");
    let index = user.get("/openapi/v3").await.body;
    let url = index["paths"]["apis/things.example/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert_eq!(user.get(&url).await.body["of"], "things");
}

#[tokio::test]
async fn who_may_not_is_refused_here_and_a_server_that_is_away_is_told() {
    let world = World::of_today().await;
    let port = things(&world).await;
    register(&world, port).await;
    available(&world, "True").await;
    let refused = world.user(Identity::new("lee", &[])).get(THINGS).await;
    assert_eq!(
        status(&refused),
        "403 Forbidden: things.things.example is forbidden: User \"lee\" cannot list resource \"things\" in API \
         group \"things.example\" at the cluster scope"
    );
    let admin = world.admin();
    let slice = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/things";
    let nowhere = json!({"ports": [{"port": 1}]});
    assert_eq!(admin.patch(slice, "merge-patch+json", &nowhere).await.code, 200);
    let moved = json!({"spec": {"service": {"port": 444}}});
    assert_eq!(
        admin.patch(&format!("{SERVICES}/v1.things.example"), "merge-patch+json", &moved).await.code,
        200
    );
    let away = available(&world, "False").await;
    assert_eq!(away["status"]["conditions"][0]["reason"], "FailedDiscoveryCheck");
    let answer = admin.get(THINGS).await;
    assert_eq!(
        status(&answer),
        "503 ServiceUnavailable: the server is currently unable to handle the request (APIService \
         \"v1.things.example\": failing or missing response from https://things.kube-system.svc:444/apis/things.example/v1: \
         dial tcp 127.0.0.1:1: Connection refused (os error 111))"
    );
    assert_eq!(admin.patch(slice, "merge-patch+json", &json!({"ports": [{"port": port}]})).await.code, 200);
    available(&world, "True").await;
    assert_eq!(admin.get(THINGS).await.code, 200);
    assert_eq!(admin.delete(&format!("{SERVICES}/v1.things.example"), &Value::Null).await.code, 200);
    assert_eq!(admin.get(THINGS).await.code, 404);
}

#[tokio::test]
async fn what_is_served_here_is_registered_as_local() {
    let world = World::new().await;
    let admin = world.admin();
    let apps = admin.get(&format!("{SERVICES}/v1.apps")).await.body;
    assert_eq!(
        apps["spec"],
        json!({"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15})
    );
    assert_eq!(apps["status"]["conditions"][0]["reason"], "Local");
    let mut watch = admin
        .watch(&format!("{SERVICES}?watch=true&labelSelector=kube-aggregator.kubernetes.io/automanaged=true"))
        .await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "parts.example.dev"},
        "spec": {
            "group": "example.dev", "scope": "Cluster", "names": {"plural": "parts", "kind": "Part"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                          "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(admin.post(path, &definition).await.code, 201);
    assert_eq!(watch.line().await, "ADDED v1.example.dev");
    assert_eq!(admin.delete(&format!("{path}/parts.example.dev"), &Value::Null).await.code, 200);
    assert_eq!(watch.line().await, "DELETED v1.example.dev");
    let bad = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.x.y"},
        "spec": {"group": "x.z", "version": "v1", "groupPriorityMinimum": 0, "versionPriority": 5,
                 "service": {"name": "s"}},
    });
    let refused = admin.post(SERVICES, &bad).await;
    assert_eq!(
        status(&refused),
        "422 Invalid: APIService.apiregistration.k8s.io \"v1.x.y\" is invalid: [metadata.name: Invalid value: \"v1.x.y\": \
         must be `spec.version+\".\"+spec.group`: \"v1.x.z\", spec.groupPriorityMinimum: Invalid value: 0: must be \
         positive and less than 20000, spec.service.namespace: Required value]"
    );
}
