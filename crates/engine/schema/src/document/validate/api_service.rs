//! Registrations of API servers.

use super::names;
use super::spot::Spot;
use crate::error::FieldError;

const SERVICE_FIELDS: [&str; 2] = ["namespace", "name"];

pub(super) fn check(registration: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let spec = registration.child("spec");
    let (group, version) = (spec.child("group"), spec.child("version"));
    let name = registration.child("metadata").child("name");
    let wanted = format!("{}.{}", version.text(), group.text());
    if name.text() != wanted {
        errors.push(name.invalid(format!("must be `spec.version+\".\"+spec.group`: {wanted:?}")));
    }
    if !group.is_empty() {
        group.all_invalid(names::dns1123_subdomain(group.text()), errors);
    } else if version.text() != "v1" {
        errors.push(group.required("only v1 may have an empty group and it better be legacy kube"));
    }
    let wrong = names::dns1035_label(version.text());
    errors.extend(
        wrong.into_iter().map(|text| FieldError::invalid(&version.path, version.text().into(), text)),
    );
    for (field, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let priority = spec.child(field);
        let number = priority.number().unwrap_or(0);
        if !(1..=max).contains(&number) {
            let text = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(&priority.path, number.into(), text));
        }
    }
    service(&spec, errors);
}

fn service(spec: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let (service, bundle) = (spec.child("service"), spec.child("caBundle"));
    let insecure = spec.child("insecureSkipTLSVerify");
    if service.is_absent() {
        if !bundle.is_empty() {
            let size = format!("{} bytes", bundle.text().len() / 4 * 3);
            let text = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid(&bundle.path, size.into(), text));
        }
        if insecure.is_true() {
            errors.push(insecure.invalid("local APIServices may not have insecureSkipTLSVerify"));
        }
        return;
    }
    for field in SERVICE_FIELDS.map(|field| service.child(field)).iter().filter(|field| field.is_empty()) {
        errors.push(field.required(""));
    }
    let port = service.child("port");
    let wrong = names::port_number(port.number().unwrap_or(0));
    if !wrong.is_empty() {
        errors.push(port.invalid(format!("port is not valid: {}", wrong.join(", "))));
    }
    if insecure.is_true() && !bundle.is_empty() {
        errors.push(insecure.invalid("may not be true if caBundle is present"));
    }
}
