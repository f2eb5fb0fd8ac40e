//! Services.

use std::net::IpAddr;

use serde_json::Value;

use super::spot::Spot;
use super::{names, pod, selector};
use crate::error::FieldError;

/// Longest affinity, in seconds: a day.
const AFFINITY_SECONDS_MAX: i64 = 86_400;

pub(super) fn check(service: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = service.child("spec");
    let (kind, ports) = (spec.child("type"), spec.child("ports"));
    let headless = spec.child("clusterIP").text() == "None";
    if ports.is_empty() && !headless && kind.text() != "ExternalName" {
        errors.push(ports.required(""));
    }
    by_type(&spec, headless, errors);
    let mut names_seen = Vec::new();
    let several = ports.items().count() > 1;
    for port in ports.items() {
        check_port(&port, several, &mut names_seen, errors);
    }
    selector::labels(&spec.child("selector"), errors);
    affinity(&spec, errors);
    if kind.text() != "ExternalName" {
        cluster_ips(&spec, errors);
    }
    for ip in spec.child("externalIPs").items() {
        check_ip(&ip, errors);
    }
    kind.one_of(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], errors);
    node_ports(&kind, &ports, errors);
    traffic(&spec, errors);
    if let Some(old) = old {
        cluster_ip_stays(&spec, &old["spec"], errors);
    }
}

fn by_type(spec: &Spot<'_>, headless: bool, errors: &mut Vec<FieldError>) {
    match spec.child("type").text() {
        kind @ ("LoadBalancer" | "NodePort") if headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid("spec.clusterIPs[0]", "None".into(), detail));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"].map(|field| spec.child(field)) {
                if !field.is_empty() {
                    errors.push(field.forbidden("may not be set for ExternalName services"));
                }
            }
            let name = spec.child("externalName");
            match name.text().trim_end_matches('.') {
                "" => errors.push(name.required("")),
                host => name.all_invalid(names::dns1123_subdomain(host), errors),
            }
        }
        _ => {}
    }
}

fn check_port<'a>(port: &Spot<'a>, name_needed: bool, seen: &mut Vec<&'a str>, errors: &mut Vec<FieldError>) {
    let name = port.child("name");
    if name_needed && name.is_empty() {
        errors.push(name.required(""));
    } else if !name.is_empty() {
        name.all_invalid(names::dns1123_label(name.text()), errors);
        if seen.contains(&name.text()) {
            errors.push(FieldError::duplicate(&name.path, name.value.clone()));
        }
        seen.push(name.text());
    }
    let number = port.child("port");
    number.all_invalid(names::port_number(number.number().unwrap_or(0)), errors);
    port.child("protocol").one_of(&["SCTP", "TCP", "UDP"], errors);
    pod::port_number_or_name(&port.child("targetPort"), errors);
    let protocol = port.child("appProtocol");
    if !protocol.is_absent() {
        protocol.all_invalid(names::qualified_name(protocol.text()), errors);
    }
}

fn affinity(spec: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let (affinity, config) = (spec.child("sessionAffinity"), spec.child("sessionAffinityConfig"));
    affinity.one_of(&["ClientIP", "None"], errors);
    match affinity.text() {
        "ClientIP" => {
            let timeout = config.child("clientIP").child("timeoutSeconds");
            match timeout.number() {
                None => errors.push(config.required("when session affinity type is ClientIP")),
                Some(1..=AFFINITY_SECONDS_MAX) => {}
                Some(_) => errors.push(
                    timeout.invalid(format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}")),
                ),
            }
        }
        "None" if !config.is_absent() => {
            errors.push(config.forbidden("must not be set when session affinity is None"));
        }
        _ => {}
    }
}

