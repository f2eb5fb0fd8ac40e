//! What may change of a running pod.

use serde_json::Value;

use crate::error::FieldError;
use crate::validate::names;
use crate::validate::spot::Spot;

const CHANGEABLE: [&str; 5] = [
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
];

pub(super) fn check(spec: &Spot<'_>, old: &Value, errors: &mut Vec<FieldError>) {
    for list in ["containers", "initContainers"] {
        let count = |value: &Value| value.as_array().map_or(0, Vec::len);
        if count(spec.child(list).value) != count(&old[list]) {
            errors.push(spec.child(list).forbidden("pod updates may not add or remove containers"));
            return;
        }
    }
    deadline(&spec.child("activeDeadlineSeconds"), &old["activeDeadlineSeconds"], errors);
    tolerations(&spec.child("tolerations"), &old["tolerations"], errors);
    gates(&spec.child("schedulingGates"), &old["schedulingGates"], errors);
    let changed = changes(spec.value, old);
    if !changed.is_empty() {
        errors.push(spec.forbidden(format!(
            "pod updates may not change fields other than {}\nchanged: {}",
            CHANGEABLE.join(","),
            changed.join(", ")
        )));
    }
}

fn deadline(new: &Spot<'_>, old: &Value, errors: &mut Vec<FieldError>) {
    match (new.number(), old.as_i64()) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            errors.push(new.invalid(names::between(0, i32::MAX.into())));
        }
        (Some(seconds), Some(before)) if seconds > before => {
            errors.push(new.invalid("must be less than or equal to previous value"));
        }
        (None, Some(_)) => errors.push(new.invalid("must not update from a positive integer to nil value")),
        _ => {}
    }
}

/// Tolerations may be added, and their time changed, but none removed.
fn tolerations(new: &Spot<'_>, old: &Value, errors: &mut Vec<FieldError>) {
    let without_time = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(fields) = toleration.as_object_mut() {
            fields.remove("tolerationSeconds");
        }
        toleration
    };
    for kept in old.as_array().into_iter().flatten() {
        if !new.items().any(|toleration| without_time(toleration.value) == without_time(kept)) {
            errors
                .push(new.forbidden("existing toleration can not be modified except its tolerationSeconds"));
            return;
        }
    }
}

/// Gates may only be taken away.
fn gates(new: &Spot<'_>, old: &Value, errors: &mut Vec<FieldError>) {
    let old = old.as_array().map(Vec::as_slice).unwrap_or_default();
    let added: Vec<Value> =
        new.items().filter(|gate| !old.contains(gate.value)).map(|gate| gate.value["name"].clone()).collect();
    if !added.is_empty() {
        let names: Vec<&str> = added.iter().filter_map(Value::as_str).collect();
        errors.push(FieldError::invalid(
            &new.path,
            new.value.clone(),
            format!("only deletion is allowed, but found new scheduling gates '{}'", names.join(", ")),
        ));
    }
}

/// Names of the fields that changed though they may not.
fn changes(new: &Value, old: &Value) -> Vec<String> {
    let (new, old) = (comparable(new), comparable(old));
    let fields = |value: &Value| {
        value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
    };
    let mut names = fields(&new);
    names.extend(fields(&old));
    names.sort();
    names.dedup();
    let gated = |name: &str| {
        old["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty())
            && matches!(name, "nodeSelector" | "affinity")
    };
    names
        .retain(|name| !gated(name) && new[name.as_str()] != old[name.as_str()] && name != "schedulingGates");
    names.iter().map(|name| format!("spec.{name}")).collect()
}

/// The spec without what may change. Ephemeral containers have their own subresource.
fn comparable(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("activeDeadlineSeconds");
        fields.remove("tolerations");
        let grace = fields.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
        if grace.is_some_and(|seconds| seconds < 0) {
            fields.insert("terminationGracePeriodSeconds".to_owned(), 1.into());
        }
        for list in ["containers", "initContainers"] {
            let containers = fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            for container in containers.filter_map(Value::as_object_mut) {
                container.remove("image");
            }
        }
    }
    spec
}
