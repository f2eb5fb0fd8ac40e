//! Webhook configurations.

use std::collections::BTreeSet;

use serde_json::Value;

use super::spot::Spot;
use super::{names, selector};
use crate::cel::condition::Condition;
use crate::error::FieldError;

/// What a match condition may name. Asking the authorizer is not served.
pub(super) const VARIABLES: [&str; 3] = ["object", "oldObject", "request"];

const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const CONDITIONS_MAX: usize = 64;
const FORM: &str = "; desired format: https://host[/path]";

pub(super) fn check(configuration: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for hook in configuration.child("webhooks").items() {
        webhook(&hook, old, errors);
        review_versions(&hook.child("admissionReviewVersions"), errors);
        let name = hook.child("name");
        if !name.is_empty() && !seen.insert(name.text()) {
            errors.push(FieldError::duplicate(&name.path, name.value.clone()));
        }
    }
}

fn webhook(hook: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    qualified(&hook.child("name"), errors);
    for rule in hook.child("rules").items() {
        operations(&rule.child("operations"), errors);
        self::rule(&rule, errors);
    }
    among(&hook.child("failurePolicy"), &["Fail", "Ignore"], errors);
    among(&hook.child("matchPolicy"), &["Equivalent", "Exact"], errors);
    among(&hook.child("reinvocationPolicy"), &["IfNeeded", "Never"], errors);
    let effects = hook.child("sideEffects");
    if effects.is_absent() {
        errors.push(effects.required("must specify one of None, NoneOnDryRun"));
    }
    among(&effects, &NO_SIDE_EFFECTS, errors);
    let timeout = hook.child("timeoutSeconds");
    if timeout.number().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
        errors.push(timeout.invalid("the timeout value must be between 1 and 30 seconds"));
    }
    selector::check(&hook.child("namespaceSelector"), errors);
    selector::check(&hook.child("objectSelector"), errors);
    client(&hook.child("clientConfig"), errors);
    conditions(&hook.child("matchConditions"), old, errors);
}

fn among(spot: &Spot<'_>, supported: &[&str], errors: &mut Vec<FieldError>) {
    if !spot.is_absent() && !supported.contains(&spot.text()) {
        errors.push(FieldError::not_supported(&spot.path, spot.value.clone(), supported));
    }
}

fn qualified(name: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        return errors.push(name.required(""));
    }
    let wrong = names::dns1123_subdomain(name.text());
    if !wrong.is_empty() {
        errors.push(name.invalid(wrong.join(",")));
    } else if name.text().split('.').count() < 3 {
        errors.push(name.invalid("should be a domain with at least three segments separated by dots"));
    }
}

fn texts<'a>(spot: &Spot<'a>) -> Vec<&'a str> {
    spot.items().map(|item| item.text()).collect()
}

/// A list that is there, in which `*` stands alone.
fn wildcard_alone(list: &Spot<'_>, what: &str, errors: &mut Vec<FieldError>) {
    if list.is_empty() {
        return errors.push(list.required(""));
    }
    let texts = texts(list);
    if texts.len() > 1 && texts.contains(&"*") {
        errors.push(list.invalid(format!("if '*' is present, must not specify other {what}")));
    }
}

fn operations(list: &Spot<'_>, errors: &mut Vec<FieldError>) {
    wildcard_alone(list, "operations", errors);
    for operation in list.items().filter(|operation| !OPERATIONS.contains(&operation.text())) {
        errors.push(FieldError::not_supported(&operation.path, operation.value.clone(), &OPERATIONS));
    }
}

fn rule(rule: &Spot<'_>, errors: &mut Vec<FieldError>) {
    wildcard_alone(&rule.child("apiGroups"), "API groups", errors);
    let versions = rule.child("apiVersions");
    wildcard_alone(&versions, "API versions", errors);
    for version in versions.items().filter(Spot::is_empty) {
        errors.push(version.required(""));
    }
    resources(&rule.child("resources"), errors);
    among(&rule.child("scope"), &["*", "Cluster", "Namespaced"], errors);
}

