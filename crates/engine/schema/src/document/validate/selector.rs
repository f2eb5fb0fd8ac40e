//! Labels, and the selectors that look at them.

use serde_json::Value;

use super::names;
use super::spot::Spot;
use crate::error::FieldError;

/// A map of labels: keys and values.
pub(super) fn labels(labels: &Spot<'_>, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.entries() {
        for message in names::qualified_name(key) {
            errors.push(FieldError::invalid(&labels.path, key.into(), message));
        }
        for message in names::label_value(value.text()) {
            errors.push(FieldError::invalid(&labels.path, value.value.clone(), message));
        }
    }
}

/// A `LabelSelector`.
pub(super) fn check(selector: &Spot<'_>, errors: &mut Vec<FieldError>) {
    labels(&selector.child("matchLabels"), errors);
    for term in selector.child("matchExpressions").items() {
        let values = term.child("values");
        match term.child("operator").text() {
            "In" | "NotIn" if values.is_empty() => {
                errors.push(values.required("must be specified when `operator` is 'In' or 'NotIn'"));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.push(
                    values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(term.child("operator").invalid("not a valid selector operator")),
        }
        let key = term.child("key");
        key.all_invalid(names::qualified_name(key.text()), errors);
        for value in values.items() {
            value.all_invalid(names::label_value(value.text()), errors);
        }
    }
}

/// Whether a `LabelSelector` selects nothing in particular.
pub(super) fn is_empty(selector: &Spot<'_>) -> bool {
    selector.child("matchLabels").is_empty() && selector.child("matchExpressions").is_empty()
}

/// Whether it selects an object with these labels.
pub(super) fn matches(selector: &Spot<'_>, labels: &Value) -> bool {
    let of = |key: &str| labels.get(key).and_then(Value::as_str);
    let equal = selector.child("matchLabels").entries().all(|(key, value)| of(key) == Some(value.text()));
    equal
        && selector.child("matchExpressions").items().all(|term| {
            let found = of(term.child("key").text());
            let among = || term.child("values").items().any(|value| Some(value.text()) == found);
            match term.child("operator").text() {
                "In" => among(),
                "NotIn" => !among(),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => true,
            }
        })
}
