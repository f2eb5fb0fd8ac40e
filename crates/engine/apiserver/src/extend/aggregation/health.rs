//! Whether the servers behind answer, and what they say they serve.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::Request;
use http::header::{ACCEPT, HeaderValue};
use http_body_util::{BodyExt, Full, Limited};
use muster_base::task::Kind;
use muster_schema::Resource;
use muster_store::{Watch, WatchError};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{RESOURCE, Remote, local};
use crate::extend::backend::{Place, explain};
use crate::extend::custom;
use crate::object::Object;
use crate::rest::{Asked, Call, Target, change, delete_entry, meta};
use crate::server::ApiServer;
use crate::status::{Reason, Refusal};

const CHECK_EVERY: Duration = Duration::from_secs(30);
/// While one does not answer, or something could not be written.
const CHECK_AGAIN: Duration = Duration::from_secs(2);
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
const DISCOVERY_BYTES_MAX: usize = 4 << 20;
/// Changes of these are a reason to look.
const FOLLOWED: [&str; 5] =
    [RESOURCE, custom::RESOURCE, "services", "endpoints", "endpointslices.discovery.k8s.io"];

/// Starts the task that keeps the conditions true.
pub(crate) fn start(server: &ApiServer) {
    let server = server.clone();
    let tasks = server.inner().tasks.clone();
    tasks.spawn(Kind::Service, "aggregated APIs", async move {
        let shutdown = server.inner().tasks.shutdown_token();
        shutdown.run_until_cancelled(run(&server)).await;
    });
}

async fn run(server: &ApiServer) {
    loop {
        let revision = server.store().revision();
        let watches: Result<Vec<_>, _> =
            FOLLOWED.iter().map(|resource| server.store().watch(resource, revision)).collect();
        let Ok(mut watches) = watches else { return };
        let next = pass(server).await;
        let changed =
            futures::future::select_all(watches.iter_mut().map(|watch| Box::pin(concerning(server, watch))));
        let ended = match next {
            Some(wait) => tokio::time::timeout(wait, changed).await.ok(),
            None => Some(changed.await),
        };
        if let Some((Err(WatchError::Closed), ..)) = ended {
            return;
        }
    }
}

/// Waits for a change that may matter: of registrations and definitions, or of what the registered servers are behind.
async fn concerning(server: &ApiServer, watch: &mut Watch<Object>) -> Result<(), WatchError> {
    loop {
        let event = watch.next().await?;
        let key = &event.entry.key;
        if [RESOURCE, custom::RESOURCE].contains(&&*key.resource) {
            return Ok(());
        }
        let remotes = server.inner().aggregates.remotes.current();
        let behind = |remote: &Arc<Remote>| match &remote.place {
            Place::Service { namespace, .. } => **namespace == *key.namespace,
            Place::Host { .. } => false,
        };
        if remotes.all().any(behind) {
            return Ok(());
        }
    }
}

/// One look at everything; when to look again without a change, if at all.
async fn pass(server: &ApiServer) -> Option<Duration> {
    let written = register(server).await;
    if let Err(why) = &written {
        warn!(why, "registrations of custom resources cannot be written yet");
    }
    let remotes: Vec<Arc<Remote>> = server.inner().aggregates.remotes.current().all().cloned().collect();
    let checks = join_all(remotes.iter().map(|remote| check(server, remote))).await;
    let mut found = BTreeMap::new();
    let before = Arc::clone(&server.inner().aggregates.found.lock());
    let mut good = written.is_ok();
    for (remote, checked) in remotes.iter().zip(checks) {
        good &= checked.is_ok();
        let name = remote.group_version();
        let (verdict, resources) = match checked {
            Ok(resources) => (Ok(()), resources),
            Err(why) => (Err(why), before.get(&name).cloned().unwrap_or_default()),
        };
        found.insert(name, resources);
        if let Err(refusal) = tell(server, remote, verdict).await {
            warn!(name = remote.name, error = %refusal, "the condition of an aggregated API cannot be written yet");
            good = false;
        }
    }
    publish(server, found);
    let idle = remotes.is_empty() && good;
    (!idle).then_some(if good { CHECK_EVERY } else { CHECK_AGAIN })
}