fn resources(list: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if list.is_empty() {
        return errors.push(list.required(""));
    }
    let (mut whole, mut parts) = (BTreeSet::new(), BTreeSet::new());
    let mut without_part = false;
    for item in list.items() {
        if item.is_empty() {
            errors.push(item.required(""));
            continue;
        }
        let Some((resource, part)) = item.text().split_once('/') else {
            without_part = item.text() != "*";
            continue;
        };
        let clash =
            |text: &str| item.invalid(format!("if '{text}' is present, must not specify {}", item.text()));
        if whole.contains(resource) {
            errors.push(clash(&format!("{resource}/*")));
        }
        if parts.contains(part) {
            errors.push(clash(&format!("*/{part}")));
        }
        if part == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            parts.insert(part);
        }
    }
    let all = texts(list);
    if all.len() > 1 && all.contains(&"*/*") {
        errors.push(list.invalid("if '*/*' is present, must not specify other resources"));
    }
    if all.contains(&"*") && without_part {
        let text = "if '*' is present, must not specify other resources without subresources";
        errors.push(list.invalid(text));
    }
}

fn review_versions(list: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if list.is_empty() {
        return errors.push(list.required("must specify one of v1, v1beta1"));
    }
    let mut seen = BTreeSet::new();
    for version in list.items() {
        if !seen.insert(version.text()) {
            errors.push(version.invalid("duplicate version"));
            continue;
        }
        version.all_invalid(names::dns1035_label(version.text()), errors);
    }
    if !VERSIONS.iter().any(|version| seen.contains(version)) {
        errors.push(list.invalid("must include at least one of v1, v1beta1"));
    }
}

fn client(client: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let (url, service) = (client.child("url"), client.child("service"));
    if url.is_absent() == service.is_absent() {
        return errors.push(client.required("exactly one of url or service is required"));
    }
    if service.is_absent() { self::url(&url, errors) } else { self::service(&service, errors) }
}

fn url(url: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let wrong = |value: &str, text: &str| FieldError::invalid(&url.path, value.into(), text);
    let (scheme, rest) = url.text().split_once("://").unwrap_or(("", url.text()));
    if scheme != "https" {
        errors.push(wrong(scheme, &format!("'https' is the only allowed URL scheme{FORM}")));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or("") };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        errors.push(wrong("", &format!("host must be specified{FORM}")));
    }
    if !user.is_empty() {
        errors.push(wrong(user, "user information is not permitted in the URL"));
    }
    if !fragment.is_empty() {
        errors.push(wrong(fragment, "fragments are not permitted in the URL"));
    }
    if !query.is_empty() {
        errors.push(wrong(query, "query parameters are not permitted in the URL"));
    }
}

pub(super) fn service(service: &Spot<'_>, errors: &mut Vec<FieldError>) {
    for field in ["name", "namespace"].map(|field| service.child(field)) {
        if field.is_empty() {
            errors.push(field.required(""));
        }
    }
    let port = service.child("port");
    let wrong = names::port_number(port.number().unwrap_or(0));
    if !wrong.is_empty() {
        errors.push(port.invalid(format!("port is not valid: {}", wrong.join(", "))));
    }
    path(&service.child("path"), errors);
}

fn path(path: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let text = path.text();
    if matches!(text, "" | "/") {
        return;
    }
    if text == "//" {
        return errors.push(path.invalid("segment[0] may not be empty"));
    }
    if !text.starts_with('/') {
        errors.push(path.invalid("must start with a '/'"));
    }
    let rest = text.get(1..).unwrap_or("");
    for (index, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            errors.push(path.invalid(format!("segment[{index}] may not be empty")));
            continue;
        }
        for wrong in names::dns1123_subdomain(step) {
            errors.push(path.invalid(format!("segment[{index}]: {wrong}")));
        }
    }
}

fn conditions(list: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let count = list.items().count();
    if count > CONDITIONS_MAX {
        errors.push(FieldError::too_many(&list.path, count as u64, CONDITIONS_MAX as u64));
    }
    let mut seen = BTreeSet::new();
    for condition in list.items() {
        expression(&condition.child("expression"), old, errors);
        let name = condition.child("name");
        name.name(names::qualified_name, errors);
        if !name.is_empty() && !seen.insert(name.text()) {
            errors.push(FieldError::duplicate(&name.path, name.value.clone()));
        }
    }
}

/// What is stored already is not judged again: an update that only removes a finalizer must go through.
fn expression(expression: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let text = expression.text().trim();
    if text.is_empty() {
        return errors.push(expression.required(""));
    }
    let mut before = old.into_iter().flat_map(|old| old["webhooks"].as_array().into_iter().flatten());
    let is_known = before.any(|hook| {
        let known = hook["matchConditions"].as_array().into_iter().flatten();
        known.into_iter().any(|known| known["expression"].as_str() == Some(expression.text()))
    });
    if is_known {
        return;
    }
    if let Err(error) = Condition::compile(text, &VARIABLES) {
        errors.push(expression.invalid(error.to_string()));
    }
}

#[cfg(test)]
mod tests;
