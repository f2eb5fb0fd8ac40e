//! CustomResourceDefinitions: what is wrong with one, and the kinds it declares.

mod build;
mod checks;
mod complete;
mod defaults;
mod extensions;
mod invariants;
mod json;
mod meta;
mod names;
mod rules;
mod subresources;

use serde_json::Value;

use crate::cel;
use crate::error::{FieldError, FieldErrorKind, at, join};
use crate::kind::{Gvk, Kind, Scope, Subresource};
use crate::structural;
use json::{flag, list, text};

/// Checks a CustomResourceDefinition (`apiextensions.k8s.io/v1`) and compiles one [`Kind`] per served version, CEL
/// rules included. Singular name and list kind take their defaults where they are absent. Every error is told, with
/// the path of the field.
pub fn compile(crd: &Value) -> Result<Vec<Kind>, Vec<FieldError>> {
    let mut errors = Vec::new();
    names::check(crd, &mut errors);
    let versions = list(&crd["spec"], "versions");
    let compiled: Vec<Option<Kind>> = versions
        .iter()
        .enumerate()
        .map(|(index, version)| one_version(crd, version, &at("spec.versions", index), &mut errors))
        .collect();
    check_versions(&crd["spec"], versions, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let served = versions.iter().zip(compiled).filter(|(version, _)| flag(version, "served"));
    Ok(served.filter_map(|(_, kind)| kind).collect())
}

/// Everything that a custom resource's own type demands of it: shape, bounds, unique lists and CEL rules. Rules over
/// `oldSelf` compare with `old`; what did not change is not judged again.
pub fn validate(kind: &Kind, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = structural::validate_update(&kind.schema, value, old, "");
    if errors.iter().any(|error| blocks_rules(error.kind)) {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing errors \
                      to complete validation";
        errors.push(FieldError::invalid("<nil>", Value::Null, detail));
    } else {
        errors.extend(cel::validate(&kind.schema, value, old, ""));
    }
    errors
}

/// After these a rule may meet what it cannot judge (`hasBlockingErr` of apiextensions-apiserver).
fn blocks_rules(kind: FieldErrorKind) -> bool {
    match kind {
        FieldErrorKind::Required
        | FieldErrorKind::NotSupported
        | FieldErrorKind::TooLong
        | FieldErrorKind::TooMany
        | FieldErrorKind::TypeInvalid => true,
        FieldErrorKind::NotFound
        | FieldErrorKind::Duplicate
        | FieldErrorKind::Invalid
        | FieldErrorKind::Forbidden
        | FieldErrorKind::TooFew
        | FieldErrorKind::TooShort
        | FieldErrorKind::Internal => false,
    }
}

fn check_versions(spec: &Value, versions: &[Value], errors: &mut Vec<FieldError>) {
    let all = || Value::Array(versions.to_vec());
    let mut seen = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let name = text(version, "name");
        names::dns1035_label(name, &join(&at("spec.versions", index), "name"), errors);
        if seen.contains(&name) {
            errors.push(FieldError::invalid("spec.versions", all(), "must contain unique version names"));
        }
        seen.push(name);
    }
    if versions.iter().filter(|version| flag(version, "storage")).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", all(), detail));
    }
    if flag(spec, "preserveUnknownFields") {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", Value::Bool(true), detail));
    }
    // Conversion by webhook is not served; a kind whose versions differ must not be accepted silently.
    let strategy = text(&spec["conversion"], "strategy");
    if !strategy.is_empty() && strategy != "None" {
        errors.push(FieldError::not_supported("spec.conversion.strategy", strategy.into(), &["None"]));
    }
}

fn one_version(crd: &Value, version: &Value, path: &str, errors: &mut Vec<FieldError>) -> Option<Kind> {
    let before = errors.len();
    deprecation(version, path, errors);
    let sub = subresources::read(version, path, errors);
    let columns = subresources::columns(version, path, errors);
    let schema_path = join(path, "schema.openAPIV3Schema");
    let given = version.pointer("/schema/openAPIV3Schema").filter(|schema| schema.is_object());
    let Some(given) = given else {
        errors.push(FieldError::required(schema_path, ""));
        return None;
    };
    check_schema(given, &schema_path, sub.contains(&Subresource::Status), errors);
    if errors.len() > before {
        return None;
    }
    let schema = build::schema(given, &schema_path, errors);
    defaults::check(&schema, given, &schema_path, errors);
    let selectable = subresources::selectable(version, given, path, errors);
    let spec = &crd["spec"];
    let names = names::of(spec);
    Some(Kind {
        gvk: Gvk {
            group: text(spec, "group").to_owned(),
            version: text(version, "name").to_owned(),
            kind: names.kind,
        },
        plural: names.plural,
        singular: names.singular,
        list_kind: names.list_kind,
        short_names: names.short_names,
        categories: names.categories,
        scope: if text(spec, "scope") == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        subresources: sub,
        storage_version: storage_version(spec),
        schema,
        columns,
        open_api: Some(given.clone()),
        selectable_fields: selectable,
    })
}

fn storage_version(spec: &Value) -> String {
    let stored = list(spec, "versions").iter().find(|version| flag(version, "storage"));
    stored.map_or_else(String::new, |version| text(version, "name").to_owned())
}

fn deprecation(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(warning) = version["deprecationWarning"].as_str() else { return };
    let mut refuse = |detail: &str| {
        errors.push(FieldError::invalid(join(path, "deprecationWarning"), warning.into(), detail));
    };
    if !flag(version, "deprecated") {
        refuse("can only be set for deprecated versions");
    } else if warning.is_empty() {
        refuse("must not be an empty string");
    } else if warning.len() > 256 {
        refuse("must be <= 256 characters long");
    }
}

/// Keywords a root may have beside a status subresource, which is judged by the schema of `status` alone.
const AT_ROOT: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength \
    Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
    XPreserveUnknownFields XValidations]";
const NOT_AT_ROOT: [&str; 6] = ["allOf", "anyOf", "oneOf", "not", "enum", "additionalProperties"];

fn check_root(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if NOT_AT_ROOT.iter().any(|keyword| json::is_set(schema, keyword)) {
        let detail = format!(
            "only {AT_ROOT} fields are allowed at the root of the schema if the status subresource is enabled"
        );
        errors.push(FieldError::invalid(path, schema.clone(), detail));
    }
}

fn check_schema(schema: &Value, path: &str, has_status: bool, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    if has_status {
        check_root(schema, path, errors);
    }
    if has_status && text(schema, "type") != "object" {
        let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.push(FieldError::invalid(join(path, "type"), text(schema, "type").into(), detail));
    }
    if flag(schema, "nullable") {
        errors.push(FieldError::forbidden(join(path, "nullable"), "nullable cannot be true at the root"));
    }
    let mut found = Vec::new();
    invariants::check(schema, invariants::Level::Root, path, &mut found);
    complete::check(schema, path, &mut found);
    found.sort_by_key(ToString::to_string);
    errors.append(&mut found);
    extensions::check(schema, extensions::Place::root(), path, errors);
    if errors.len() == before {
        rules::check(schema, path, errors);
    }
}

#[cfg(test)]
mod tests;
