//! Pods and what they are made of.

use serde_json::{Value, json};

use super::{Object, child, each, present, set, text};

const CONTAINERS: [&str; 2] = ["containers", "initContainers"];

/// What holds for a Pod but not for a template of one.
pub(super) fn pod(pod: &mut Object) {
    let Some(spec) = child(pod, "spec") else { return };
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".to_owned(), 1.into());
    }
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for field in CONTAINERS {
        for container in each(spec, field) {
            requests_from_limits(container);
            if host_network {
                host_ports(container);
            }
        }
    }
    set(spec, "enableServiceLinks", true);
}

fn requests_from_limits(container: &mut Object) {
    let Some(resources) = present(container, "resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let Some(requests) = child(resources, "requests") else { return };
    for (name, quantity) in limits {
        set(requests, &name, quantity);
    }
}

fn host_ports(container: &mut Object) {
    for port in each(container, "ports") {
        let number = port.get("containerPort").cloned().unwrap_or_default();
        set(port, "hostPort", number);
    }
}

/// A PodSpec wherever it stands.
pub(super) fn spec(spec: &mut Object) {
    let account = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !account.is_empty() {
        spec.insert("serviceAccountName".to_owned(), account.clone().into());
        spec.insert("serviceAccount".to_owned(), account.into());
    }
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "restartPolicy", "Always");
    set(spec, "securityContext", json!({}));
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "schedulerName", "default-scheduler");
}

/// `Always` for the tag `latest`, said or implied.
fn pull_policy(image: &str) -> &'static str {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = match last.split_once(':') {
        Some((_, tag)) => tag,
        None if image.contains('@') || image.is_empty() => "",
        None => "latest",
    };
    if tag == "latest" { "Always" } else { "IfNotPresent" }
}

pub(super) fn container(container: &mut Object) {
    let policy = pull_policy(text(container, "image"));
    set(container, "imagePullPolicy", policy);
}

pub(super) fn volume(volume: &mut Object) {
    if volume.keys().all(|field| field == "name") {
        set(volume, "emptyDir", json!({}));
    }
    if let Some(image) = present(volume, "image") {
        let policy = pull_policy(text(image, "reference"));
        set(image, "pullPolicy", policy);
    }
}

/// `podIP` and the first of `podIPs` are one.
pub(super) fn status(status: &mut Object) {
    let single = text(status, "podIP").to_owned();
    let first = status.get("podIPs").and_then(|ips| ips[0]["ip"].as_str()).map(str::to_owned);
    match (single.is_empty(), first) {
        (true, Some(first)) => set(status, "podIP", first),
        (false, first) if first.as_deref() != Some(&single) => {
            status.insert("podIPs".to_owned(), json!([{ "ip": single }]));
        }
        _ => {}
    }
}
