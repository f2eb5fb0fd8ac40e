//! Which slices a Service should have. Endpoints stay in the slice they are in; a change rewrites as few as possible.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use crate::view::service::ServicePort;
use crate::view::{EndpointSlice, Pod, Service};

pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
/// At most so many endpoints in one slice (KEP-752).
const SLICE_MAX: usize = 100;

#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    Create(Value),
    /// Merge patch of an existing slice.
    Update {
        name: String,
        patch: Value,
    },
    Delete {
        name: String,
        uid: String,
    },
}

/// Zones by node name.
pub type Zones = HashMap<String, String>;

/// Address family and ports: what one slice has in common. Ports as text, to be comparable.
type Group = (String, String);

/// `slices` are those this controller manages for the service. A service without selector has no slices of ours.
pub fn plan(service: &Service, pods: &[&Pod], zones: &Zones, slices: &[&EndpointSlice]) -> Vec<Act> {
    let external = service.spec.r#type.as_deref() == Some("ExternalName");
    if service.is_leaving() || external || service.spec.selector.is_empty() {
        return Vec::new();
    }
    let (mut wanted, ports_of) = endpoints(service, pods, zones);
    let mut acts = Vec::new();
    let mut open: BTreeMap<Group, Vec<(&EndpointSlice, Vec<Endpoint>)>> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.metadata.deletion_timestamp.is_none()) {
        let group = (slice.address_type.clone(), key(&slice.ports));
        match wanted.get_mut(&group) {
            Some(rest) => {
                let kept = keep(&slice.endpoints, rest);
                open.entry(group).or_default().push((slice, kept));
            }
            None => acts.push(delete(slice)),
        }
    }
    for (group, mut rest) in wanted {
        let mut bins = open.remove(&group).unwrap_or_default();
        for (_, kept) in &mut bins {
            let room = SLICE_MAX.saturating_sub(kept.len()).min(rest.len());
            kept.extend(rest.drain(..room));
        }
        let placeholder = bins.is_empty() && rest.is_empty();
        let total: usize = bins.iter().map(|(_, kept)| kept.len()).sum();
        for (at, (slice, kept)) in bins.into_iter().enumerate() {
            let spare = kept.is_empty() && (total > 0 || at > 0);
            acts.extend(if spare { Some(delete(slice)) } else { update(service, slice, kept) });
        }
        let ports = &ports_of[&group];
        let chunks: Vec<&[Endpoint]> = if placeholder { vec![&[]] } else { rest.chunks(SLICE_MAX).collect() };
        acts.extend(chunks.into_iter().map(|chunk| Act::Create(create(service, &group.0, ports, chunk))));
    }
    acts
}

type Wanted = BTreeMap<Group, Vec<Endpoint>>;
type PortsOf = HashMap<Group, Vec<EndpointPort>>;

fn endpoints(service: &Service, pods: &[&Pod], zones: &Zones) -> (Wanted, PortsOf) {
    let mut wanted = Wanted::new();
    let mut ports_of = PortsOf::new();
    for family in families(service) {
        let mut any = false;
        for pod in pods.iter().filter(|pod| !pod.is_finished()) {
            let Some(address) = pod.addresses().find(|address| family_of(address) == Some(family)) else {
                continue;
            };
            let ports = ports(service, Some(pod));
            let group = (family.to_owned(), key(&ports));
            ports_of.insert(group.clone(), ports);
            wanted.entry(group).or_default().push(endpoint(service, pod, address, zones));
            any = true;
        }
        if !any {
            let group = (family.to_owned(), key(&[]));
            ports_of.insert(group.clone(), Vec::new());
            wanted.insert(group, Vec::new());
        }
    }
    for list in wanted.values_mut() {
        list.sort_by(|a, b| identity(a).cmp(&identity(b)));
    }
    (wanted, ports_of)
}

fn families(service: &Service) -> Vec<&'static str> {
    let named = |family: &String| if family == "IPv6" { "IPv6" } else { "IPv4" };
    if service.spec.ip_families.is_empty() {
        let ip = service.spec.cluster_ip.as_deref().and_then(family_of);
        return vec![ip.unwrap_or("IPv4")];
    }
    service.spec.ip_families.iter().map(named).collect()
}

