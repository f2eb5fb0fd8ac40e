//! The texts of CEL rules. Whether they compile is found out when the type is built.

use serde_json::Value;

use super::json::{list, map, properties, property_path, text};
use crate::error::{FieldError, at, join};

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

pub(super) fn check(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (index, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        let here = at(&join(path, "x-kubernetes-validations"), index);
        texts(rule, &here, errors);
        let field_path = text(rule, "fieldPath");
        if !field_path.is_empty() && resolve(schema, field_path).is_none() {
            errors.push(FieldError::invalid(
                join(&here, "fieldPath"),
                field_path.into(),
                "must be a valid path",
            ));
        }
    }
    for (name, inner) in properties(schema) {
        check(inner, &property_path(path, name), errors);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key) {
            check(inner, &join(path, key), errors);
        }
    }
}

fn texts(rule: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let (source, message) = (text(rule, "rule").trim(), text(rule, "message"));
    let breaks = |text: &str| text.contains(['\n', '\r']);
    if source.is_empty() {
        errors.push(FieldError::required(join(path, "rule"), "rule is not specified"));
    } else if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(
            join(path, "message"),
            message.into(),
            "must be non-empty if specified",
        ));
    } else if breaks(message.trim()) {
        errors.push(FieldError::invalid(
            join(path, "message"),
            message.into(),
            "must not contain line breaks",
        ));
    } else if breaks(source) && message.is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(join(path, "message"), detail));
    }
    let expression = text(rule, "messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(join(path, "messageExpression"), detail));
    }
    let reason = text(rule, "reason");
    if !reason.is_empty() && !REASONS.contains(&reason) {
        errors.push(FieldError::not_supported(join(path, "reason"), reason.into(), &REASONS));
    }
}

/// The schema a field path (`.spec.x`, `['a']`) leads to, through declared properties and maps only.
pub(super) fn resolve<'a>(schema: &'a Value, field_path: &str) -> Option<&'a Value> {
    let mut rest = field_path;
    let mut schema = schema;
    while !rest.is_empty() {
        let name;
        if let Some(tail) = rest.strip_prefix("['") {
            (name, rest) = tail.split_once("']")?;
        } else {
            let tail = rest.strip_prefix('.')?;
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            (name, rest) = tail.split_at(end);
        }
        if name.is_empty() {
            return None;
        }
        schema = match map(schema, "properties") {
            Some(fields) => fields.get(name)?,
            None => schema.get("additionalProperties").filter(|inner| inner.is_object())?,
        };
    }
    Some(schema)
}
