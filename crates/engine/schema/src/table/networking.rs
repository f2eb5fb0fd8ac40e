//! Services, their endpoints, ingresses and addresses.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cells::{Cell, Row};
use super::{AGE, Head, NAME, col, wide};

pub(super) fn heads(group: &str, kind: &str) -> Option<&'static [Head]> {
    Some(match (group, kind) {
        ("", "Service") => SERVICE,
        ("", "Endpoints") => ENDPOINTS,
        ("discovery.k8s.io", "EndpointSlice") => ENDPOINT_SLICE,
        ("networking.k8s.io", "Ingress") => INGRESS,
        ("networking.k8s.io", "IngressClass") => INGRESS_CLASS,
        ("networking.k8s.io", "NetworkPolicy") => NETWORK_POLICY,
        ("networking.k8s.io", "ServiceCIDR") => SERVICE_CIDR,
        ("networking.k8s.io", "IPAddress") => IP_ADDRESS,
        _ => return None,
    })
}

const SERVICE: &[Head] = &[
    NAME,
    col("Type", "string", Cell::Text("/spec/type"), "/spec/type"),
    col("Cluster-IP", "string", Cell::TextOr("/spec/clusterIPs/0", "<none>"), "/spec/clusterIP"),
    col("External-IP", "string", Cell::Call(external_ip), "/spec/externalIPs"),
    col("Port(s)", "string", Cell::Call(service_ports), "/spec/ports"),
    AGE,
    wide("Selector", Cell::Labels("/spec/selector"), "/spec/selector"),
];
const ENDPOINTS: &[Head] = &[NAME, col("Endpoints", "string", Cell::Call(endpoints), "/subsets"), AGE];
const ENDPOINT_SLICE: &[Head] = &[
    NAME,
    col("AddressType", "string", Cell::Text("/addressType"), "/addressType"),
    col("Ports", "string", Cell::Call(slice_ports), "/ports"),
    col("Endpoints", "string", Cell::Call(slice_endpoints), "/endpoints"),
    AGE,
];
const INGRESS: &[Head] = &[
    NAME,
    col(
        "Class",
        "string",
        Cell::TextOr("/spec/ingressClassName", "<none>"),
        "The name of the IngressClass resource that should be used for additional configuration",
    ),
    col(
        "Hosts",
        "string",
        Cell::Call(hosts),
        "Hosts that incoming requests are matched against before the ingress rule",
    ),
    col(
        "Address",
        "string",
        Cell::Call(balancer),
        "Address is a list containing ingress points for the load-balancer",
    ),
    col("Ports", "string", Cell::Call(ingress_ports), "Ports of TLS configurations that open"),
    AGE,
];
const INGRESS_CLASS: &[Head] = &[
    col("Name", "string", Cell::Call(ingress_class_name), "/metadata/name"),
    col(
        "Controller",
        "string",
        Cell::Text("/spec/controller"),
        "Controller that is responsible for handling this class",
    ),
    col(
        "Parameters",
        "string",
        Cell::Call(class_parameters),
        "A reference to a resource with additional parameters",
    ),
    AGE,
];
const NETWORK_POLICY: &[Head] =
    &[NAME, col("Pod-Selector", "string", Cell::Selector("/spec/podSelector"), "/spec/podSelector"), AGE];
const SERVICE_CIDR: &[Head] =
    &[NAME, col("CIDRs", "string", Cell::Join("/spec/cidrs", ""), "/spec/cidrs"), AGE];
const IP_ADDRESS: &[Head] =
    &[NAME, col("ParentRef", "string", Cell::Call(parent_ref), "/spec/parentRef"), AGE];

/// Addresses of a load balancer, sorted.
pub(super) fn balancer(row: &Row<'_>) -> String {
    let found: BTreeSet<&str> = row
        .list("/status/loadBalancer/ingress")
        .iter()
        .filter_map(|ingress| ingress["ip"].as_str().or_else(|| ingress["hostname"].as_str()))
        .collect();
    found.into_iter().collect::<Vec<_>>().join(",")
}

