//! Fields by the names that a person writes, checked against the kinds' own schemas.

use std::sync::LazyLock;

use serde_json::Value;

use crate::change::{Path, Step};
use crate::database::is_hot;
use crate::kinds::Kind;

/// A field of a machine or of its inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) kind: Kind,
    pub(super) path: Path,
    pub(super) place: Place,
}

impl Field {
    pub(super) fn is_label(&self) -> bool {
        let labels = Path::default().field("metadata").field("labels");
        labels.holds(&self.path)
    }
}

/// Where its values are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In its column.
    Column,
    /// In the columns of the keys below it.
    Columns,
    /// It is the machine's name.
    Name,
    /// In the log.
    Log,
}

/// What a person may write for the fields asked for most.
pub(super) fn short(name: &str) -> Option<&'static str> {
    Some(match name {
        "site" => "machine.spec.site",
        "rack" => "machine.spec.rack",
        "role" => "machine.spec.role",
        "profile" => "machine.spec.profile",
        "phase" => "machine.status.phase",
        _ => return None,
    })
}

/// The schemas of Machine and Inventory.
pub(super) struct Schemas {
    machine: Value,
    inventory: Value,
}

const METADATA: [&str; 6] =
    ["name", "labels", "annotations", "creationTimestamp", "deletionTimestamp", "finalizers"];

static ALL: LazyLock<Schemas> = LazyLock::new(|| {
    let mut crds = muster_api::crds::all();
    let mut schema = |kind: &str| {
        let index = crds.iter().position(|crd| crd.spec.names.kind == kind).expect("one of Muster's kinds");
        let schema = crds.swap_remove(index).spec.versions.remove(0).schema;
        let properties =
            schema.and_then(|schema| schema.open_api_v3_schema).expect("every kind has a schema");
        serde_json::to_value(properties).expect("a schema is JSON")
    };
    Schemas { machine: schema("Machine"), inventory: schema("Inventory") }
});

impl Schemas {
    pub(super) fn all() -> &'static Self {
        &ALL
    }

    /// The field of that name, such as `machine.spec.role` or `inventory.memoryGiB`; the variable alone is all of it.
    ///
    /// # Errors
    /// What else there is in its place.
    pub(super) fn find(&self, name: &str) -> Result<Field, String> {
        let mut words = name.split('.');
        let (kind, schema, mut path) = match words.next() {
            Some("machine") => (Kind::Machine, &self.machine, Path::default()),
            Some("inventory") => (Kind::Inventory, &self.inventory, Path::default().field("status")),
            _ => return Err("; fields begin with machine. or inventory.".to_owned()),
        };
        let mut schema = if kind == Kind::Inventory { &schema["properties"]["status"] } else { schema };
        for word in words {
            if kind == Kind::Machine && path.0 == [Step::Field("metadata".to_owned())] {
                if !METADATA.contains(&word) {
                    return Err(format!("; there are {}", METADATA.join(", ")));
                }
            } else if schema.get("properties").is_some()
                && path.0.first() != Some(&Step::Field("metadata".to_owned()))
            {
                schema = child(schema, word)?;
            }
            path = path.field(word);
        }
        let place = place(kind, &path, schema);
        Ok(Field { kind, path, place })
    }
}

fn child<'a>(schema: &'a Value, word: &str) -> Result<&'a Value, String> {
    let properties = schema["properties"].as_object();
    if let Some(found) = properties.and_then(|all| all.get(word)) {
        return Ok(found);
    }
    if word == "metadata" {
        return Ok(&Value::Null);
    }
    let names: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    Err(format!("; there are {}", names.join(", ")))
}

fn place(kind: Kind, path: &Path, schema: &Value) -> Place {
    let words: Vec<&str> = path
        .0
        .iter()
        .filter_map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            Step::Item { .. } => None,
        })
        .collect();
    match (kind, words.as_slice()) {
        (Kind::Machine, ["metadata", "name"]) => Place::Name,
        (Kind::Machine, ["metadata", "labels"]) => Place::Columns,
        (Kind::Machine, ["metadata", "labels", _]) => Place::Column,
        _ => {
            let scalar = matches!(schema["type"].as_str(), Some("string" | "integer" | "number" | "boolean"));
            if scalar && is_hot(path) { Place::Column } else { Place::Log }
        }
    }
}
