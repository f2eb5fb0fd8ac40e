//! An application on imagined nodes.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::PostParams;
use muster_sim::World;
use serde_json::json;

use crate::support::{healthy, seconds};

#[tokio::test(start_paused = true)]
async fn a_deployment_behind_a_service_runs_on_the_nodes_and_has_its_addresses() {
    let world = World::build(40).await;
    for name in ["m0", "m1"] {
        world.add_machine(name, "site-a").await;
    }
    healthy(&world, &["m0", "m1"]).await;
    let deployment: Deployment = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "c", "image": "app:1", "ports": [{"containerPort": 8080}]}]}}}}))
    .unwrap();
    let service: Service = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}))
    .unwrap();
    let admin = world.admin();
    Api::<Deployment>::default_namespaced(admin.clone())
        .create(&PostParams::default(), &deployment)
        .await
        .unwrap();
    Api::<Service>::default_namespaced(admin).create(&PostParams::default(), &service).await.unwrap();
    let mut addresses = world
        .wait("two ready addresses", seconds(120), |world| {
            let slices = world.list::<EndpointSlice>();
            let of_web = slices.iter().filter(|slice| {
                slice
                    .metadata
                    .labels
                    .as_ref()
                    .and_then(|l| l.get("kubernetes.io/service-name"))
                    .is_some_and(|s| s == "web")
            });
            let ready: Vec<String> = of_web
                .flat_map(|slice| slice.endpoints.iter().flatten())
                .filter(|endpoint| endpoint.conditions.as_ref().is_some_and(|c| c.ready == Some(true)))
                .flat_map(|endpoint| endpoint.addresses.clone())
                .collect();
            if ready.len() == 2 {
                Ok(ready)
            } else {
                let pods = world.list::<k8s_openapi::api::core::v1::Pod>();
                let pods: Vec<_> = pods
                    .into_iter()
                    .map(|p| {
                        (
                            p.metadata.name,
                            p.spec.and_then(|s| s.node_name),
                            p.status.map(|s| serde_json::to_string(&s).unwrap()),
                        )
                    })
                    .collect();
                Err(format!("{ready:?} of pods {pods:?}"))
            }
        })
        .await;
    addresses.sort();
    let networks: Vec<&str> = addresses.iter().map(|address| &address[..9]).collect();
    assert_eq!(networks, ["10.244.1.", "10.244.2."], "one on each node");
}
