//! Probes and lifecycle handlers.

use crate::error::FieldError;
use crate::validate::spot::Spot;

use super::port_number_or_name;

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// Probes and hooks of a container; only containers that keep running may have them.
pub(super) fn of_container(container: &Spot<'_>, allowed: bool, list: &str, errors: &mut Vec<FieldError>) {
    let hooks = container.child("lifecycle");
    if !allowed {
        let detail = match list {
            "initContainers" => "may not be set for init containers without restartPolicy=Always",
            _ => "cannot be set for an Ephemeral Container",
        };
        for field in PROBES.map(|probe| container.child(probe)).into_iter().chain([hooks]) {
            if !field.is_absent() {
                errors.push(field.forbidden(detail));
            }
        }
        return;
    }
    for name in PROBES {
        let probe = container.child(name);
        if probe.is_absent() {
            continue;
        }
        check(&probe, errors);
        let success = probe.child("successThreshold");
        if name != "readinessProbe" && success.number() != Some(1) {
            let found = success.number().unwrap_or(0);
            errors.push(FieldError::invalid(&success.path, found.into(), "must be 1"));
        }
    }
    for hook in ["postStart", "preStop"].map(|hook| hooks.child(hook)) {
        if !hook.is_absent() {
            handler(&hook, errors);
        }
    }
}

fn check(probe: &Spot<'_>, errors: &mut Vec<FieldError>) {
    handler(probe, errors);
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        probe.child(field).not_negative(errors);
    }
    let grace = probe.child("terminationGracePeriodSeconds");
    if grace.number().is_some_and(|seconds| seconds <= 0) {
        errors.push(grace.invalid("must be greater than 0"));
    }
}

fn handler(handler: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let mut found = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let action = handler.child(kind);
        if action.is_absent() {
            continue;
        }
        found += 1;
        if found > 1 {
            errors.push(action.forbidden("may not specify more than 1 handler type"));
        } else {
            check_action(kind, &action, errors);
        }
    }
    if found == 0 {
        errors.push(handler.required("must specify a handler type"));
    }
}

fn check_action(kind: &str, action: &Spot<'_>, errors: &mut Vec<FieldError>) {
    match kind {
        "exec" if action.child("command").is_empty() => errors.push(action.child("command").required("")),
        "httpGet" => {
            if action.child("path").is_empty() {
                errors.push(action.child("path").required(""));
            }
            port_number_or_name(&action.child("port"), errors);
            action.child("scheme").one_of(&["HTTP", "HTTPS"], errors);
        }
        "tcpSocket" | "grpc" => port_number_or_name(&action.child("port"), errors),
        _ => {}
    }
}
