//! What there is: plain and aggregated discovery, OpenAPI. Rendered once per state of the registry.

mod aggregated;
mod openapi;
mod plain;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

pub(crate) use openapi::open_api;
pub(crate) use plain::paths;

use crate::request::Accept;
use crate::server::Registry;
use crate::status::Refusal;

/// A document ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    pub(crate) bytes: Bytes,
    pub(crate) etag: String,
    pub(crate) content_type: &'static str,
}

impl Rendered {
    fn new(bytes: Vec<u8>, content_type: &'static str) -> Arc<Self> {
        let etag = hash(&bytes);
        Arc::new(Self { bytes: bytes.into(), etag, content_type })
    }

    fn json(document: &Value, content_type: &'static str) -> Arc<Self> {
        Self::new(document.to_string().into_bytes(), content_type)
    }
}

/// SHA-256 in upper-case hexadecimal, as upstream's entity tags.
fn hash(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The documents rendered so far, by name.
#[derive(Debug, Default)]
pub(crate) struct Documents(Mutex<HashMap<String, Arc<Rendered>>>);

impl Documents {
    /// The document of that name, rendered by `make` the first time.
    fn get(&self, name: &str, make: impl FnOnce() -> Arc<Rendered>) -> Arc<Rendered> {
        if let Some(found) = self.0.lock().get(name) {
            return Arc::clone(found);
        }
        // Rendered outside the lock: two may do the same work at once, which is better than one waiting.
        let made = make();
        Arc::clone(self.0.lock().entry(name.to_owned()).or_insert(made))
    }
}

/// Answers `/api` and `/apis` and what is below, down to a group's version.
pub(crate) fn resources(
    registry: &Registry,
    parts: &[&str],
    accept: &Accept,
    address: SocketAddr,
) -> Result<Arc<Rendered>, Refusal> {
    let json = "application/json";
    let documents = registry.documents();
    match (parts, accept.aggregated_discovery()) {
        ([root @ ("api" | "apis")], Some(version)) => Ok(documents.get(&format!("{root} {version}"), || {
            let content_type = match version {
                "v2beta1" => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
                _ => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            };
            Rendered::json(&aggregated::document(registry, root, version), content_type)
        })),
        (["api"], None) => Ok(documents.get("api", || Rendered::json(&plain::versions(address), json))),
        (["apis"], None) => Ok(documents.get("apis", || Rendered::json(&plain::groups(registry), json))),
        (["apis", group], _) => {
            let document = plain::group(registry, group).ok_or_else(Refusal::no_such_resource)?;
            Ok(Rendered::json(&document, json))
        }
        (["api", version], _) => list(registry, version),
        (["apis", group, version], _) => list(registry, &format!("{group}/{version}")),
        _ => Err(Refusal::no_such_resource()),
    }
}

fn list(registry: &Registry, group_version: &str) -> Result<Arc<Rendered>, Refusal> {
    let document = plain::resource_list(registry, group_version).ok_or_else(Refusal::no_such_resource)?;
    Ok(Rendered::json(&document, "application/json"))
}
