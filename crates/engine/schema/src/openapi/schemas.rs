//! Types as schemas.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::refs::{Dialect, definition, gvk, list_definition};
use crate::catalog::{Catalog, description};
use crate::kind::{Kind, Subresource};
use crate::types::{Field, Format, ListKind, MapKind, Scalar, Schema, Shape};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const DURATION: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Duration";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

type Found = BTreeMap<String, Value>;

/// A kind, its list, and all they use.
pub(super) fn of_kind(kind: &Kind, dialect: Dialect, found: &mut Found) {
    let name = definition(kind);
    match &kind.open_api {
        Some(given) => {
            found.insert(name.clone(), custom(kind, given, dialect));
            named(&object_meta(), dialect, found);
        }
        None => named(&kind.schema, dialect, found),
    }
    if let Some(schema) = found.get_mut(&name) {
        schema["x-kubernetes-group-version-kind"] = json!([gvk(kind, &kind.gvk.kind)]);
    }
    if kind.subresources.iter().any(|sub| matches!(sub, Subresource::Scale(_))) {
        let scale = "io.k8s.api.autoscaling.v1.Scale";
        named(&message(scale), dialect, found);
        if let Some(schema) = found.get_mut(scale) {
            schema["x-kubernetes-group-version-kind"] =
                json!([{"group": "autoscaling", "version": "v1", "kind": "Scale"}]);
        }
    }
    found.insert(list_definition(kind), list_of(kind, &name, dialect));
    named(&message("ListMeta"), dialect, found);
}

/// Types every client may meet: options of a deletion, a status, a patch.
pub(super) fn machinery(dialect: Dialect, found: &mut Found) {
    for name in ["DeleteOptions", "Status"] {
        named(&message(name), dialect, found);
    }
    let patch = json!({
        "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
        "type": "object",
    });
    found.insert(format!("{META}Patch"), patch);
}

fn message(name: &str) -> Schema {
    Catalog::builtin().message(name).expect("the generated table holds the machinery's types")
}

fn object_meta() -> Schema {
    Catalog::builtin().object_meta()
}

/// A named type and all it refers to.
fn named(schema: &Schema, dialect: Dialect, found: &mut Found) {
    let Shape::Object { fields, definition: Some(name), kind, .. } = &schema.node().shape else { return };
    if found.contains_key(&**name) {
        return;
    }
    found.insert(name.to_string(), Value::Null);
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (field_name, field) in fields {
        properties.insert(field_name.to_string(), one_field(schema, name, field_name, field, dialect, found));
        if field.required {
            required.push(field_name.to_string());
        }
    }
    let mut map = Map::new();
    describe(&mut map, description(name, ""));
    map.insert("type".to_owned(), "object".into());
    if !properties.is_empty() {
        map.insert("properties".to_owned(), Value::Object(properties));
    }
    if !required.is_empty() {
        map.insert("required".to_owned(), required.into());
    }
    if *kind == MapKind::Atomic {
        map.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
    }
    let catalog = Catalog::builtin();
    let kind = catalog.kinds().find(|kind| kind.open_api.is_none() && definition(kind) == **name);
    if let Some(kind) = kind {
        let of_this = gvk(kind, &kind.gvk.kind);
        map.insert("x-kubernetes-group-version-kind".to_owned(), json!([of_this]));
    }
    found.insert(name.to_string(), Value::Object(map));
}

fn describe(map: &mut Map<String, Value>, text: Option<String>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        map.insert("description".to_owned(), text.into());
    }
}

fn one_field(
    schema: &Schema,
    owner: &str,
    name: &str,
    field: &Field,
    dialect: Dialect,
    found: &mut Found,
) -> Value {
    let mut map = inline(&schema.sub(field.node), dialect, found, Use::Field);
    describe(&mut map, description(owner, name));
    if let Some(key) = &field.patch.merge_key {
        map.insert("x-kubernetes-patch-merge-key".to_owned(), key.to_string().into());
    }
    let strategy = match (field.patch.merge, field.patch.retain_keys, field.patch.replace) {
        (true, true, _) => "merge,retainKeys",
        (true, false, _) => "merge",
        (false, true, _) => "retainKeys",
        (false, false, true) => "replace",
        (false, false, false) => return Value::Object(map),
    };
    map.insert("x-kubernetes-patch-strategy".to_owned(), strategy.into());
    Value::Object(map)
}

/// Whether keywords may come to stand beside a reference.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Field,
    Item,
}

fn refer(name: &str, dialect: Dialect, place: Use) -> Map<String, Value> {
    match place {
        Use::Field => dialect.extended(name),
        Use::Item => match dialect.reference(name) {
            Value::Object(map) => map,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Map::new()
            }
        },
    }
}

