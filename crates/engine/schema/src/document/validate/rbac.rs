//! Roles and bindings.

use serde_json::Value;

use super::spot::Spot;
use super::{immutable, names, selector};
use crate::error::FieldError;
use crate::kind::{Kind, Scope};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn check(kind: &Kind, object: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    match kind.gvk.kind.as_str() {
        "Role" | "ClusterRole" => {
            for rule in object.child("rules").items() {
                policy_rule(&rule, kind.scope, errors);
            }
            for term in object.child("aggregationRule").child("clusterRoleSelectors").items() {
                selector::check(&term, errors);
            }
        }
        _ => binding(object, kind.scope, old, errors),
    }
}

fn policy_rule(rule: &Spot<'_>, scope: Scope, errors: &mut Vec<FieldError>) {
    let (verbs, urls) = (rule.child("verbs"), rule.child("nonResourceURLs"));
    let (groups, resources) = (rule.child("apiGroups"), rule.child("resources"));
    if verbs.is_empty() {
        errors.push(verbs.required(""));
    }
    if !urls.is_empty() {
        if scope == Scope::Namespaced {
            errors.push(urls.invalid("namespaced rules cannot apply to non-resource URLs"));
        }
        if !groups.is_empty() || !resources.is_empty() || !rule.child("resourceNames").is_empty() {
            errors.push(urls.invalid("rules cannot apply to both regular resources and non-resource URLs"));
        }
        return;
    }
    if groups.is_empty() {
        errors.push(groups.required("resource rules must supply at least one api group"));
    }
    if resources.is_empty() {
        errors.push(resources.required("resource rules must supply at least one resource"));
    }
}

fn binding(binding: &Spot<'_>, scope: Scope, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let role = binding.child("roleRef");
    not_among(&role.child("apiGroup"), &[GROUP], errors);
    let kinds: &[&str] = match scope {
        Scope::Namespaced => &["Role", "ClusterRole"],
        Scope::Cluster => &["ClusterRole"],
    };
    not_among(&role.child("kind"), kinds, errors);
    role.child("name").name(names::path_segment, errors);
    for subject in binding.child("subjects").items() {
        check_subject(&subject, scope, errors);
    }
    if let Some(old) = old {
        immutable(&role, &old["roleRef"], errors);
    }
}

fn check_subject(subject: &Spot<'_>, scope: Scope, errors: &mut Vec<FieldError>) {
    let (name, group, namespace) =
        (subject.child("name"), subject.child("apiGroup"), subject.child("namespace"));
    if name.is_empty() {
        errors.push(name.required(""));
    }
    match subject.child("kind").text() {
        "ServiceAccount" => {
            if !name.is_empty() {
                name.all_invalid(names::dns1123_subdomain(name.text()), errors);
            }
            if !group.is_empty() {
                not_among(&group, &[""], errors);
            }
            if scope == Scope::Cluster && namespace.is_empty() {
                errors.push(namespace.required(""));
            }
        }
        "User" | "Group" => not_among(&group, &[GROUP], errors),
        _ => not_among(&subject.child("kind"), &["ServiceAccount", "User", "Group"], errors),
    }
}

fn not_among(spot: &Spot<'_>, supported: &[&str], errors: &mut Vec<FieldError>) {
    if !supported.contains(&spot.text()) {
        errors.push(FieldError::not_supported(&spot.path, spot.text().into(), supported));
    }
}
