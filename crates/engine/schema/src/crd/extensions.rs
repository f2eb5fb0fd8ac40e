//! What the schema of a custom resource may say, node by node: keywords, list and map types, rule texts.
//! Source: `apis/apiextensions/validation/validation.go`.

use serde_json::Value;

use super::json::{flag, is_set, list, properties, property_path, text, texts};
use crate::error::{FieldError, at, join};

/// What surrounds a node.
#[derive(Clone, Copy)]
pub(super) struct Place {
    root: bool,
    meta: bool,
    no_defaults: Option<&'static str>,
}

impl Place {
    pub(super) fn root() -> Self {
        Self { root: true, meta: false, no_defaults: None }
    }

    fn inside(self) -> Self {
        Self { root: false, ..self }
    }

    fn property(self, name: &str, embedded: bool) -> Self {
        let top = match name {
            "metadata" => "in top-level metadata",
            "kind" => "in top-level kind",
            "apiVersion" => "in top-level apiVersion",
            _ => return self.inside(),
        };
        if !self.root && !embedded {
            return self.inside();
        }
        Self { root: false, meta: true, no_defaults: if self.root { Some(top) } else { self.no_defaults } }
    }
}

const UNSUPPORTED: [(&str, &str); 7] = [
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("$ref", "$ref is not supported"),
    ("uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"),
];

pub(super) fn check(schema: &Value, place: Place, path: &str, errors: &mut Vec<FieldError>) {
    keywords(schema, place, path, errors);
    if let Some(additional) = schema.get("additionalProperties") {
        let here = join(path, "additionalProperties");
        if is_set(schema, "properties") && additional != &Value::Bool(true) {
            errors.push(FieldError::forbidden(
                &*here,
                "additionalProperties and properties are mutual exclusive",
            ));
        }
        let reason = "inside additionalProperties applying to object metadata";
        let no_defaults = if place.meta { Some(reason) } else { place.no_defaults };
        check(additional, Place { no_defaults, ..place.inside() }, &here, errors);
    }
    for (name, inner) in properties(schema) {
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        check(inner, place.property(name, embedded), &property_path(path, name), errors);
    }
    for junctor in ["allOf", "oneOf", "anyOf"] {
        for (index, inner) in list(schema, junctor).iter().enumerate() {
            check(inner, place.inside(), &at(&join(path, junctor), index), errors);
        }
    }
    for single in ["not", "items"] {
        if let Some(inner) = schema.get(single) {
            check(inner, place.inside(), &join(path, single), errors);
        }
    }
    map_type(schema, path, errors);
    list_type(schema, path, errors);
    list_keys(schema, path, errors);
}

fn keywords(schema: &Value, place: Place, path: &str, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(join(path, "type"), detail));
    } else if !kind.is_empty()
        && !["array", "boolean", "integer", "number", "object", "string"].contains(&kind)
    {
        let known = ["array", "boolean", "integer", "number", "object", "string"];
        errors.push(FieldError::not_supported(join(path, "type"), kind.into(), &known));
    }
    if let (Some(reason), true) = (place.no_defaults, schema.get("default").is_some()) {
        errors.push(FieldError::forbidden(join(path, "default"), format!("must not be set {reason}")));
    }
    for (key, detail) in UNSUPPORTED {
        if is_set(schema, key) {
            errors.push(FieldError::forbidden(join(path, key), detail));
        }
    }
    if schema.get("items").is_some_and(Value::is_array) {
        errors.push(FieldError::forbidden(
            join(path, "items"),
            "items must be a schema object and not an array",
        ));
    }
    let embedded = "x-kubernetes-embedded-resource";
    if place.meta && flag(schema, embedded) {
        errors.push(FieldError::forbidden(join(path, embedded), "must not be used inside of resource meta"));
    }
    let preserve = "x-kubernetes-preserve-unknown-fields";
    if schema.get(preserve) == Some(&Value::Bool(false)) {
        errors.push(FieldError::invalid(
            join(path, preserve),
            Value::Bool(false),
            "must be true or undefined",
        ));
    }
}

