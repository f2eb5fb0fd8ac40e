//! Containers, init containers and ephemeral ones.

use crate::error::FieldError;
use crate::validate::names;
use crate::validate::spot::Spot;

use super::{probe, resources};

/// `volumes` are the names of the pod's sound volumes.
pub(super) fn all(spec: &Spot<'_>, volumes: &[&str], errors: &mut Vec<FieldError>) {
    let containers = spec.child("containers");
    if containers.is_empty() {
        errors.push(containers.required(""));
        return;
    }
    let mut seen = Vec::new();
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in spec.child(list).items() {
            common(&container, volumes, errors);
            let name = container.child("name");
            if !name.is_empty() && seen.contains(&name.text()) {
                errors.push(FieldError::duplicate(&name.path, name.value.clone()));
            }
            seen.push(name.text());
            let restart = container.child("restartPolicy");
            let may_probe = list == "containers" || restart.text() == "Always";
            probe::of_container(&container, may_probe, list, errors);
            if list == "initContainers" && !restart.is_empty() {
                restart.one_of(&["Always", "Never", "OnFailure"], errors);
            }
        }
    }
    host_ports(&containers, errors);
}

fn common(container: &Spot<'_>, volumes: &[&str], errors: &mut Vec<FieldError>) {
    container.child("name").name(names::dns1123_label, errors);
    let image = container.child("image");
    if image.is_empty() {
        errors.push(image.required(""));
    }
    container.child("terminationMessagePolicy").one_of(&["File", "FallbackToLogsOnError"], errors);
    ports(&container.child("ports"), errors);
    for variable in container.child("env").items() {
        environment(&variable, errors);
    }
    for source in container.child("envFrom").items() {
        environment_source(&source, &container.child("envFrom").path, errors);
    }
    mounts(container, volumes, errors);
    container.child("imagePullPolicy").one_of(&["Always", "IfNotPresent", "Never"], errors);
    resources::check(&container.child("resources"), errors);
    security(&container.child("securityContext"), errors);
}

fn ports(ports: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for port in ports.items() {
        let (name, number, host) = (port.child("name"), port.child("containerPort"), port.child("hostPort"));
        if !name.is_empty() {
            let wrong = names::port_name(name.text());
            if wrong.is_empty() && seen.contains(&name.text()) {
                errors.push(FieldError::duplicate(&name.path, name.value.clone()));
            }
            name.all_invalid(wrong, errors);
            seen.push(name.text());
        }
        match number.number() {
            None | Some(0) => errors.push(number.required("")),
            Some(value) => number.all_invalid(names::port_number(value), errors),
        }
        if let Some(value) = host.number().filter(|value| *value != 0) {
            host.all_invalid(names::port_number(value), errors);
        }
        port.child("protocol").one_of(&["SCTP", "TCP", "UDP"], errors);
    }
}

/// No two ports of a pod on the same port of the host.
fn host_ports(containers: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for port in containers.items().flat_map(|container| container.child("ports").items()) {
        let host = port.child("hostPort");
        let Some(number) = host.number().filter(|number| *number != 0) else { continue };
        let key = format!("{}/{}/{number}", port.child("protocol").text(), port.child("hostIP").text());
        if seen.contains(&key) {
            errors.push(FieldError::duplicate(&host.path, key.into()));
        } else {
            seen.push(key);
        }
    }
}

const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

fn environment(variable: &Spot<'_>, errors: &mut Vec<FieldError>) {
    variable.child("name").name(names::environment_variable, errors);
    let from = variable.child("valueFrom");
    if from.is_absent() {
        return;
    }
    let none = |detail: &str| FieldError::invalid(&from.path, "".into(), detail);
    let sources = SOURCES.iter().filter(|source| !from.child(source).is_absent()).count();
    for source in ["configMapKeyRef", "secretKeyRef"].map(|source| from.child(source)) {
        if !source.is_absent() {
            let name = source.child("name");
            other_invalid(&name, names::dns1123_subdomain(name.text()), errors);
            source.child("key").name(names::config_key, errors);
        }
    }
    let path = from.child("fieldRef").child("fieldPath");
    if !from.child("fieldRef").is_absent() && path.is_empty() {
        errors.push(path.required(""));
    }
    if sources == 0 {
        errors.push(none(
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ));
    } else if !variable.child("value").is_empty() {
        errors.push(none("may not be specified when `value` is not empty"));
    } else if sources > 1 {
        errors.push(none("may not have more than one field specified at a time"));
    }
}

/// `list` is where the reference implementation says it stands.
fn environment_source(source: &Spot<'_>, list: &str, errors: &mut Vec<FieldError>) {
    let given = ["configMapRef", "secretRef"].map(|field| source.child(field));
    let none = |detail: &str| FieldError::invalid(list, "".into(), detail);
    match given.iter().filter(|field| !field.is_absent()).count() {
        0 => errors.push(none("must specify one of: `configMapRef` or `secretRef`")),
        1 => {}
        _ => errors.push(none("may not have more than one field specified at a time")),
    }
    for field in given.iter().filter(|field| !field.is_absent()) {
        field.child("name").name(names::dns1123_subdomain, errors);
    }
}

/// Errors of a text that may be absent.
fn other_invalid(spot: &Spot<'_>, messages: Vec<String>, errors: &mut Vec<FieldError>) {
    errors.extend(messages.into_iter().map(|text| FieldError::invalid(&spot.path, spot.text().into(), text)));
}

fn mounts(container: &Spot<'_>, volumes: &[&str], errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for mount in container.child("volumeMounts").items() {
        let (name, path) = (mount.child("name"), mount.child("mountPath"));
        if name.is_empty() {
            errors.push(name.required(""));
        }
        if !volumes.contains(&name.text()) {
            errors.push(FieldError::not_found(&name.path, name.text().into()));
        }
        if path.is_empty() {
            errors.push(path.required(""));
        }
        if seen.contains(&path.text()) {
            errors.push(path.invalid("must be unique"));
        }
        seen.push(path.text());
        for field in ["subPath", "subPathExpr"] {
            // The reference implementation leaves the index out.
            let path = container.child("volumeMounts").child(field).path;
            descends(&Spot { path, ..mount.child(field) }, errors);
        }
        let propagation = mount.child("mountPropagation");
        if !propagation.is_absent() {
            propagation.one_of(&["Bidirectional", "HostToContainer", "None"], errors);
        }
    }
}

/// A relative path that does not leave where it starts.
pub(super) fn descends(path: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if path.text().starts_with('/') {
        errors.push(path.invalid("must be a relative path"));
    }
    if path.text().split('/').any(|part| part == "..") {
        errors.push(path.invalid("must not contain '..'"));
    }
}

fn security(context: &Spot<'_>, errors: &mut Vec<FieldError>) {
    for field in ["runAsUser", "runAsGroup"].map(|field| context.child(field)) {
        if field.number().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
            errors.push(field.invalid(names::between(0, i32::MAX.into())));
        }
    }
    let escalation = context.child("allowPrivilegeEscalation");
    if escalation.value == &serde_json::Value::Bool(false) && context.child("privileged").is_true() {
        errors.push(FieldError::invalid(
            &context.path,
            context.value.clone(),
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ));
    }
}
