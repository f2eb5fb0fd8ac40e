//! Pods and pod templates.

mod container;
mod probe;
mod resources;
mod update;
mod volume;

use serde_json::Value;

use super::spot::Spot;
use super::{names, selector};
use crate::error::FieldError;

pub(super) fn check(pod: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    spec(&pod.child("spec"), errors);
    for container in pod.child("spec").child("ephemeralContainers").items().filter(|_| old.is_none()) {
        errors.push(FieldError::forbidden(container.path, "cannot be set on create"));
    }
    if let (Some(old), true) = (old, errors.len() == before) {
        update::check(&pod.child("spec"), &old["spec"], errors);
    }
}

/// A PodTemplateSpec.
pub(super) fn template(template: &Spot<'_>, errors: &mut Vec<FieldError>) {
    selector::labels(&template.child("metadata").child("labels"), errors);
    spec(&template.child("spec"), errors);
}

fn spec(spec: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let grace = spec.child("terminationGracePeriodSeconds");
    if grace.is_absent() {
        errors.push(grace.required(""));
    }
    let volumes = volume::check(&spec.child("volumes"), errors);
    container::all(spec, &volumes, errors);
    spec.child("restartPolicy").one_of(&["Always", "OnFailure", "Never"], errors);
    spec.child("dnsPolicy").one_of(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], errors);
    selector::labels(&spec.child("nodeSelector"), errors);
    host_ports_of_host_network(spec, errors);
    dns(spec, errors);
    for (field, rule) in RULES {
        let name = spec.child(field);
        if !name.is_empty() {
            name.all_invalid(rule(name.text()), errors);
        }
    }
    let deadline = spec.child("activeDeadlineSeconds");
    if deadline.number().is_some_and(|seconds| !(1..=i64::from(i32::MAX)).contains(&seconds)) {
        errors.push(deadline.invalid(names::between(1, i32::MAX.into())));
    }
    for toleration in spec.child("tolerations").items() {
        check_toleration(&toleration, errors);
    }
    for constraint in spec.child("topologySpreadConstraints").items() {
        check_spread(&constraint, errors);
    }
    let preemption = spec.child("preemptionPolicy");
    if !preemption.is_absent() {
        preemption.one_of(&["Never", "PreemptLowerPriority"], errors);
    }
    let namespaces = ["hostPID"].iter().any(|field| spec.child(field).is_true());
    let shared = spec.child("shareProcessNamespace");
    if shared.is_true() && namespaces {
        errors.push(shared.invalid("ShareProcessNamespace and HostPID cannot both be enabled"));
    }
}

type Rule = fn(&str) -> Vec<String>;

const RULES: [(&str, Rule); 6] = [
    ("serviceAccountName", names::dns1123_subdomain),
    ("nodeName", names::dns1123_subdomain),
    ("hostname", names::dns1123_label),
    ("subdomain", names::dns1123_label),
    ("priorityClassName", names::dns1123_subdomain),
    ("runtimeClassName", names::dns1123_subdomain),
];

fn host_ports_of_host_network(spec: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if !spec.child("hostNetwork").is_true() {
        return;
    }
    for container in spec.child("containers").items() {
        for port in container.child("ports").items() {
            let host_port = port.child("hostPort");
            if host_port.value != port.child("containerPort").value {
                errors.push(host_port.invalid("must match `containerPort` when `hostNetwork` is true"));
            }
        }
    }
}

fn dns(spec: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let servers = spec.child("dnsConfig").child("nameservers");
    if spec.child("dnsPolicy").text() == "None" && spec.child("dnsConfig").is_absent() {
        errors.push(spec.child("dnsConfig").required("must provide `dnsConfig` when `dnsPolicy` is None"));
    } else if spec.child("dnsPolicy").text() == "None" && servers.is_empty() {
        errors.push(servers.required("must provide at least one DNS nameserver when `dnsPolicy` is None"));
    }
    if servers.items().count() > 3 {
        errors.push(servers.invalid("must not have more than 3 nameservers"));
    }
}

fn check_toleration(toleration: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let (key, operator) = (toleration.child("key"), toleration.child("operator"));
    if !key.is_empty() {
        key.all_invalid(names::qualified_name(key.text()), errors);
    } else if operator.text() != "Exists" {
        errors.push(operator.invalid(
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        ));
    }
    let effect = toleration.child("effect");
    if !toleration.child("tolerationSeconds").is_absent() && effect.text() != "NoExecute" {
        errors.push(other_value(
            &effect,
            effect.text(),
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        ));
    }
    match operator.text() {
        "" | "Equal" => {
            let value = toleration.child("value");
            let messages = names::label_value(value.text());
            if !messages.is_empty() {
                errors.push(other_value(&operator, value.text(), &messages.join(";")));
            }
        }
        "Exists" if !toleration.child("value").is_empty() => {
            let value = toleration.child("value");
            errors.push(other_value(
                &operator,
                value.text(),
                "value must be empty when `operator` is 'Exists'",
            ));
        }
        "Exists" => {}
        _ => errors.push(FieldError::not_supported(
            &operator.path,
            operator.value.clone(),
            &["Equal", "Exists"],
        )),
    }
    if !effect.is_empty() {
        effect.one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"], errors);
    }
}

fn other_value(at: &Spot<'_>, value: &str, detail: &str) -> FieldError {
    FieldError::invalid(&at.path, value.into(), detail)
}

fn check_spread(constraint: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let skew = constraint.child("maxSkew");
    if skew.number().unwrap_or(0) <= 0 {
        errors.push(skew.invalid("must be greater than zero"));
    }
    let key = constraint.child("topologyKey");
    if key.is_empty() {
        errors.push(key.required("can not be empty"));
    } else {
        key.all_invalid(names::qualified_name(key.text()), errors);
    }
    let action = constraint.child("whenUnsatisfiable");
    if !matches!(action.text(), "DoNotSchedule" | "ScheduleAnyway") {
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        errors.push(FieldError::not_supported(&action.path, action.text().into(), &supported));
    }
    selector::check(&constraint.child("labelSelector"), errors);
}

/// A port by number, or by the name of a container's port.
pub(super) fn port_number_or_name(port: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let messages = match port.number() {
        Some(number) => names::port_number(number),
        None => names::port_name(port.text()),
    };
    port.all_invalid(messages, errors);
}

/// An amount of a resource of that name.
pub(super) fn resource_amount(name: &str, amount: &Spot<'_>, errors: &mut Vec<FieldError>) {
    resources::quantity(name, amount, errors);
}
