//! How the two versions of OpenAPI refer to a type.

use serde_json::{Map, Value, json};

use crate::kind::Kind;
use crate::types::Shape;

/// A version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

impl Dialect {
    fn path(self, name: &str) -> String {
        match self {
            Self::V2 => format!("#/definitions/{name}"),
            Self::V3 => format!("#/components/schemas/{name}"),
        }
    }

    /// A bare reference.
    pub(super) fn reference(self, name: &str) -> Value {
        json!({"$ref": self.path(name)})
    }

    /// A reference beside which other keywords stand; in v3 a bare one would hide them.
    pub(super) fn extended(self, name: &str) -> Map<String, Value> {
        let mut map = Map::new();
        match self {
            Self::V2 => map.insert("$ref".to_owned(), self.path(name).into()),
            Self::V3 => map.insert("allOf".to_owned(), json!([self.reference(name)])),
        };
        map
    }
}

/// The definition name of a kind: a built-in's own, or the group backwards, version and kind.
pub(super) fn definition(kind: &Kind) -> String {
    if let (None, Shape::Object { definition: Some(name), .. }) = (&kind.open_api, &kind.schema.node().shape)
    {
        return name.to_string();
    }
    let group: Vec<&str> = kind.gvk.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), kind.gvk.version, kind.gvk.kind)
}

/// The definition name of lists of a kind.
pub(super) fn list_definition(kind: &Kind) -> String {
    let name = definition(kind);
    let parent = name.rsplit_once('.').map_or("", |(parent, _)| parent);
    format!("{parent}.{}", kind.list_kind)
}

/// `x-kubernetes-group-version-kind`.
pub(super) fn gvk(kind: &Kind, name: &str) -> Value {
    json!({"group": kind.gvk.group, "version": kind.gvk.version, "kind": name})
}
