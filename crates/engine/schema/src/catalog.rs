//! The built-in kinds, read once from the tables that `cargo xtask tables` generates.

mod load;
mod resources;

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use crate::kind::Kind;
use crate::types::Schema;
pub use resources::Resource;

const TYPES: &str = include_str!("../data/types.txt");
const RESOURCES: &str = include_str!("../data/resources.txt");
const DESCRIPTIONS: &str = include_str!("../data/descriptions.txt");
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Every built-in kind and type.
#[derive(Debug)]
pub struct Catalog {
    types: Schema,
    kinds: Vec<Kind>,
    resources: Vec<Resource>,
    /// Definition name by `(apiVersion, kind)`, persisted or not.
    by_kind: HashMap<(String, String), String>,
}

impl Catalog {
    /// The kinds of the release the tables were made from (1.37).
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<Catalog> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            let (types, by_kind) = load::types(TYPES);
            let resources = resources::parse(RESOURCES);
            let kinds = resources::kinds(&resources, &types, &by_kind);
            Self { types, kinds, resources, by_kind }
        })
    }

    /// The persisted kind of that name.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        self.kinds.iter().find(|k| k.gvk.kind == kind && k.gvk.version == version && k.gvk.group == group)
    }

    /// The persisted kind behind a resource name in a URL.
    pub fn by_plural(&self, group: &str, version: &str, plural: &str) -> Option<&Kind> {
        self.kinds.iter().find(|k| k.plural == plural && k.gvk.version == version && k.gvk.group == group)
    }

    /// Every persisted kind, in the order of discovery.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter()
    }

    /// Every resource and subresource that discovery lists, persisted or not (`tokenreviews`, `pods/eviction`).
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// A type by definition name (`io.k8s.api.policy.v1.Eviction`), by kind with its `apiVersion` in front
    /// (`policy/v1/Eviction`), or, for the machinery's own, by kind alone (`DeleteOptions`, `Status`, `ObjectMeta`).
    pub fn message(&self, name: &str) -> Option<Schema> {
        if let Some(schema) = self.types.named(name).or_else(|| self.types.named(&format!("{META}{name}"))) {
            return Some(schema);
        }
        let (api_version, kind) = name.rsplit_once('/')?;
        let definition = self.by_kind.get(&(api_version.to_owned(), kind.to_owned()));
        definition.and_then(|definition| self.types.named(definition)).or_else(|| self.message(kind))
    }

    /// The type of `metadata`, the same for every kind.
    pub fn object_meta(&self) -> Schema {
        self.message("ObjectMeta").expect("the generated table holds ObjectMeta")
    }

    /// The arena of all built-in types.
    pub fn types(&self) -> &Schema {
        &self.types
    }
}

/// What a built-in type (`field` empty) or one of its fields is for, as published; for `explain` and OpenAPI.
///
/// The texts are indexed on first use and never copied.
pub fn description(definition: &str, field: &str) -> Option<String> {
    static INDEX: OnceLock<BTreeMap<(&'static str, &'static str), &'static str>> = OnceLock::new();
    let index = INDEX.get_or_init(|| {
        let entry = |line: &'static str| {
            let (definition, rest) = line.split_once('\t')?;
            let (field, text) = rest.split_once('\t')?;
            Some(((definition, field), text))
        };
        DESCRIPTIONS.lines().filter_map(entry).collect()
    });
    let text = index.get(&(definition, field))?;
    let text = match text.strip_prefix('=') {
        Some(other) => index.get(&other.split_once('/')?)?,
        None => text,
    };
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests;
