//! Subresources, printer columns and selectable fields of a version.

use serde_json::Value;

use super::json::{list, text};
use super::rules::resolve;
use crate::error::{FieldError, at, join};
use crate::kind::{Column, ScalePaths, Subresource};

/// Fields that may be selected on, as upstream limits them.
const SELECTABLE_MAX: u64 = 8;

pub(super) fn read(version: &Value, path: &str, errors: &mut Vec<FieldError>) -> Vec<Subresource> {
    let given = &version["subresources"];
    let mut found = Vec::new();
    if given.get("status").is_some_and(|status| !status.is_null()) {
        found.push(Subresource::Status);
    }
    if let Some(scale) = given.get("scale").filter(|scale| scale.is_object()) {
        found.push(Subresource::Scale(scale_paths(scale, &join(path, "subresources.scale"), errors)));
    }
    found
}

fn scale_paths(scale: &Value, path: &str, errors: &mut Vec<FieldError>) -> ScalePaths {
    for (field, prefix, detail) in [
        ("specReplicasPath", ".spec.", "should be a json path under .spec"),
        ("statusReplicasPath", ".status.", "should be a json path under .status"),
    ] {
        let (value, here) = (text(scale, field), join(path, field));
        if value.is_empty() {
            errors.push(FieldError::required(here, ""));
        } else if !simple_path(value, &here, errors) && !value.starts_with(prefix) {
            errors.push(FieldError::invalid(here, value.into(), detail));
        }
    }
    let selector = text(scale, "labelSelectorPath");
    let here = join(path, "labelSelectorPath");
    let inside = selector.starts_with(".spec.") || selector.starts_with(".status.");
    if !selector.is_empty() && !simple_path(selector, &here, errors) && !inside {
        let detail = "should be a json path under either .spec or .status";
        errors.push(FieldError::invalid(here, selector.into(), detail));
    }
    ScalePaths {
        spec_replicas: text(scale, "specReplicasPath").to_owned(),
        status_replicas: text(scale, "statusReplicasPath").to_owned(),
        label_selector: Some(selector.to_owned()).filter(|selector| !selector.is_empty()),
    }
}

/// Tells a path that does not start with a dot; `true` if it did.
fn simple_path(value: &str, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let wrong = !value.starts_with('.');
    if wrong {
        errors.push(FieldError::invalid(path, value.into(), "must be a simple json path starting with ."));
    }
    wrong
}

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

pub(super) fn columns(version: &Value, path: &str, errors: &mut Vec<FieldError>) -> Vec<Column> {
    let given = list(version, "additionalPrinterColumns").iter().enumerate();
    given
        .map(|(index, column)| {
            one_column(column, &at(&join(path, "additionalPrinterColumns"), index), errors)
        })
        .collect()
}

fn one_column(column: &Value, path: &str, errors: &mut Vec<FieldError>) -> Column {
    let (kind, format, json_path) = (text(column, "type"), text(column, "format"), text(column, "jsonPath"));
    if text(column, "name").is_empty() {
        errors.push(FieldError::required(join(path, "name"), ""));
    }
    let one_of = |all: &[&str]| format!("must be one of {}", all.join(","));
    if kind.is_empty() {
        errors.push(FieldError::required(join(path, "type"), one_of(&TYPES)));
    } else if !TYPES.contains(&kind) {
        errors.push(FieldError::invalid(join(path, "type"), kind.into(), one_of(&TYPES)));
    }
    if !format.is_empty() && !FORMATS.contains(&format) {
        errors.push(FieldError::invalid(join(path, "format"), format.into(), one_of(&FORMATS)));
    }
    if json_path.is_empty() {
        errors.push(FieldError::required(join(path, "JSONPath"), ""));
    } else {
        simple_path(json_path, &join(path, "JSONPath"), errors);
    }
    let priority = column.get("priority").and_then(Value::as_i64).unwrap_or(0);
    Column {
        name: text(column, "name").to_owned(),
        column_type: kind.to_owned(),
        format: format.to_owned(),
        description: text(column, "description").to_owned(),
        priority: i32::try_from(priority).unwrap_or(i32::MAX),
        json_path: json_path.to_owned(),
    }
}

pub(super) fn selectable(
    version: &Value,
    schema: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<String> {
    let path = join(path, "selectableFields");
    let mut found: Vec<String> = Vec::new();
    for (index, field) in list(version, "selectableFields").iter().enumerate() {
        let (value, here) = (text(field, "jsonPath"), join(&at(&path, index), "jsonPath"));
        if value.is_empty() {
            errors.push(FieldError::required(here, ""));
            continue;
        }
        let Some(target) = resolve(schema, value).filter(|_| !value.contains('[')) else {
            let detail = "is an invalid path: does not refer to a valid field";
            errors.push(FieldError::invalid(here, value.into(), detail));
            continue;
        };
        if value.starts_with(".metadata") {
            errors.push(FieldError::invalid(&*here, value.into(), "must not point to fields in metadata"));
        }
        if !["string", "boolean", "integer"].contains(&text(target, "type")) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                with formats are allowed.";
            errors.push(FieldError::invalid(&*here, value.into(), detail));
        }
        if found.iter().any(|other| other == value) {
            errors.push(FieldError::duplicate(here, value.into()));
        } else {
            found.push(value.to_owned());
        }
    }
    if found.len() as u64 > SELECTABLE_MAX {
        errors.push(FieldError::too_many(path, found.len() as u64, SELECTABLE_MAX));
    }
    found
}
