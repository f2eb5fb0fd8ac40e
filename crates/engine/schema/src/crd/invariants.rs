//! What makes a schema structural. Source: KEP-1002 and `apiserver/schema/validation.go`.

use serde_json::{Value, json};

use super::json::{flag, is_set, list, map, properties, property_path, text};
use crate::error::{FieldError, at, join};
use crate::pattern::Pattern;

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Root,
    Item,
    Field,
}

pub(super) fn check(schema: &Value, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    match schema.get("items") {
        Some(items) => check(items, Level::Item, &join(path, "items"), errors),
        None if text(schema, "type") == "array" => {
            errors.push(FieldError::required(join(path, "items"), "must be specified"));
        }
        None => {}
    }
    for (name, inner) in properties(schema) {
        check(inner, Level::Field, &property_path(path, name), errors);
    }
    if let Some(additional) = schema.get("additionalProperties") {
        let here = join(path, "additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(&*here, "must not be used at the root"));
        }
        if flag(schema, "x-kubernetes-embedded-resource") {
            errors.push(FieldError::forbidden(
                &*here,
                "must not be used if x-kubernetes-embedded-resource is set",
            ));
        }
        if additional.is_object() {
            check(additional, Level::Field, &here, errors);
        }
    }
    extensions(schema, path, errors);
    values(
        schema,
        is_int_or_string(&schema["anyOf"]),
        is_int_or_string(&schema["allOf"][0]["anyOf"]),
        path,
        errors,
    );
    types(schema, level, path, errors);
    implicit(schema, level, path, errors);
}

fn is_int_or_string(any_of: &Value) -> bool {
    *any_of == json!([{"type": "integer"}, {"type": "string"}])
}

fn extensions(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if !flag(schema, "x-kubernetes-int-or-string") {
        return;
    }
    for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if flag(schema, name) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(join(path, name), Value::Bool(true), detail));
        }
    }
}

fn types(schema: &Value, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    let (found, here) = (text(schema, "type"), join(path, "type"));
    let free =
        flag(schema, "x-kubernetes-int-or-string") || flag(schema, "x-kubernetes-preserve-unknown-fields");
    if flag(schema, "x-kubernetes-embedded-resource") && found != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if found.is_empty() {
            FieldError::required(here, detail)
        } else {
            FieldError::invalid(here, found.into(), detail)
        });
    } else if found.is_empty() && !free {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(here, detail));
    } else if level == Level::Root && !found.is_empty() && found != "object" {
        errors.push(FieldError::invalid(here, found.into(), "must be object at the root"));
    }
}

/// `apiVersion`, `kind` and `metadata` of whole objects are given; a schema may only narrow names.
fn implicit(schema: &Value, level: Level, path: &str, errors: &mut Vec<FieldError>) {
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let fields = &schema["properties"];
    if level == Level::Root || embedded {
        for name in ["kind", "apiVersion"] {
            if let Some(found) = fields.get(name).filter(|found| text(found, "type") != "string") {
                let here = join(&property_path(path, name), "type");
                errors.push(FieldError::invalid(here, text(found, "type").into(), "must be string"));
            }
        }
        if let Some(found) = fields.get("metadata").filter(|found| text(found, "type") != "object") {
            let here = join(&property_path(path, "metadata"), "type");
            errors.push(FieldError::invalid(here, text(found, "type").into(), "must be object"));
        }
    }
    if let (Level::Root, Some(metadata)) = (level, fields.get("metadata").and_then(Value::as_object)) {
        let only_names =
            properties(&fields["metadata"]).all(|(name, _)| name == "name" || name == "generateName");
        let nothing_else =
            metadata.keys().all(|key| ["type", "properties", "default"].contains(&key.as_str()));
        if !(only_names && nothing_else) {
            let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(property_path(path, "metadata"), detail));
        }
    }
    if embedded
        && !flag(schema, "x-kubernetes-preserve-unknown-fields")
        && properties(schema).next().is_none()
    {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
            x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(join(path, "properties"), detail));
    }
}

fn values(schema: &Value, skip_any_of: bool, skip_first: bool, path: &str, errors: &mut Vec<FieldError>) {
    for junctor in ["anyOf", "allOf", "oneOf"] {
        for (index, inner) in list(schema, junctor).iter().enumerate() {
            if junctor == "anyOf" && skip_any_of {
                continue;
            }
            let skip = junctor == "allOf" && skip_first && index == 0;
            nested(inner, skip, &at(&join(path, junctor), index), errors);
        }
    }
    if let Some(not) = schema.get("not") {
        nested(not, false, &join(path, "not"), errors);
    }
    let pattern = text(schema, "pattern");
    if let Err(error) = Pattern::compile(pattern) {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(join(path, "pattern"), pattern.into(), detail));
    }
}

const FORBIDDEN: [(&str, &str); 12] = [
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
];

/// A schema below a logical junctor may judge values and say nothing of the structure.
fn nested(schema: &Value, skip_any_of: bool, path: &str, errors: &mut Vec<FieldError>) {
    values(schema, skip_any_of, false, path, errors);
    if let Some(items) = schema.get("items") {
        nested(items, false, &join(path, "items"), errors);
    }
    for (name, inner) in properties(schema) {
        nested(inner, false, &property_path(path, name), errors);
    }
    for (key, detail) in FORBIDDEN {
        if is_set(schema, key) {
            errors.push(FieldError::forbidden(join(path, key), detail));
        }
    }
    if is_set(schema, "x-kubernetes-validations") {
        errors.push(FieldError::forbidden(
            join(path, "x-kubernetes-validations"),
            "must be empty to be structural",
        ));
    }
    if map(schema, "properties").is_some_and(|fields| fields.contains_key("metadata")) {
        let detail = "must not be specified in a nested context";
        errors.push(FieldError::forbidden(property_path(path, "metadata"), detail));
    }
}
