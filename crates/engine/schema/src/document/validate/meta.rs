//! `metadata`, which every object has.

use serde_json::Value;

use super::spot::Spot;
use super::{immutable, names, selector};
use crate::error::FieldError;
use crate::kind::{Kind, Scope};

/// Largest sum of keys and values, in bytes.
const ANNOTATIONS_BYTES_MAX: u64 = 256 * 1024;

type Rule = fn(&str) -> Vec<String>;

/// What the names of a kind must be.
fn name_rule(kind: &Kind) -> Rule {
    match (kind.gvk.group.as_str(), kind.gvk.kind.as_str()) {
        ("", "Namespace" | "Service") => names::dns1123_label,
        (
            "rbac.authorization.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "certificates.k8s.io"
            | "apiregistration.k8s.io",
            _,
        )
        | ("networking.k8s.io", "IPAddress") => names::path_segment,
        _ => names::dns1123_subdomain,
    }
}

pub(super) fn check(kind: &Kind, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let metadata = Spot::root(new).child("metadata");
    match old {
        None => on_create(kind, &metadata, errors),
        Some(old) => on_update(&metadata, &old["metadata"], errors),
    }
    metadata.child("generation").not_negative(errors);
    selector::labels(&metadata.child("labels"), errors);
    annotations(&metadata.child("annotations"), errors);
    owners(&metadata.child("ownerReferences"), errors);
    finalizers(&metadata.child("finalizers"), errors);
}

fn on_create(kind: &Kind, metadata: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let (name, generate, namespace) =
        (metadata.child("name"), metadata.child("generateName"), metadata.child("namespace"));
    let rule = name_rule(kind);
    if !generate.is_empty() {
        generate.all_invalid(rule(&masked(generate.text())), errors);
    }
    if name.is_empty() {
        errors.push(name.required("name or generateName is required"));
    } else {
        name.all_invalid(rule(name.text()), errors);
        if kind.gvk.kind == "CronJob" && name.text().len() > 52 {
            // Eleven characters are appended to make the names of its Jobs.
            errors.push(name.invalid("must be no more than 52 characters"));
        }
    }
    match kind.scope {
        Scope::Namespaced => namespace.name(names::dns1123_label, errors),
        Scope::Cluster if !namespace.is_empty() => {
            errors.push(namespace.forbidden("not allowed on this type"))
        }
        Scope::Cluster => {}
    }
}

/// A prefix may end with a hyphen: characters follow.
fn masked(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        Some(_) | None => prefix.to_owned(),
    }
}

fn on_update(metadata: &Spot<'_>, old: &Value, errors: &mut Vec<FieldError>) {
    if !old["deletionTimestamp"].is_null() {
        let kept = old["finalizers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let finalizers = metadata.child("finalizers");
        let extra: Vec<String> = finalizers
            .items()
            .filter(|item| !kept.contains(item.value))
            .map(|item| format!("{:?}", item.text()))
            .collect();
        if !extra.is_empty() {
            errors.push(finalizers.forbidden(format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                extra.join(", ")
            )));
        }
    }
    for field in ["name", "namespace"] {
        immutable(&metadata.child(field), &old[field], errors);
    }
    // What a client leaves out is taken over from the stored object.
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if !metadata.child(field).is_absent() {
            immutable(&metadata.child(field), &old[field], errors);
        }
    }
}

fn annotations(annotations: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let mut bytes = 0;
    for (key, value) in annotations.entries() {
        bytes += (key.len() + value.text().len()) as u64;
        for message in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(&annotations.path, key.into(), message));
        }
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(&annotations.path, ANNOTATIONS_BYTES_MAX));
    }
}

fn owners(owners: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let mut controller: Option<String> = None;
    for owner in owners.items() {
        let version = owner.child("apiVersion");
        if version.is_empty() {
            errors.push(version.required("must not be empty"));
        } else if version.text().split('/').count() > 2 || version.text().ends_with('/') {
            errors.push(version.invalid("must be <group>/<version> or <version>"));
        }
        for field in ["kind", "name", "uid"].map(|field| owner.child(field)) {
            if field.is_empty() {
                errors.push(field.required("must not be empty"));
            }
        }
        if (version.text(), owner.child("kind").text()) == ("v1", "Event") {
            errors.push(owner.invalid("/v1, Kind=Event is disallowed from being an owner"));
        }
        if owner.child("controller").is_true() {
            let this = format!("{}/{}", owner.child("kind").text(), owner.child("name").text());
            if let Some(first) = &controller {
                errors.push(owners.invalid(format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} \
                     and {this}"
                )));
            } else {
                controller = Some(this);
            }
        }
    }
}

fn finalizers(finalizers: &Spot<'_>, errors: &mut Vec<FieldError>) {
    for finalizer in finalizers.items() {
        for message in names::qualified_name(finalizer.text()) {
            errors.push(FieldError::invalid(&finalizers.path, finalizer.value.clone(), message));
        }
    }
    let has = |name: &str| finalizers.items().any(|finalizer| finalizer.text() == name);
    if has("orphan") && has("foregroundDeletion") {
        errors.push(finalizers.invalid("finalizer orphan and foregroundDeletion cannot be both set"));
    }
}
