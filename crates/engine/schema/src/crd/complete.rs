//! Every field that a value validation speaks of must be declared by the structure.

use serde_json::Value;

use super::json::{list, properties, property_path};
use crate::error::{FieldError, at, join};

pub(super) fn check(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    junctors(schema, Some(schema), path, path, errors);
}

fn junctors(value: &Value, schema: Option<&Value>, path: &str, said: &str, errors: &mut Vec<FieldError>) {
    if let Some(not) = value.get("not") {
        nested(not, schema, path, &join(said, "not"), errors);
    }
    for junctor in ["allOf", "anyOf", "oneOf"] {
        for (index, inner) in list(value, junctor).iter().enumerate() {
            nested(inner, schema, path, &at(&join(said, junctor), index), errors);
        }
    }
}

fn nested(value: &Value, schema: Option<&Value>, path: &str, said: &str, errors: &mut Vec<FieldError>) {
    let Some(schema) = schema else {
        errors.push(FieldError::required(path, format!("because it is defined in {said}")));
        return;
    };
    junctors(value, Some(schema), path, said, errors);
    if let Some(items) = value.get("items") {
        nested(items, schema.get("items"), &join(path, "items"), &join(said, "items"), errors);
    }
    for (name, inner) in properties(value) {
        let declared = schema["properties"].get(name);
        nested(inner, declared, &property_path(path, name), &property_path(said, name), errors);
    }
}
