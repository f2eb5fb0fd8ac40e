//! Services.

use serde_json::{Value, json};

use super::{Object, child, each, present, set, text};

/// How long a client stays with one endpoint, in seconds: three hours.
const AFFINITY_SECONDS: i64 = 10_800;

pub(super) fn service(service: &mut Object) {
    let Some(spec) = child(service, "spec") else { return };
    set(spec, "sessionAffinity", "None");
    if text(spec, "sessionAffinity") == "None" {
        spec.remove("sessionAffinityConfig");
    } else if text(spec, "sessionAffinity") == "ClientIP"
        && spec
            .get("sessionAffinityConfig")
            .and_then(|config| config.pointer("/clientIP/timeoutSeconds"))
            .is_none()
    {
        spec.insert(
            "sessionAffinityConfig".to_owned(),
            json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}),
        );
    }
    set(spec, "type", "ClusterIP");
    for port in each(spec, "ports") {
        let number = port.get("port").cloned().unwrap_or_default();
        if port.get("targetPort").is_none_or(|target| *target == 0 || *target == "") {
            port.insert("targetPort".to_owned(), number);
        }
    }
    traffic(spec);
    if text(spec, "type") == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
        modes(service);
    }
}

fn traffic(spec: &mut Object) {
    let kind = text(spec, "type");
    let (internal, external) = match kind {
        "NodePort" | "LoadBalancer" => (true, true),
        "ClusterIP" => {
            (true, spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty()))
        }
        _ => (false, false),
    };
    if external {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    if internal {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
}

fn modes(service: &mut Object) {
    let Some(balancer) = present(service, "status").and_then(|status| present(status, "loadBalancer")) else {
        return;
    };
    for ingress in each(balancer, "ingress").filter(|ingress| ingress.contains_key("ip")) {
        set(ingress, "ipMode", "VIP");
    }
}