fn external_ip(row: &Row<'_>) -> String {
    let external = row.texts("/spec/externalIPs").join(",");
    match row.text("/spec/type") {
        "ClusterIP" | "NodePort" if external.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external,
        "LoadBalancer" => match (balancer(row), external) {
            (balancer, external) if balancer.is_empty() && external.is_empty() => "<pending>".to_owned(),
            (balancer, external) if balancer.is_empty() => external,
            (balancer, external) if external.is_empty() => balancer,
            (balancer, external) => format!("{balancer},{external}"),
        },
        "ExternalName" => row.text("/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn service_ports(row: &Row<'_>) -> String {
    let one = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or_default();
        match port["nodePort"].as_i64() {
            Some(node_port) if node_port > 0 => format!("{}:{node_port}/{protocol}", port["port"]),
            Some(_) | None => format!("{}/{protocol}", port["port"]),
        }
    };
    let ports: Vec<String> = row.list("/spec/ports").iter().map(one).collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}

/// Entries shown before the rest is counted.
const SHOWN: usize = 3;

fn shortened(all: &[String], none: &str) -> String {
    let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    match all.len().saturating_sub(SHOWN) {
        0 if shown.is_empty() => none.to_owned(),
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

fn endpoints(row: &Row<'_>) -> String {
    let mut all = Vec::new();
    for subset in row.list("/subsets") {
        let items = |field: &str| subset[field].as_array().map_or(&[][..], Vec::as_slice);
        let addresses: Vec<&str> =
            items("addresses").iter().filter_map(|address| address["ip"].as_str()).collect();
        if items("ports").is_empty() {
            all.extend(addresses.iter().map(|address| (*address).to_owned()));
        }
        for port in items("ports") {
            let join = |address: &&str| {
                if address.contains(':') {
                    format!("[{address}]:{}", port["port"])
                } else {
                    format!("{address}:{}", port["port"])
                }
            };
            all.extend(addresses.iter().map(join));
        }
    }
    let none = if row.list("/subsets").is_empty() { "<none>" } else { "" };
    shortened(&all, none)
}

fn slice_ports(row: &Row<'_>) -> String {
    let one = |port: &Value| match (port["port"].as_i64(), port["name"].as_str()) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    };
    shortened(&row.list("/ports").iter().map(one).collect::<Vec<_>>(), "<unset>")
}

fn slice_endpoints(row: &Row<'_>) -> String {
    let addresses = row
        .list("/endpoints")
        .iter()
        .flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten());
    let all: Vec<String> = addresses.filter_map(|address| address.as_str().map(str::to_owned)).collect();
    shortened(&all, "<unset>")
}

fn hosts(row: &Row<'_>) -> String {
    let rules = row.list("/spec/rules");
    let named = rules.iter().filter_map(|rule| rule["host"].as_str()).filter(|host| !host.is_empty());
    let shown: Vec<&str> = named.take(3).collect();
    match (shown.len(), rules.len()) {
        (0, _) => "*".to_owned(),
        (3, all) if all > 3 => format!("{} + {} more...", shown.join(","), all - 3),
        _ => shown.join(","),
    }
}

fn ingress_ports(row: &Row<'_>) -> String {
    if row.list("/spec/tls").is_empty() { "80".to_owned() } else { "80, 443".to_owned() }
}

fn ingress_class_name(row: &Row<'_>) -> String {
    let name = row.text("/metadata/name");
    let default = row.text("/metadata/annotations/ingressclass.kubernetes.io~1is-default-class") == "true";
    if default { format!("{name} (default)") } else { name.to_owned() }
}

fn class_parameters(row: &Row<'_>) -> String {
    if row.get("/spec/parameters").is_none() {
        return "<none>".to_owned();
    }
    let (kind, name) = (row.text("/spec/parameters/kind"), row.text("/spec/parameters/name"));
    match row.text("/spec/parameters/apiGroup") {
        "" => format!("{kind}/{name}"),
        group => format!("{kind}.{group}/{name}"),
    }
}

fn parent_ref(row: &Row<'_>) -> String {
    if row.get("/spec/parentRef").is_none() {
        return "<none>".to_owned();
    }
    let text = |field: &str| row.text(&format!("/spec/parentRef/{field}")).to_lowercase();
    let resource = match text("group") {
        group if group.is_empty() => text("resource"),
        group => format!("{}.{group}", text("resource")),
    };
    let name = row.text("/spec/parentRef/name");
    match row.text("/spec/parentRef/namespace") {
        "" => format!("{resource}/{name}"),
        namespace => format!("{resource}/{namespace}/{name}"),
    }
}