fn check_ip(ip: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if ip.text().parse::<IpAddr>().is_err() {
        errors.push(ip.invalid("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
    }
}

fn cluster_ips(spec: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let (single, list) = (spec.child("clusterIP"), spec.child("clusterIPs"));
    let first = list.items().next();
    match (single.text(), &first) {
        ("", Some(_)) => errors.push(list.invalid("must be empty when `clusterIP` is not specified")),
        (single, Some(first)) if first.text() != single => {
            errors.push(list.invalid("first value must match `clusterIP`"));
        }
        // The list is filled in when an address is allocated.
        (single_text, None) if !matches!(single_text, "" | "None") => {
            check_ip(&Spot { path: "spec.clusterIPs[0]".to_owned(), ..single.clone() }, errors);
        }
        _ => {}
    }
    for (index, ip) in list.items().enumerate() {
        if ip.text() != "None" {
            check_ip(&ip, errors);
        } else if index > 0 || list.items().count() > 1 {
            errors.push(list.invalid("'None' must be the first and only value"));
        }
    }
    if list.items().count() > 2 {
        errors.push(list.invalid("may only hold up to 2 values"));
    }
    for family in spec.child("ipFamilies").items() {
        family.one_of(&["IPv4", "IPv6"], errors);
    }
}

fn node_ports(kind: &Spot<'_>, ports: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: Vec<(&str, i64)> = Vec::new();
    for port in ports.items() {
        let node_port = port.child("nodePort");
        let Some(number) = node_port.number().filter(|number| *number != 0) else { continue };
        if kind.text() == "ClusterIP" {
            errors.push(node_port.forbidden("may not be used when `type` is 'ClusterIP'"));
        }
        let key = (port.child("protocol").text(), number);
        if seen.contains(&key) {
            errors.push(FieldError::duplicate(&node_port.path, node_port.value.clone()));
        }
        seen.push(key);
    }
    let mut seen: Vec<(&str, i64)> = Vec::new();
    for port in ports.items() {
        let key = (port.child("protocol").text(), port.child("port").number().unwrap_or(0));
        if seen.contains(&key) {
            let bad = serde_json::json!({"protocol": key.0, "port": key.1, "targetPort": 0});
            errors.push(FieldError::duplicate(&port.path, bad));
        }
        seen.push(key);
    }
}

fn traffic(spec: &Spot<'_>, errors: &mut Vec<FieldError>) {
    for field in ["externalTrafficPolicy", "internalTrafficPolicy"].map(|field| spec.child(field)) {
        if !field.is_empty() {
            field.one_of(&["Cluster", "Local"], errors);
        }
    }
    let external = spec.child("externalTrafficPolicy");
    let reachable = matches!(spec.child("type").text(), "NodePort" | "LoadBalancer")
        || !spec.child("externalIPs").is_empty();
    if !reachable && !external.is_empty() {
        errors.push(external.invalid("may only be set for externally-accessible services"));
    }
    let balancer = spec.child("type").text() == "LoadBalancer";
    for field in ["loadBalancerClass", "loadBalancerSourceRanges"].map(|field| spec.child(field)) {
        if !balancer && !field.is_empty() {
            errors.push(field.forbidden("may only be used when `type` is 'LoadBalancer'"));
        }
    }
}

/// An allocated address stays, unless the service leaves or enters the types that have one.
fn cluster_ip_stays(spec: &Spot<'_>, old: &Value, errors: &mut Vec<FieldError>) {
    let old_ip = old["clusterIP"].as_str().unwrap_or("");
    if old["type"] == "ExternalName" || spec.child("type").text() == "ExternalName" || old_ip.is_empty() {
        return;
    }
    let ip = spec.child("clusterIP");
    if ip.text() != old_ip {
        let list: Vec<&str> = if ip.is_empty() { Vec::new() } else { vec![ip.text()] };
        let detail =
            if ip.is_empty() { "primary clusterIP can not be unset" } else { "may not change once set" };
        errors.push(FieldError::invalid("spec.clusterIPs[0]", serde_json::json!(list), detail));
    }
}