fn publish(server: &ApiServer, found: BTreeMap<String, Vec<Resource>>) {
    let mut known = server.inner().aggregates.found.lock();
    let text = |map: &BTreeMap<String, Vec<Resource>>| format!("{map:?}");
    if text(&known) != text(&found) {
        *known = Arc::new(found);
    }
}

async fn register(server: &ApiServer) -> Result<(), String> {
    let (missing, gone) = local::custom(server);
    if !missing.is_empty() {
        let written = server.ensure_objects(missing).await;
        written.map_err(|error| muster_base::error::chain(&error).to_string())?;
    }
    for name in gone {
        let target = target(server, &name, "").map_err(|refusal| refusal.to_string())?;
        match delete_entry(server, &mut Call::internal(), &target, &Asked::default()).await {
            Ok(_) => {}
            Err(refusal) if refusal.reason() == Reason::NotFound => {}
            Err(refusal) => return Err(refusal.to_string()),
        }
    }
    Ok(())
}

fn target(server: &ApiServer, name: &str, subresource: &str) -> Result<Target, Refusal> {
    let registry = server.inner().registry.current();
    let served = registry.find("apiregistration.k8s.io", "v1", "apiservices");
    Ok(Target::new(served.ok_or_else(Refusal::no_such_resource)?, "", name, subresource))
}

/// Asks a server what it serves; reason and message where it does not say.
async fn check(server: &ApiServer, remote: &Remote) -> Result<Vec<Resource>, (&'static str, String)> {
    let path = format!("/apis/{}/{}", remote.group, remote.version);
    let failed = |why: String| {
        let place = remote.place.authority();
        ("FailedDiscoveryCheck", format!("failing or missing response from https://{place}{path}: {why}"))
    };
    let backend = remote.backend(server).map_err(|error| failed(error.to_string()))?;
    let mut request = Request::get(backend.url(&path)).body(Full::new(Bytes::new()));
    if let Ok(request) = &mut request {
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert("x-remote-user", HeaderValue::from_static("system:kube-aggregator"));
        headers.insert("x-remote-group", HeaderValue::from_static("system:masters"));
    }
    let request = request.map_err(|error| failed(error.to_string()))?;
    let asked = async {
        let response = backend.send(request).await.map_err(|error| explain(&error))?;
        let code = response.status();
        let body = Limited::new(response.into_body(), DISCOVERY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        if code.is_success() {
            resources(remote, &body)
        } else {
            Err(format!("bad status: {}", code.as_u16()))
        }
    };
    let answered = tokio::time::timeout(CHECK_TIMEOUT, asked).await;
    answered.unwrap_or_else(|_| Err("context deadline exceeded".to_owned())).map_err(failed)
}

fn resources(remote: &Remote, body: &[u8]) -> Result<Vec<Resource>, String> {
    let document: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let list = document["resources"].as_array().cloned().unwrap_or_default();
    let group_version = remote.group_version();
    let read = |mut one: Value| {
        one["groupVersion"] = json!(group_version);
        serde_json::from_value(one).map_err(|error| error.to_string())
    };
    list.into_iter().map(read).collect()
}

/// Writes the condition, if it changes.
async fn tell(
    server: &ApiServer,
    remote: &Remote,
    verdict: Result<(), (&'static str, String)>,
) -> Result<(), Refusal> {
    let (status, reason, message) = match verdict {
        Ok(()) => ("True", "Passed", "all checks passed".to_owned()),
        Err((reason, message)) => ("False", reason, message),
    };
    if remote.available.is_ok() != (status == "True") {
        info!(name = remote.name, status, why = message, "availability of an aggregated API changed");
    }
    let now = meta::time(server.inner().clock.now());
    let target = target(server, &remote.name, "status")?;
    let changed = change(server, &mut Call::internal(), &target, |old| {
        let mut conditions = old["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let known = conditions.iter().find(|one| one["type"] == "Available" && one["status"] == status);
        let since = known.map_or(json!(now), |known| known["lastTransitionTime"].clone());
        conditions.retain(|one| one["type"] != "Available");
        conditions.push(json!({
            "type": "Available", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since,
        }));
        let mut new = old.clone();
        new["status"]["conditions"] = Value::from(conditions);
        Ok(new)
    })
    .await;
    match changed {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.reason() == Reason::NotFound => Ok(()),
        Err(refusal) => Err(refusal),
    }
}
