//! The end of a definition: its objects are deleted first, then it goes.

use std::time::Duration;

use muster_base::task::Kind;
use muster_store::Entry;
use serde_json::Value;
use tracing::{debug, warn};

use super::{FINALIZER, RESOURCE};
use crate::object::{Deletion, Object};
use crate::rest::{Asked, Call, Target, change, delete_entry};
use crate::server::ApiServer;
use crate::status::{Reason, Refusal};

/// Until objects with finalizers of their own are looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Starts the task that finishes deletions of definitions.
pub(crate) fn start(server: &ApiServer) {
    let server = server.clone();
    let tasks = server.inner().tasks.clone();
    tasks.spawn(Kind::Service, "custom resource cleanup", async move {
        let shutdown = server.inner().tasks.shutdown_token();
        shutdown.run_until_cancelled(follow(&server)).await;
    });
}

async fn follow(server: &ApiServer) {
    loop {
        let snapshot = server.store().snapshot(RESOURCE);
        let mut waiting = false;
        for entry in snapshot.iter().filter(|entry| entry.value.header().deletion == Deletion::Requested) {
            match finish(server, entry).await {
                Ok(Rest::Nothing) => {}
                Ok(Rest::Objects) => waiting = true,
                Err(refusal) => {
                    warn!(name = %entry.key.name, error = %refusal, "a definition's objects cannot be deleted yet");
                    waiting = true;
                }
            }
        }
        let Ok(mut watch) = server.store().watch(RESOURCE, snapshot.revision()) else {
            return debug!("the store closed");
        };
        tokio::select! {
            event = watch.next() => if let Err(muster_store::WatchError::Closed) = event { return },
            () = tokio::time::sleep(LOOK_AGAIN), if waiting => {}
        }
    }
}

enum Rest {
    Nothing,
    Objects,
}

async fn finish(server: &ApiServer, definition: &Entry<Object>) -> Result<Rest, Refusal> {
    let document = definition.value.stored_document(definition.revision.get());
    let held = document["metadata"]["finalizers"].as_array();
    if !held.is_some_and(|list| list.iter().any(|one| one == FINALIZER)) {
        return Ok(Rest::Nothing);
    }
    if delete_objects(server, &document).await? > 0 {
        return Ok(Rest::Objects);
    }
    let registry = server.inner().registry.current();
    let served = registry
        .find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        .ok_or_else(Refusal::no_such_resource)?;
    let target = Target::new(served, "", &definition.key.name, crate::rest::meta::DELETING);
    let released = change(server, &mut Call::internal(), &target, |old| {
        let mut new = old.clone();
        let kept = old["metadata"]["finalizers"].as_array().into_iter().flatten();
        let kept: Vec<Value> = kept.filter(|one| *one != FINALIZER).cloned().collect();
        new["metadata"]["finalizers"] = Value::from(kept);
        Ok(new)
    })
    .await;
    match released {
        Ok(_) => Ok(Rest::Nothing),
        Err(refusal) if refusal.reason() == Reason::NotFound => Ok(Rest::Nothing),
        Err(refusal) => Err(refusal),
    }
}

/// Deletes the objects of a definition; how many are left.
async fn delete_objects(server: &ApiServer, document: &Value) -> Result<usize, Refusal> {
    let spec = &document["spec"];
    let (group, plural) =
        (spec["group"].as_str().unwrap_or(""), spec["names"]["plural"].as_str().unwrap_or(""));
    let registry = server.inner().registry.current();
    let Some(served) =
        registry.all().find(|served| served.kind.gvk.group == group && served.kind.plural == plural)
    else {
        return Ok(0);
    };
    for entry in server.store().snapshot(&served.resource).iter() {
        let target = Target::new(served, &entry.key.namespace, &entry.key.name, "");
        match delete_entry(server, &mut Call::internal(), &target, &Asked::default()).await {
            Ok(_) => {}
            Err(refusal) if refusal.reason() == Reason::NotFound => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(server.store().snapshot(&served.resource).len())
}
