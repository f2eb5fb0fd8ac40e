//! From a definition to what is served.

use muster_schema::{Kind, Resource, Scope, Subresource, crd};
use serde_json::Value;
use tracing::warn;

use crate::object::FieldColumn;
use crate::server::{Origin, Served};

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// The kinds that an established definition defines, each with its discovery entries.
pub(crate) fn serve(definition: &Value) -> Vec<(Served, Vec<Resource>)> {
    if !super::status::is_established(definition) {
        return Vec::new();
    }
    match crd::compile(definition) {
        Ok(kinds) => kinds.into_iter().map(|kind| one(definition, kind)).collect(),
        Err(errors) => {
            let name = definition["metadata"]["name"].as_str().unwrap_or("");
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            warn!(name, first, "a stored definition does not compile any more and is not served");
            Vec::new()
        }
    }
}

fn one(definition: &Value, kind: Kind) -> (Served, Vec<Resource>) {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let fields = versions
        .filter(|version| version["name"] == kind.gvk.version.as_str())
        .flat_map(|version| version["selectableFields"].as_array().into_iter().flatten())
        .filter_map(|field| Some(FieldColumn::custom(field["jsonPath"].as_str()?)))
        .collect();
    let resources = entries(&kind);
    (Served::new(kind, Origin::Custom, fields), resources)
}

fn entries(kind: &Kind) -> Vec<Resource> {
    let base = Resource {
        group_version: kind.gvk.api_version(),
        name: kind.plural.clone(),
        kind: kind.gvk.kind.clone(),
        group: String::new(),
        version: String::new(),
        namespaced: kind.scope == Scope::Namespaced,
        singular_name: kind.singular.clone(),
        short_names: kind.short_names.clone(),
        categories: kind.categories.clone(),
        verbs: VERBS.map(str::to_owned).to_vec(),
        storage_version_hash: String::new(),
    };
    let mut out = vec![base.clone()];
    for subresource in &kind.subresources {
        let part = |name: &str| Resource {
            name: format!("{}/{name}", kind.plural),
            singular_name: String::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            verbs: ["get", "patch", "update"].map(str::to_owned).to_vec(),
            ..base.clone()
        };
        match subresource {
            Subresource::Status => out.push(part("status")),
            Subresource::Scale(_) => out.push(Resource {
                group: "autoscaling".to_owned(),
                version: "v1".to_owned(),
                kind: "Scale".to_owned(),
                ..part("scale")
            }),
            Subresource::Other(name) => out.push(part(name)),
        }
    }
    out
}