fn inline(schema: &Schema, dialect: Dialect, found: &mut Found, place: Use) -> Map<String, Value> {
    let mut map = Map::new();
    match &schema.node().shape {
        Shape::Object { definition: Some(name), kind, .. } => {
            // A use of a type may say otherwise than the type how apply treats it.
            let canonical = schema.named(name).unwrap_or_else(|| schema.clone());
            named(&canonical, dialect, found);
            let mut map = refer(name, dialect, place);
            if let Shape::Object { kind: usual, .. } = &canonical.node().shape
                && usual != kind
            {
                let word = if *kind == MapKind::Atomic { "atomic" } else { "granular" };
                map.insert("x-kubernetes-map-type".to_owned(), word.into());
            }
            return map;
        }
        Shape::Object { definition: None, .. } => {
            map.insert("type".to_owned(), "object".into());
        }
        Shape::Any => return leaf(RAW, dialect, found, place),
        Shape::Scalar(scalar) => return scalar_schema(*scalar, schema, dialect, found, place),
        Shape::List { items, kind } => {
            map.insert("type".to_owned(), "array".into());
            let items = inline(&schema.sub(*items), dialect, found, Use::Item);
            map.insert("items".to_owned(), Value::Object(items));
            list_type(kind, &mut map);
        }
        Shape::Map { values, kind } => {
            map.insert("type".to_owned(), "object".into());
            let values = inline(&schema.sub(*values), dialect, found, Use::Item);
            map.insert("additionalProperties".to_owned(), Value::Object(values));
            if *kind == MapKind::Atomic {
                map.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
            }
        }
    }
    map
}

fn list_type(kind: &ListKind, map: &mut Map<String, Value>) {
    let word = match kind {
        ListKind::Atomic => "atomic",
        ListKind::Set => "set",
        ListKind::Map(keys) => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            map.insert("x-kubernetes-list-map-keys".to_owned(), keys.into());
            "map"
        }
    };
    map.insert("x-kubernetes-list-type".to_owned(), word.into());
}

fn scalar_schema(
    scalar: Scalar,
    schema: &Schema,
    dialect: Dialect,
    found: &mut Found,
    place: Use,
) -> Map<String, Value> {
    let (kind, format) = match scalar {
        Scalar::String(Format::Plain) => ("string", None),
        Scalar::String(Format::Bytes) => ("string", Some("byte")),
        Scalar::String(Format::Time) => return leaf(TIME, dialect, found, place),
        Scalar::String(Format::MicroTime) => return leaf(MICRO_TIME, dialect, found, place),
        Scalar::String(Format::Duration) => return leaf(DURATION, dialect, found, place),
        Scalar::Integer => {
            let format = schema.node().limits.as_ref().and_then(|limits| limits.format.as_deref());
            ("integer", Some(format.unwrap_or("int64")))
        }
        Scalar::Number => ("number", Some("double")),
        Scalar::Boolean => ("boolean", None),
        Scalar::IntOrString => return leaf(INT_OR_STRING, dialect, found, place),
        Scalar::Quantity => return leaf(QUANTITY, dialect, found, place),
    };
    let mut map = Map::new();
    map.insert("type".to_owned(), kind.into());
    if let Some(format) = format {
        map.insert("format".to_owned(), format.into());
    }
    map
}

/// The types that are no objects and yet have a name.
fn leaf(name: &str, dialect: Dialect, found: &mut Found, place: Use) -> Map<String, Value> {
    found.entry(name.to_owned()).or_insert_with(|| {
        let mut map = match (name, dialect) {
            (TIME | MICRO_TIME, _) => json!({"type": "string", "format": "date-time"}),
            (INT_OR_STRING, Dialect::V2) => json!({"type": "string", "format": "int-or-string"}),
            (INT_OR_STRING, Dialect::V3) => {
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
            }
            (QUANTITY, Dialect::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            (RAW, _) => json!({"type": "object"}),
            _ => json!({"type": "string"}),
        };
        if let (Some(text), Some(map)) = (description(name, ""), map.as_object_mut()) {
            describe(map, Some(text));
        }
        map
    });
    refer(name, dialect, place)
}

fn list_of(kind: &Kind, name: &str, dialect: Dialect) -> Value {
    json!({
        "description": format!("{} is a list of {}", kind.list_kind, kind.gvk.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": description(&format!("{META}Status"), "apiVersion")},
            "kind": {"type": "string", "description": description(&format!("{META}Status"), "kind")},
            "metadata": dialect.extended(&format!("{META}ListMeta")),
            "items": {"type": "array", "items": dialect.reference(name),
                "description": format!("List of {}.", kind.plural)},
        },
        "x-kubernetes-group-version-kind": [gvk(kind, &kind.list_kind)],
    })
}

/// The published schema of a custom resource: as given, with what every object has.
fn custom(kind: &Kind, given: &Value, dialect: Dialect) -> Value {
    let mut schema = given.clone();
    if dialect == Dialect::V2 {
        simplify(&mut schema);
    }
    let preserves = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if preserves && dialect == Dialect::V2 {
        // A client that prunes by this schema would drop what the server keeps.
        schema = json!({"type": "object"});
    }
    let about = format!("{META}Status");
    let meta = format!("{META}ObjectMeta");
    if let Some(map) = schema.as_object_mut() {
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        properties["apiVersion"] =
            json!({"type": "string", "description": description(&about, "apiVersion")});
        properties["kind"] = json!({"type": "string", "description": description(&about, "kind")});
        properties["metadata"] = Value::Object(dialect.extended(&meta));
        properties["metadata"]["description"] =
            "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata".into();
    }
    debug_assert!(kind.open_api.is_some());
    schema
}

/// OpenAPI v2 knows no junctors and no nullable; what they say cannot be published there.
fn simplify(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    for keyword in ["allOf", "anyOf", "oneOf", "not"] {
        map.remove(keyword);
    }
    let nullable = map.remove("nullable") == Some(Value::Bool(true));
    let loose = map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true))
        || map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if nullable || loose {
        for keyword in ["type", "items", "properties", "additionalProperties"] {
            map.remove(keyword);
        }
    }
    for inner in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        simplify(inner.1);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(keyword) {
            simplify(inner);
        }
    }
}
