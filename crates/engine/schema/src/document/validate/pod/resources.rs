//! Requests and limits.

use muster_base::quantity::Quantity;

use crate::error::FieldError;
use crate::validate::names;
use crate::validate::spot::Spot;

/// Resources a node may promise more of than it has.
fn may_overcommit(name: &str) -> bool {
    (!name.contains('/') || name.starts_with("kubernetes.io/")) && !name.starts_with("hugepages-")
}

pub(super) fn check(resources: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let (limits, requests) = (resources.child("limits"), resources.child("requests"));
    for (name, amount) in limits.entries().chain(requests.entries()) {
        resource_name(name, &amount, errors);
        quantity(name, &amount, errors);
    }
    for (name, request) in requests.entries() {
        let limit = limits.key(name);
        if limit.is_absent() {
            if !may_overcommit(name) {
                errors.push(limits.required("Limit must be set for non overcommitable resources"));
            }
            continue;
        }
        let (Some(asked), Some(most)) = (parsed(&request), parsed(&limit)) else { continue };
        let refused = |detail: String| FieldError::invalid(&requests.path, request.value.clone(), detail);
        if asked != most && !may_overcommit(name) {
            errors.push(refused(format!("must be equal to {name} limit of {}", limit.text())));
        } else if asked > most {
            errors.push(refused(format!("must be less than or equal to {name} limit of {}", limit.text())));
        }
    }
}

fn parsed(amount: &Spot<'_>) -> Option<Quantity> {
    amount.text().parse().ok()
}

fn resource_name(name: &str, at: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let wrong = names::qualified_name(name);
    let known = ["cpu", "memory", "ephemeral-storage"].contains(&name) || name.starts_with("hugepages-");
    for message in &wrong {
        errors.push(FieldError::invalid(&at.path, name.into(), message));
    }
    if wrong.is_empty() && !name.contains('/') && !known {
        errors.push(FieldError::invalid(
            &at.path,
            name.into(),
            "must be a standard resource type or fully qualified",
        ));
        errors.push(FieldError::invalid(&at.path, name.into(), "must be a standard resource for containers"));
    }
}

pub(super) fn quantity(name: &str, amount: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let Some(quantity) = parsed(amount) else { return };
    if quantity.milli() < 0 {
        errors.push(amount.invalid("must be greater than or equal to 0"));
    }
    let whole = name.contains('/') && !name.starts_with("kubernetes.io/");
    if whole && quantity.milli() % 1000 != 0 {
        errors.push(amount.invalid("must be an integer"));
    }
}
