//! Defaults must be values of their own type, without unknown fields.

use serde_json::Value;

use super::json::{properties, property_path};
use crate::cel;
use crate::error::{FieldError, join};
use crate::structural;
use crate::types::{Schema, Shape};

/// Walks the declared structure; defaults inside of maps' values are judged as well.
pub(super) fn check(schema: &Schema, given: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(fallback) = &schema.node().default {
        let here = join(path, "default");
        let mut pruned = fallback.clone();
        structural::prune(schema, &mut pruned);
        if pruned != *fallback {
            errors.push(FieldError::invalid(&*here, fallback.clone(), "must not have unknown fields"));
        }
        let found = structural::validate(schema, fallback, &here);
        if found.is_empty() {
            errors.extend(cel::validate(schema, fallback, Some(fallback), &here));
        }
        errors.extend(found);
    }
    match &schema.node().shape {
        Shape::Object { fields, .. } => {
            for (name, inner) in properties(given) {
                if let Some(field) = fields.get(name.as_str()) {
                    check(&schema.sub(field.node), inner, &property_path(path, name), errors);
                }
            }
        }
        Shape::List { items, .. } => {
            check(&schema.sub(*items), &given["items"], &join(path, "items"), errors)
        }
        Shape::Map { values, .. } => {
            let inner = &given["additionalProperties"];
            check(&schema.sub(*values), inner, &join(path, "additionalProperties"), errors);
        }
        Shape::Any | Shape::Scalar(_) => {}
    }
}
