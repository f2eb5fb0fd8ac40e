//! OpenAPI: the v3 index and its documents, each rendered when it is asked for, and v2.

use std::sync::Arc;

use muster_schema::{Kind, openapi};
use serde_json::{Map, Value, json};

use super::{Rendered, hash};
use crate::request::Accept;
use crate::server::{Origin, Registry, Served};
use crate::status::Refusal;

const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The same as it is answered: what is asked for is no valid media type.
const V2_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Answers what is below `/openapi`.
pub(crate) fn open_api(
    registry: &Registry,
    parts: &[&str],
    accept: &Accept,
) -> Result<Arc<Rendered>, Refusal> {
    let documents = registry.documents();
    match parts {
        ["v3"] => Ok(documents.get("openapi index", || Rendered::json(&index(registry), "application/json"))),
        ["v3", "api", version] => v3(registry, version),
        ["v3", "apis", group, version] => v3(registry, &format!("{group}/{version}")),
        ["v2"] if accept.names(V2_PROTOBUF) || accept.names(&V2_PROTOBUF.to_lowercase()) => Ok(documents
            .get("openapi v2", || {
                let served: Vec<Arc<Served>> = registry.all().cloned().collect();
                Rendered::new(openapi::v2_protobuf(&sorted(&served)), V2_ANSWER)
            })),
        ["v2"] if accept.takes_json() => Ok(documents.get("openapi v2 json", || {
            let served: Vec<Arc<Served>> = registry.all().cloned().collect();
            Rendered::json(&openapi::v2(&sorted(&served)), "application/json")
        })),
        ["v2"] => Err(Refusal::not_acceptable(&["application/json", V2_PROTOBUF])),
        _ => Err(Refusal::no_such_resource()),
    }
}

fn sorted(served: &[Arc<Served>]) -> Vec<&Kind> {
    let mut kinds: Vec<&Kind> = served.iter().map(|one| &one.kind).collect();
    kinds.sort_by(|a, b| (&a.gvk, &a.plural).cmp(&(&b.gvk, &b.plural)));
    kinds
}

fn v3(registry: &Registry, group_version: &str) -> Result<Arc<Rendered>, Refusal> {
    let kinds = registry.kinds(group_version);
    if kinds.is_empty() {
        return Err(Refusal::no_such_resource());
    }
    Ok(registry.documents().get(&format!("openapi {group_version}"), || {
        Rendered::json(&openapi::v3(group_version, &sorted(&kinds)), "application/json")
    }))
}

fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for (group_version, _) in registry.group_versions() {
        let kinds = registry.kinds(group_version);
        if kinds.is_empty() && !registry.is_aggregated(group_version) {
            continue;
        }
        let root = if group_version.contains('/') { "apis" } else { "api" };
        let path = format!("{root}/{group_version}");
        let url = format!("/openapi/v3/{path}?hash={}", fingerprint(group_version, &kinds));
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

/// What the document depends on, hashed: rendering all of them for the index would cost a second.
fn fingerprint(group_version: &str, kinds: &[Arc<Served>]) -> String {
    let mut text = format!("{} {group_version}", env!("CARGO_PKG_VERSION"));
    for served in kinds {
        text.push_str(&served.kind.gvk.kind);
        if let (Origin::Custom, Some(schema)) = (&served.origin, &served.kind.open_api) {
            text.push_str(&schema.to_string());
        }
    }
    hash(text.as_bytes())
}
