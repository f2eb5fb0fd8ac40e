//! OpenAPI documents from the graph of types: v3 per group and version, v2 as one protobuf message.

mod gnostic;
mod paths;
mod refs;
mod schemas;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::kind::Kind;
use refs::Dialect;

/// The media type of [`v2_protobuf`], the form that kubectl asks `/openapi/v2` for.
pub const V2_PROTOBUF_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The OpenAPI v3 document of one group and version (`v1`, `apps/v1`): its kinds, every type they use, and the
/// operations on them.
pub fn v3(group_version: &str, kinds: &[&Kind]) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        paths::of_kind(kind, &mut paths);
    }
    let schemas: Map<String, Value> = definitions(kinds, Dialect::V3).into_iter().collect();
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned", "description": format!("API group {group_version}")},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"BearerToken": {
                "type": "apiKey",
                "in": "header",
                "name": "authorization",
                "description": "Bearer Token authentication",
            }},
        },
    })
}

/// The OpenAPI v2 document of all kinds as `openapi.v2.Document` (gnostic), for client-side apply and diff. It holds
/// definitions and no paths.
pub fn v2_protobuf(kinds: &[&Kind]) -> Vec<u8> {
    gnostic::document(&definitions(kinds, Dialect::V2))
}

/// The same document as JSON, for clients that name no form.
pub fn v2(kinds: &[&Kind]) -> Value {
    let definitions: Map<String, Value> = definitions(kinds, Dialect::V2).into_iter().collect();
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": {},
        "definitions": definitions,
    })
}

/// Every type the kinds use, and lists of the kinds, by definition name.
fn definitions(kinds: &[&Kind], dialect: Dialect) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for kind in kinds {
        schemas::of_kind(kind, dialect, &mut found);
    }
    schemas::machinery(dialect, &mut found);
    found
}

#[cfg(test)]
mod tests;
