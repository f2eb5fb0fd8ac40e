//! The port: TLS, certificates, tokens, and a real client library.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use muster_apiserver::{Identity, InProcess};
use muster_base::task::Kind;
use serde_json::json;

use crate::harness::World;

async fn listen(world: &World) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (server, tls) = (world.server.clone(), world.pki.tls().unwrap());
    let shutdown = world.tasks.shutdown_token();
    world.tasks.spawn(Kind::Job, "api", async move { server.run(listener, tls, shutdown).await.unwrap() });
    format!("https://{address}")
}

async fn client(world: &World, url: &str, who: &Identity) -> Client {
    let path = world.path("kubeconfig");
    let now = muster_base::clock::Clock::now(&*world.clock);
    world.pki.write_kubeconfig(&path, url, who, now).unwrap();
    let kubeconfig = kube::config::Kubeconfig::read_from(&path).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_client_with_a_certificate_works_over_tls_and_shutdown_drains() {
    let world = World::new().await;
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
    let now = muster_base::clock::Clock::now(&*world.clock);
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
