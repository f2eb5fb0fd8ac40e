//! Bounds and the schemas below logical junctors.

use serde_json::Value;

use super::json::{flag, list, map, properties, text, texts};
use crate::pattern::Pattern;
use crate::types::{Bound, Checks, Limits};

/// The bounds a schema node sets; `None` if it sets none.
pub(super) fn limits(schema: &Value) -> Option<Limits> {
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    let count = |key: &str| schema.get(key).and_then(Value::as_u64);
    let bound = |key: &str| if flag(schema, key) { Bound::Exclusive } else { Bound::Inclusive };
    let pattern = Some(text(schema, "pattern")).filter(|pattern| !pattern.is_empty());
    let limits = Limits {
        minimum: number("minimum").map(|limit| (limit, bound("exclusiveMinimum"))),
        maximum: number("maximum").map(|limit| (limit, bound("exclusiveMaximum"))),
        multiple_of: number("multipleOf"),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        // The structural checks have refused patterns that do not compile.
        pattern: pattern.map(|pattern| Pattern::compile(pattern).expect("invariants::check compiled it")),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
        format: Some(text(schema, "format")).filter(|format| !format.is_empty()).map(Into::into),
    };
    (limits != Limits::default()).then_some(limits)
}

/// What a structural node demands beside its shape; `None` if nothing.
pub(super) fn beside(schema: &Value) -> Option<Checks> {
    let mut checks = junctors(schema);
    if flag(schema, "x-kubernetes-int-or-string") {
        drop_int_or_string(schema, &mut checks);
    }
    let declared = map(schema, "properties");
    let undeclared = |name: &String| declared.is_none_or(|fields| !fields.contains_key(name));
    checks.required = texts(schema, "required").into_iter().filter(undeclared).map(Into::into).collect();
    (checks != Checks::default()).then_some(checks)
}

/// `anyOf: [integer, string]` and the same first under `allOf` only spell out what int-or-string means.
fn drop_int_or_string(schema: &Value, checks: &mut Checks) {
    let spelled =
        |any_of: &Value| any_of.as_array().is_some_and(|all| all.iter().any(|one| one.get("type").is_some()));
    if spelled(&schema["anyOf"]) {
        checks.any_of.clear();
    }
    if let (true, Some(first)) = (spelled(&schema["allOf"][0]["anyOf"]), checks.all_of.first_mut()) {
        first.any_of.clear();
    }
}

/// A schema below a junctor.
pub(super) fn nested(schema: &Value) -> Checks {
    Checks {
        allowed: list(schema, "enum").to_vec(),
        limits: limits(schema).unwrap_or_default(),
        required: texts(schema, "required").into_iter().map(Into::into).collect(),
        properties: properties(schema).map(|(name, inner)| (name.as_str().into(), nested(inner))).collect(),
        items: schema.get("items").map(|items| Box::new(nested(items))),
        ..junctors(schema)
    }
}

fn junctors(schema: &Value) -> Checks {
    let all = |key: &str| list(schema, key).iter().map(nested).collect();
    Checks {
        all_of: all("allOf"),
        any_of: all("anyOf"),
        one_of: all("oneOf"),
        not: schema.get("not").map(|not| Box::new(nested(not))),
        ..Checks::default()
    }
}
