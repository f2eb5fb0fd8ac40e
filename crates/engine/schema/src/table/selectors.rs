//! Label selectors and labels as text.

use std::collections::BTreeMap;

use serde_json::Value;

/// `a=1,b in (x,y),!c`, sorted by key; empty for a selector that selects all or nothing.
pub(super) fn selector(selector: Option<&Value>) -> String {
    let mut parts: Vec<(String, String)> = Vec::new();
    let Some(selector) = selector else { return String::new() };
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("Exists") => key.to_owned(),
            Some("DoesNotExist") => format!("!{key}"),
            Some(_) | None => return "<error>".to_owned(),
        };
        parts.push((key.to_owned(), text));
    }
    parts.sort_by(|left, right| left.0.cmp(&right.0));
    parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

/// `a=1,b=2`, sorted.
pub(super) fn labels(labels: Option<&Value>) -> String {
    let sorted: BTreeMap<&String, &Value> = labels.and_then(Value::as_object).into_iter().flatten().collect();
    let parts =
        sorted.into_iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    parts.collect::<Vec<_>>().join(",")
}
