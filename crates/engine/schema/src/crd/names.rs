//! Names, group and scope of a CustomResourceDefinition.

use serde_json::Value;

use super::json::{list, text, texts};
use crate::error::{FieldError, at};

/// Names with their defaults.
pub(super) struct Names {
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) kind: String,
    pub(super) list_kind: String,
    pub(super) short_names: Vec<String>,
    pub(super) categories: Vec<String>,
}

pub(super) fn of(spec: &Value) -> Names {
    let names = &spec["names"];
    let kind = text(names, "kind").to_owned();
    let or = |given: &str, fallback: String| if given.is_empty() { fallback } else { given.to_owned() };
    Names {
        plural: text(names, "plural").to_owned(),
        singular: or(text(names, "singular"), kind.to_lowercase()),
        list_kind: or(text(names, "listKind"), format!("{kind}List")),
        short_names: texts(names, "shortNames"),
        categories: texts(names, "categories"),
        kind,
    }
}

pub(super) fn check(crd: &Value, errors: &mut Vec<FieldError>) {
    let spec = &crd["spec"];
    let name = text(&crd["metadata"], "name");
    let (plural, group) = (text(&spec["names"], "plural"), text(spec, "group"));
    if name != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", name.into(), detail));
    }
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if !is_subdomain(group) {
        errors.push(FieldError::invalid("spec.group", group.into(), SUBDOMAIN));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(
            "spec.group",
            group.into(),
            "should be a domain with at least one dot",
        ));
    }
    match text(spec, "scope") {
        "" => errors.push(FieldError::required("spec.scope", "")),
        "Cluster" | "Namespaced" => {}
        other => {
            errors.push(FieldError::not_supported("spec.scope", other.into(), &["Cluster", "Namespaced"]))
        }
    }
    check_names(spec, errors);
}

fn check_names(spec: &Value, errors: &mut Vec<FieldError>) {
    let names = of(spec);
    for (field, value) in [("plural", &names.plural), ("kind", &names.kind)] {
        if value.is_empty() {
            errors.push(FieldError::required(format!("spec.names.{field}"), ""));
        }
    }
    if names.kind.is_empty() {
        return;
    }
    for (field, value) in [("plural", &names.plural), ("singular", &names.singular)] {
        if !value.is_empty() {
            dns1035_label(value, &format!("spec.names.{field}"), errors);
        }
    }
    for (field, value) in [("kind", &names.kind), ("listKind", &names.list_kind)] {
        if !is_dns1035_label(&value.to_lowercase()) {
            let detail = format!("may have mixed case, but should otherwise match: {LABEL}");
            errors.push(FieldError::invalid(format!("spec.names.{field}"), value.as_str().into(), detail));
        }
    }
    for field in ["shortNames", "categories"] {
        for (index, value) in list(&spec["names"], field).iter().enumerate() {
            dns1035_label(
                value.as_str().unwrap_or_default(),
                &at(&format!("spec.names.{field}"), index),
                errors,
            );
        }
    }
    if names.kind == names.list_kind {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid("spec.names.listKind", names.list_kind.into(), detail));
    }
}

const LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

pub(super) fn dns1035_label(value: &str, path: &str, errors: &mut Vec<FieldError>) {
    if value.len() > 63 {
        errors.push(FieldError::invalid(path, value.into(), "must be no more than 63 characters"));
    }
    if !is_dns1035_label(value) {
        errors.push(FieldError::invalid(path, value.into(), LABEL));
    }
}

fn is_dns1035_label(value: &str) -> bool {
    value.starts_with(|ch: char| ch.is_ascii_lowercase())
        && value.ends_with(is_alphanumeric)
        && value.chars().all(|ch| is_alphanumeric(ch) || ch == '-')
}

fn is_alphanumeric(ch: char) -> bool {
    ch.is_ascii_lowercase() || ch.is_ascii_digit()
}

fn is_subdomain(value: &str) -> bool {
    value.len() <= 253
        && value.split('.').all(|part| {
            part.starts_with(is_alphanumeric)
                && part.ends_with(is_alphanumeric)
                && part.chars().all(|ch| is_alphanumeric(ch) || ch == '-')
        })
}
