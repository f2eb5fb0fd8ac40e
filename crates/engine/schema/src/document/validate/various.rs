//! ConfigMaps, Secrets, Nodes, Leases, Events.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::pod;
use super::spot::Spot;
use super::{immutable, names};
use crate::error::FieldError;

/// Largest sum of the values of a ConfigMap or Secret, in bytes.
const DATA_BYTES_MAX: u64 = 1024 * 1024;

/// Checks the keys and answers the sum of the values' sizes.
fn data(data: &Spot<'_>, errors: &mut Vec<FieldError>) -> u64 {
    let mut bytes = 0;
    for (key, value) in data.entries() {
        for message in names::config_key(key) {
            errors.push(FieldError::invalid(&value.path, key.into(), message));
        }
        bytes += value.text().len() as u64;
    }
    bytes
}

/// Size of the bytes that so much base64 holds.
fn decoded_size(data: &Spot<'_>) -> u64 {
    let size = |text: &str| {
        (text.len() / 4 * 3).saturating_sub(text.bytes().rev().take_while(|b| *b == b'=').count())
    };
    data.entries().map(|(_, value)| size(value.text()) as u64).sum()
}

fn stays(object: &Spot<'_>, old: Option<&Value>, fields: &[&str], errors: &mut Vec<FieldError>) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return };
    if !object.child("immutable").is_true() {
        errors.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
    }
    for field in fields {
        if object.child(field).value != &old[*field] {
            errors.push(FieldError::forbidden(*field, "field is immutable when `immutable` is set"));
        }
    }
}

pub(super) fn config_map(object: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    stays(object, old, &["data", "binaryData"], errors);
    let (texts, binaries) = (object.child("data"), object.child("binaryData"));
    let bytes = data(&texts, errors) + decoded_size(&binaries);
    data(&binaries, errors);
    for (key, value) in texts.entries() {
        if !binaries.key(key).is_absent() {
            errors.push(FieldError::invalid(
                value.path,
                key.into(),
                "duplicate of key present in binaryData",
            ));
        }
    }
    if bytes > DATA_BYTES_MAX {
        errors.push(FieldError::too_long("", DATA_BYTES_MAX));
    }
}

pub(super) fn secret(object: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if let Some(old) = old {
        immutable(&object.child("type"), &old["type"], errors);
    }
    stays(object, old, &["data"], errors);
    let values = object.child("data");
    data(&values, errors);
    if decoded_size(&values) > DATA_BYTES_MAX {
        errors.push(FieldError::too_long("data", DATA_BYTES_MAX));
    }
    let need = |key: &str, errors: &mut Vec<FieldError>| {
        if values.key(key).is_absent() {
            errors.push(values.key(key).required(""));
        }
    };
    match object.child("type").text() {
        "kubernetes.io/service-account-token" => {
            let name =
                object.child("metadata").child("annotations").key("kubernetes.io/service-account.name");
            if name.is_empty() {
                errors.push(name.required(""));
            }
        }
        "kubernetes.io/dockercfg" => docker(&values.key(".dockercfg"), errors),
        "kubernetes.io/dockerconfigjson" => docker(&values.key(".dockerconfigjson"), errors),
        "kubernetes.io/basic-auth"
            if values.key("username").is_absent() && values.key("password").is_absent() =>
        {
            need("username", errors);
            need("password", errors);
        }
        "kubernetes.io/ssh-auth" => need("ssh-privatekey", errors),
        "kubernetes.io/tls" => {
            need("tls.crt", errors);
            need("tls.key", errors);
        }
        _ => {}
    }
}

fn docker(value: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if value.is_absent() {
        errors.push(value.required(""));
        return;
    }
    let text = STANDARD.decode(value.text()).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&text) {
        errors.push(FieldError::invalid(&value.path, "<secret contents redacted>".into(), error.to_string()));
    }
}

pub(super) fn node(object: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    // The reference implementation says `metadata`, and clients know it so.
    let taints =
        Spot { value: object.child("spec").child("taints").value, path: "metadata.taints".to_owned() };
    for taint in taints.items() {
        let (key, effect) = (taint.child("key"), taint.child("effect"));
        key.all_invalid(names::qualified_name(key.text()), errors);
        let value = taint.child("value");
        let wrong = names::label_value(value.text());
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(&value.path, value.text().into(), wrong.join(";")));
        }
        effect.one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"], errors);
        let identity = (key.text(), effect.text());
        if seen.contains(&identity) {
            let mut error = FieldError::duplicate(&taint.path, taint.value.clone());
            error.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(error);
        }
        seen.push(identity);
    }
    let status = object.child("status");
    for list in ["capacity", "allocatable"].map(|list| status.child(list)) {
        for (name, _) in list.entries() {
            pod::resource_amount(name, &list.child(name), errors);
        }
    }
}

pub(super) fn lease(spec: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let duration = spec.child("leaseDurationSeconds");
    if duration.number().is_some_and(|seconds| seconds <= 0) {
        errors.push(duration.invalid("must be greater than 0"));
    }
    spec.child("leaseTransitions").not_negative(errors);
}

/// An event belongs where its object is; events of cluster-scoped objects are in `default` or `kube-system`.
pub(super) fn event(event: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let (own, of) =
        (event.child("metadata").child("namespace"), event.child("involvedObject").child("namespace"));
    let fits = if of.is_empty() {
        matches!(own.text(), "default" | "kube-system" | "")
    } else {
        own.value == of.value
    };
    if !fits {
        errors.push(FieldError::invalid(&of.path, of.text().into(), "does not match event.namespace"));
    }
}