fn wrong_type(schema: &Value, wanted: &str, detail: &str, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let found = text(schema, "type");
    if found == wanted {
        return false;
    }
    let here = join(path, "type");
    errors.push(if found.is_empty() {
        FieldError::required(here, detail)
    } else {
        FieldError::invalid(here, found.into(), detail)
    });
    true
}

fn map_type(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(map_type) = schema.get("x-kubernetes-map-type").and_then(Value::as_str) else { return };
    wrong_type(schema, "object", "must be object if x-kubernetes-map-type is specified", path, errors);
    if !["atomic", "granular"].contains(&map_type) {
        let here = join(path, "x-kubernetes-map-type");
        errors.push(FieldError::not_supported(here, map_type.into(), &["atomic", "granular"]));
    }
}

fn list_type(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(list_type) = schema.get("x-kubernetes-list-type").and_then(Value::as_str) else { return };
    let detail = "must be array if x-kubernetes-list-type is specified";
    if !wrong_type(schema, "array", detail, path, errors) && list_type == "set" {
        let items = &schema["items"];
        let extension = match text(items, "type") {
            "array" if !["", "atomic"].contains(&text(items, "x-kubernetes-list-type")) => {
                "x-kubernetes-list-type"
            }
            "object" if text(items, "x-kubernetes-map-type") != "atomic" => "x-kubernetes-map-type",
            _ => "",
        };
        if !extension.is_empty() {
            let here = format!("{path}.items.{extension}");
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            errors.push(FieldError::invalid(here, items.get(extension).cloned().unwrap_or_default(), detail));
        }
    }
    if !["atomic", "set", "map"].contains(&list_type) {
        let here = join(path, "x-kubernetes-list-type");
        errors.push(FieldError::not_supported(here, list_type.into(), &["atomic", "set", "map"]));
    }
    if ["set", "map"].contains(&list_type) && flag(&schema["items"], "nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(format!("{path}.items.nullable"), detail));
    }
}

fn list_keys(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let keys = texts(schema, "x-kubernetes-list-map-keys");
    let list_type = schema.get("x-kubernetes-list-type").and_then(Value::as_str);
    let (type_path, keys_path) =
        (join(path, "x-kubernetes-list-type"), join(path, "x-kubernetes-list-map-keys"));
    if list_type != Some("map") {
        if !keys.is_empty() {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            errors.push(match list_type {
                None => FieldError::required(type_path, detail),
                Some(found) => FieldError::invalid(type_path, found.into(), detail),
            });
        }
        return;
    }
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&*keys_path, detail));
    }
    let Some(items) = schema.get("items") else {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(join(path, "items"), detail));
        return;
    };
    if text(items, "type") != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(format!("{path}.items.type"), text(items, "type").into(), detail));
        return;
    }
    let bad = || Value::from(keys.clone());
    for (index, key) in keys.iter().enumerate() {
        match items["properties"].get(key) {
            Some(field) => key_field(items, key, field, path, errors),
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(FieldError::invalid(&*keys_path, bad(), detail));
            }
        }
        if keys[..index].contains(key) {
            errors.push(FieldError::invalid(&*keys_path, bad(), "must not contain duplicate entries"));
        }
    }
}

fn key_field(items: &Value, key: &str, field: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let here = property_path(&join(path, "items"), key);
    if ["array", "object"].contains(&text(field, "type")) {
        let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(join(&here, "type"), text(items, "type").into(), detail));
    }
    let required = list(items, "required").iter().any(|name| name.as_str() == Some(key));
    if !required && field.get("default").is_none() {
        let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
        errors.push(FieldError::required(join(&here, "default"), detail));
    }
    if flag(field, "nullable") {
        let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
        errors.push(FieldError::forbidden(join(&here, "nullable"), detail));
    }
}