fn family_of(address: &str) -> Option<&'static str> {
    match address.parse().ok()? {
        IpAddr::V4(_) => Some("IPv4"),
        IpAddr::V6(_) => Some("IPv6"),
    }
}

/// The service's ports as this pod serves them; a named port the pod does not have is left out.
fn ports(service: &Service, pod: Option<&Pod>) -> Vec<EndpointPort> {
    let number = |port: &ServicePort| match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => named_port(pod?, name, protocol(port)),
    };
    let resolved = service.spec.ports.iter().filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            protocol: Some(protocol(port).to_owned()),
            port: Some(number(port)?),
            app_protocol: port.app_protocol.clone(),
        })
    });
    resolved.collect()
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn named_port(pod: &Pod, name: &str, protocol: &str) -> Option<i32> {
    let ports = pod.spec.containers.iter().flat_map(|container| &container.ports);
    ports
        .filter(|port| port.name.as_deref() == Some(name))
        .find(|port| port.protocol.as_deref().unwrap_or("TCP") == protocol)
        .map(|port| port.container_port)
}

fn endpoint(service: &Service, pod: &Pod, address: &str, zones: &Zones) -> Endpoint {
    let serving = pod.is_ready();
    let terminating = pod.is_leaving();
    let named = pod.spec.hostname.clone().filter(|hostname| !hostname.is_empty());
    let in_subdomain = pod.spec.subdomain.as_deref() == Some(service.name());
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(service.spec.publish_not_ready_addresses || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: named.filter(|_| in_subdomain),
        node_name: pod.node().map(str::to_owned),
        zone: pod.node().and_then(|node| zones.get(node)).cloned(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: Some(pod.namespace().to_owned()),
            name: Some(pod.name().to_owned()),
            uid: Some(pod.uid().to_owned()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

/// Takes out of `rest` what the slice already lists, in its new state.
fn keep(listed: &[Endpoint], rest: &mut Vec<Endpoint>) -> Vec<Endpoint> {
    let mut kept = Vec::with_capacity(listed.len());
    for endpoint in listed {
        if let Some(at) = rest.iter().position(|new| identity(new) == identity(endpoint)) {
            kept.push(rest.remove(at));
        }
    }
    kept
}

fn identity(endpoint: &Endpoint) -> (&str, Option<&str>) {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref());
    (endpoint.addresses.first().map_or("", String::as_str), uid)
}

fn key(ports: &[EndpointPort]) -> String {
    let mut rows: Vec<String> = ports
        .iter()
        .map(|port| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let number = port.port.unwrap_or_default();
            format!("{}/{}/{number}/{}", text(&port.name), text(&port.protocol), text(&port.app_protocol))
        })
        .collect();
    rows.sort();
    rows.join(",")
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.retain(|key, _| ![SERVICE_NAME, MANAGED_BY, HEADLESS].contains(&key.as_str()));
    labels.insert(SERVICE_NAME.into(), service.name().into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    if service.is_headless() {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels
}

fn update(service: &Service, slice: &EndpointSlice, endpoints: Vec<Endpoint>) -> Option<Act> {
    let labels = labels(service);
    let before = slice.metadata.labels.clone().unwrap_or_default();
    if slice.endpoints == endpoints && before == labels {
        return None;
    }
    // A merge patch removes a label by null.
    let mut patched: BTreeMap<&String, Value> =
        before.keys().filter(|key| !labels.contains_key(*key)).map(|key| (key, Value::Null)).collect();
    patched.extend(labels.iter().map(|(key, value)| (key, json!(value))));
    Some(Act::Update {
        name: slice.metadata.name.clone().unwrap_or_default(),
        patch: json!({
            "metadata": {"resourceVersion": slice.metadata.resource_version, "labels": patched},
            "endpoints": endpoints,
        }),
    })
}

fn create(service: &Service, family: &str, ports: &[EndpointPort], endpoints: &[Endpoint]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", service.name()),
            "namespace": service.namespace(),
            "labels": labels(service),
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": service.name(), "uid": service.uid(),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports,
    })
}

fn delete(slice: &EndpointSlice) -> Act {
    Act::Delete {
        name: slice.metadata.name.clone().unwrap_or_default(),
        uid: slice.metadata.uid.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
