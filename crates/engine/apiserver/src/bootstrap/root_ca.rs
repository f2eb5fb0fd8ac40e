//! The ConfigMap `kube-root-ca.crt` in every namespace: how a pod knows the API's certificate.

use std::time::Duration;

use muster_base::task::Kind;
use muster_store::{Key, WatchError};
use serde_json::json;
use tracing::warn;

use super::{Existing, write};
use crate::object::Deletion;
use crate::server::ApiServer;

const NAME: &str = "kube-root-ca.crt";
const RETRY: Duration = Duration::from_secs(1);

/// Starts the task that keeps it there.
pub(super) fn start(server: &ApiServer) {
    let server = server.clone();
    let tasks = server.inner().tasks.clone();
    tasks.spawn(Kind::Service, "root certificate publisher", async move {
        let shutdown = server.inner().tasks.shutdown_token();
        shutdown.run_until_cancelled(run(&server)).await;
    });
}

async fn run(server: &ApiServer) {
    loop {
        let store = server.store();
        let (namespaces, maps) = (store.snapshot("namespaces"), store.snapshot("configmaps"));
        let active = namespaces.iter().filter(|entry| entry.value.header().deletion == Deletion::None);
        let documents = active.map(|entry| (document(server, &entry.key.name), Existing::Replaced)).collect();
        if let Err(error) = write(server, documents).await {
            warn!(error = muster_base::error::chain(&error), "the root certificate cannot be published");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        let watches =
            (store.watch("namespaces", namespaces.revision()), store.watch("configmaps", maps.revision()));
        let (Ok(mut of_namespaces), Ok(mut of_maps)) = watches else { return };
        loop {
            let event = tokio::select! {
                event = of_namespaces.next() => event,
                event = of_maps.next() => event,
            };
            match event {
                Ok(event) if concerns(server, &event.entry.key) => break,
                Ok(_) => {}
                Err(WatchError::Closed) => return,
                Err(WatchError::Expired { .. } | WatchError::Ahead { .. }) => break,
            }
        }
    }
}

/// Whether after an event something may have to be written: ours changed, or a namespace lacks it.
fn concerns(server: &ApiServer, key: &Key) -> bool {
    if &*key.resource == "configmaps" {
        return &*key.name == NAME;
    }
    server.store().get(&Key::new("configmaps", &*key.name, NAME)).is_none()
}

pub(super) fn document(server: &ApiServer, namespace: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": NAME, "namespace": namespace,
            "annotations": {"kubernetes.io/description":
                "The certificate of the authority that signs the API server's certificate."},
        },
        "data": {"ca.crt": server.inner().authority_pem},
    })
}
