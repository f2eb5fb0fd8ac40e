//! Bounds and closed lists, and the logical junctors over them. Wording: kube-openapi `validation/errors`.

use serde_json::{Number, Value};

use super::format;
use crate::error::{FieldError, at, join, quote};
use crate::types::{Bound, Checks, Limits};

/// `enum`.
pub(super) fn allowed(values: &[Value], value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if values.is_empty() || values.iter().any(|candidate| same(candidate, value)) {
        return;
    }
    let texts: Vec<String> =
        values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
    errors.push(FieldError::not_supported(path, value.clone(), &texts));
}

/// Equality in which `1` and `1.0` are one.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (left, right) => left == right,
    }
}

/// Every bound that applies to this kind of value.
pub(super) fn limits(limits: &Limits, float: bool, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match value {
        Value::String(text) => string(limits, text, path, errors),
        Value::Number(found) => number(limits, float, found, path, errors),
        Value::Array(items) => {
            let count = items.len() as u64;
            if let Some(min) = limits.min_items.filter(|min| count < *min) {
                let detail = format!("{path} in body should have at least {min} items");
                errors.push(FieldError::invalid(path, count.into(), detail));
            }
            if let Some(max) = limits.max_items.filter(|max| count > *max) {
                errors.push(FieldError::too_many(path, count, max));
            }
        }
        Value::Object(map) => {
            let count = map.len() as u64;
            if let Some(min) = limits.min_properties.filter(|min| count < *min) {
                let detail = format!("{path} in body should have at least {min} properties");
                errors.push(FieldError::invalid(path, count.into(), detail));
            }
            if let Some(max) = limits.max_properties.filter(|max| count > *max) {
                errors.push(FieldError::too_many(path, count, max));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn string(limits: &Limits, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let length = text.chars().count() as u64;
    if let Some(max) = limits.max_length.filter(|max| length > *max) {
        errors.push(FieldError::too_long(path, max));
    } else if let Some(min) = limits.min_length.filter(|min| length < *min) {
        let detail = format!("{path} in body should be at least {min} chars long");
        errors.push(FieldError::invalid(path, text.into(), detail));
    } else if let Some(pattern) = limits.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        let detail = format!("{path} in body should match '{}'", pattern.as_str());
        errors.push(FieldError::invalid(path, text.into(), detail));
    }
    if let Some(wanted) = limits.format.as_deref().filter(|wanted| !format::holds(wanted, text)) {
        let detail = format!("{path} in body must be of type {wanted}: {}", quote(text));
        errors.push(FieldError::type_invalid(path, text.into(), detail));
    }
}

fn number(limits: &Limits, float: bool, found: &Number, path: &str, errors: &mut Vec<FieldError>) {
    let Some(value) = found.as_f64() else { return };
    let mut refuse = |detail: String| {
        errors.push(FieldError::invalid(
            path,
            Value::Number(found.clone()),
            format!("{path} in body {detail}"),
        ));
    };
    if let Some((min, bound)) = limits.minimum {
        match bound {
            Bound::Inclusive if value < min => {
                refuse(format!("should be greater than or equal to {}", shown(min)));
            }
            Bound::Exclusive if value <= min => refuse(format!("should be greater than {}", shown(min))),
            Bound::Inclusive | Bound::Exclusive => {}
        }
    }
    if let Some((max, bound)) = limits.maximum {
        match bound {
            Bound::Inclusive if value > max => {
                refuse(format!("should be less than or equal to {}", shown(max)))
            }
            Bound::Exclusive if value >= max => refuse(format!("should be less than {}", shown(max))),
            Bound::Inclusive | Bound::Exclusive => {}
        }
    }
    if let Some(factor) = limits.multiple_of.filter(|factor| !is_multiple(value, *factor)) {
        refuse(format!("should be a multiple of {}", shown(factor)));
    }
    if !float
        && limits.format.as_deref() == Some("int32")
        && !(-2_147_483_648.0..=2_147_483_647.0).contains(&value)
    {
        let detail = format!("Checked value must be of type integer with format int32 in {path}");
        errors.push(FieldError::invalid("<nil>", Value::from(""), detail));
    }
}

fn is_multiple(value: f64, factor: f64) -> bool {
    let ratio = if factor < 1.0 { 1.0 / factor * value } else { value / factor };
    (ratio - ratio.round()).abs() < 1e-9
}

/// A number as Go's `%v` prints it.
fn shown(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e21 { format!("{number:.0}") } else { format!("{number}") }
}

/// Conditions beside the shape; see [`Checks`].
pub(super) fn nested(checks: &Checks, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    limits(&checks.limits, false, value, path, errors);
    allowed(&checks.allowed, value, path, errors);
    if let Value::Object(map) = value {
        for name in checks.required.iter().filter(|name| !map.contains_key(&***name)) {
            errors.push(FieldError::required(join(path, name), ""));
        }
        for (name, inner) in &checks.properties {
            if let Some(item) = map.get(&**name) {
                nested(inner, item, &join(path, name), errors);
            }
        }
    }
    if let (Value::Array(items), Some(inner)) = (value, &checks.items) {
        for (index, item) in items.iter().enumerate() {
            nested(inner, item, &at(path, index), errors);
        }
    }
    junctors(checks, value, path, errors);
}

fn judge(checks: &Checks, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    nested(checks, value, path, &mut errors);
    errors
}

fn junctors(checks: &Checks, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let composite =
        |text: String| FieldError::invalid("<nil>", Value::from(""), format!("{} {text}", quote(path)));
    if !checks.any_of.is_empty() {
        let results: Vec<_> = checks.any_of.iter().map(|inner| judge(inner, value, path)).collect();
        if results.iter().all(|found| !found.is_empty()) {
            errors.push(composite("must validate at least one schema (anyOf)".to_owned()));
            errors.extend(fewest(results));
        }
    }
    if !checks.one_of.is_empty() {
        let results: Vec<_> = checks.one_of.iter().map(|inner| judge(inner, value, path)).collect();
        let valid = results.iter().filter(|found| found.is_empty()).count();
        if valid == 0 {
            errors.push(composite(
                "must validate one and only one schema (oneOf). Found none valid".to_owned(),
            ));
            errors.extend(fewest(results));
        } else if valid > 1 {
            let text =
                format!("must validate one and only one schema (oneOf). Found {valid} valid alternatives");
            errors.push(composite(text));
        }
    }
    let mut held = 0;
    let mut failed = Vec::new();
    for inner in &checks.all_of {
        let found = judge(inner, value, path);
        held += usize::from(found.is_empty());
        failed.extend(found);
    }
    if held != checks.all_of.len() {
        errors.append(&mut failed);
        let none = if held == 0 { ". None validated" } else { "" };
        errors.push(composite(format!("must validate all the schemas (allOf){none}")));
    }
    if checks.not.as_ref().is_some_and(|inner| judge(inner, value, path).is_empty()) {
        errors.push(composite("must not validate the schema (not)".to_owned()));
    }
}

/// The refusals of the alternative that came closest.
fn fewest(results: Vec<Vec<FieldError>>) -> Vec<FieldError> {
    results.into_iter().min_by_key(Vec::len).unwrap_or_default()
}
