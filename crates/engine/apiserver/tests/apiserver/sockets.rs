//! The port: TLS, certificates, tokens, and a real client library.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use muster_apiserver::{Identity, InProcess};
use muster_base::clock::Clock;
use muster_base::task::Kind;
use serde_json::json;

use crate::harness::World;

async fn listen(world: &World) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a working port");
    let address = listener.local_addr().expect("a working port");
    let (server, tls) = (world.server.clone(), world.pki.tls().expect("a working port"));
    let shutdown = world.tasks.shutdown_token();
    world.tasks.spawn(Kind::Job, "api", async move {
        server.run(listener, tls, shutdown).await.expect("a working port")
    });
    format!("https://{address}")
}

async fn client(world: &World, url: &str, who: &Identity) -> Client {
    let path = world.path("kubeconfig");
    let now = world.clock.now();
    world.pki.write_kubeconfig(&path, url, who, now).expect("a working port");
    let kubeconfig = kube::config::Kubeconfig::read_from(&path).expect("a working port");
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.expect("a working port");
    Client::try_from(config).expect("a working port")
}

#[tokio::test]
async fn a_client_with_a_certificate_works_over_tls_and_shutdown_drains() {
    let world = World::of_today().await;
    let url = listen(&world).await;
    let client = client(&world, &url, &Identity::new("admin", &["system:masters"])).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let names: Vec<String> = namespaces
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .filter_map(|one| one.metadata.name)
        .collect();
    assert_eq!(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
    drop((namespaces, client));
    world.tasks.drain(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn keys_are_for_their_owner_only_and_used_again() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    for name in ["ca.key", "ca.crt", "serving.key", "service-account.key"] {
        let mode = std::fs::metadata(world.path("pki").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let names = muster_apiserver::pki::ServingNames::default();
    let now = world.clock.now();
    let again = muster_apiserver::pki::Pki::open(&world.path("pki"), &names, now).unwrap();
    assert_eq!(again.authority_pem(), world.pki.authority_pem());
}

#[tokio::test]
async fn the_client_library_works_without_a_socket() {
    let world = World::new().await;
    let service = InProcess::new(world.server.clone(), Identity::new("admin", &["system:masters"]));
    let maps: Api<ConfigMap> = Api::default_namespaced(Client::new(service, "default"));
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "a"}, "data": {"k": "v"}})).unwrap();
    let made = maps.create(&PostParams::default(), &map).await.unwrap();
    assert_eq!(made.data, map.data);
    let missing = maps.get("none").await.unwrap_err();
    assert!(matches!(missing, kube::Error::Api(status) if status.code == 404 && status.reason == "NotFound"));
}

/// An agent that answers one connection with `answer` and tells what it was asked.
async fn agent(world: &World, answer: &'static str) -> (u16, tokio::sync::oneshot::Receiver<String>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = tokio_rustls::TlsAcceptor::from(world.pki.tls().expect("tls"));
    let (tell, told) = tokio::sync::oneshot::channel();
    world.tasks.spawn(Kind::Job, "agent", async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = acceptor.accept(stream).await.expect("tls");
        let certified = stream.get_ref().1.peer_certificates().is_some();
        let mut buffer = vec![0; 4096];
        let length = stream.read(&mut buffer).await.expect("a request");
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let first = request.lines().next().unwrap_or("").to_owned();
        tell.send(format!("{first} certified={certified}")).expect("a listener");
        stream.write_all(answer.as_bytes()).await.expect("an answer");
        stream.shutdown().await.expect("an end");
    });
    (port, told)
}

#[tokio::test]
async fn logs_are_fetched_from_the_address_in_the_nodes_status() {
    use futures::StreamExt;
    use muster_apiserver::{AgentDialer, DialError, LogOptions, NodeDialer};
    let world = World::of_today().await;
    let tls = world.pki.agent_tls(&Identity::component("apiserver"), world.clock.now()).unwrap();
    let dialer = AgentDialer::new(world.server.store().clone(), tls, world.tasks.clone());
    let options = LogOptions {
        namespace: "default".into(),
        pod: "p".into(),
        container: "c".into(),
        ..LogOptions::default()
    };
    let unknown = dialer.logs("n1", options.clone()).await.err();
    let reason = "there is no such node".to_owned();
    assert_eq!(unknown, Some(DialError::Unreachable { node: "n1".into(), reason }));
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n";
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nno pod\n";
    for (name, answer) in [("n1", ok), ("n2", missing)] {
        let (port, asked) = agent(&world, answer).await;
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            },
        });
        assert_eq!(world.admin().post("/api/v1/nodes", &node).await.code, 201);
        match dialer.logs(name, options.clone()).await {
            Ok(stream) => assert_eq!(stream.collect::<Vec<_>>().await.concat(), b"hello\n"),
            Err(error) => assert_eq!(error, DialError::NotFound { reason: "no pod".into() }),
        }
        assert_eq!(asked.await.unwrap(), "GET /containerLogs/default/p/c HTTP/1.1 certified=true");
    }
}
