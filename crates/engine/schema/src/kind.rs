//! A kind as clients see it: names, scope, subresources, columns, schema.

use serde_json::Value;

use crate::types::Schema;

/// Group, version and kind of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Kind, as in the object's `kind` field.
    pub kind: String,
}

impl Gvk {
    /// The object's `apiVersion`: `version`, or `group/version`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In none.
    Cluster,
}

/// Where a scalable kind keeps its replica counts, as simple JSON paths (`.spec.replicas`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Wanted replicas.
    pub spec_replicas: String,
    /// Observed replicas.
    pub status_replicas: String,
    /// Serialised label selector, where there is one.
    pub label_selector: Option<String>,
}

/// A subresource of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `status`: written apart from the rest.
    Status,
    /// `scale`: the kind as `autoscaling/v1` Scale.
    Scale(ScalePaths),
    /// Another one, such as `log`, `binding`, `eviction`, `token`, `finalize`.
    Other(&'static str),
}

/// A printer column (`additionalPrinterColumns`, or a built-in's own).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Header.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub column_type: String,
    /// OpenAPI format, often empty; `name` marks the identity column.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: i32,
    /// Simple JSON path of the cell (custom resources).
    pub json_path: String,
}

/// A kind: everything the server needs to serve it.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Group, version, kind.
    pub gvk: Gvk,
    /// Resource name in URLs.
    pub plural: String,
    /// Name for one.
    pub singular: String,
    /// Abbreviations for clients.
    pub short_names: Vec<String>,
    /// Groups of resources such as `all`.
    pub categories: Vec<String>,
    /// Kind of a list of these.
    pub list_kind: String,
    /// Namespaced or not.
    pub scope: Scope,
    /// Subresources served.
    pub subresources: Vec<Subresource>,
    /// Version in which objects are stored.
    pub storage_version: String,
    /// What an object looks like.
    pub schema: Schema,
    /// Columns of custom resources; empty for built-ins, which are printed by their own rows.
    pub columns: Vec<Column>,
    /// Fields that lists and watches can select on besides name and namespace (`.spec.nodeName`).
    pub selectable_fields: Vec<String>,
    /// The `openAPIV3Schema` as given, for publishing (custom resources).
    pub open_api: Option<Value>,
}

impl Kind {
    /// The store's and discovery's name of the resource: `plural`, or `plural.group`.
    pub fn resource(&self) -> String {
        if self.gvk.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.gvk.group)
        }
    }

    /// Whether `status` is a subresource.
    pub fn has_status(&self) -> bool {
        self.subresources.iter().any(|sub| matches!(sub, Subresource::Status))
    }
}
