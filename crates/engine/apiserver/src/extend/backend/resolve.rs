//! From a Service to the addresses behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use muster_store::{Key, Store};
use serde_json::Value;

use crate::object::Object;

const SLICES: &str = "endpointslices.discovery.k8s.io";
const OF_SERVICE: &str = "kubernetes.io/service-name";

/// The ready addresses behind a port of a Service. Slices and Endpoints of that name count also where there is no
/// Service, for servers outside the pod network; the cluster address counts where neither is there.
pub(super) fn service(
    store: &Store<Object>,
    namespace: &str,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, String> {
    let service = read(store, "services", namespace, name);
    if let Some(address) = service.as_ref().and_then(external) {
        return address.map(|address| vec![SocketAddr::new(address, port)]);
    }
    let wanted = match &service {
        Some(service) => Some(port_name(service, name, port)?),
        None => None,
    };
    let mut found = slices(store, namespace, name, wanted.as_deref(), port);
    if found.is_empty() {
        let endpoints = read(store, "endpoints", namespace, name);
        found = endpoints.map(|one| of_endpoints(&one, wanted.as_deref(), port)).unwrap_or_default();
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let Some(service) = service else { return Err(format!("service \"{name}\" not found")) };
    let selects = service["spec"]["selector"].as_object().is_some_and(|map| !map.is_empty());
    let address = service["spec"]["clusterIP"].as_str().and_then(|text| text.parse::<IpAddr>().ok());
    match address {
        Some(address) if !selects => Ok(vec![SocketAddr::new(address, port)]),
        Some(_) | None => Err(format!("no endpoints available for service \"{name}\"")),
    }
}

/// What a Service of type ExternalName stands for: that address, at the port asked for.
fn external(service: &Value) -> Option<Result<IpAddr, String>> {
    let spec = &service["spec"];
    if spec["type"] != "ExternalName" {
        return None;
    }
    let name = spec["externalName"].as_str().unwrap_or("");
    let address = if name == "localhost" { Ok(Ipv4Addr::LOCALHOST.into()) } else { name.parse() };
    Some(
        address.map_err(|_| format!("the external name {name:?} is no address, and names are not looked up")),
    )
}

fn read(store: &Store<Object>, resource: &str, namespace: &str, name: &str) -> Option<Value> {
    let entry = store.get(&Key::new(resource, namespace, name))?;
    Some(entry.value.stored_document(entry.revision.get()))
}

fn port_name(service: &Value, name: &str, port: u16) -> Result<String, String> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let found = ports.into_iter().find(|one| one["port"].as_u64() == Some(u64::from(port)));
    let found = found.ok_or_else(|| format!("no service port {port} found for service \"{name}\""))?;
    Ok(found["name"].as_str().unwrap_or("").to_owned())
}

fn slices(
    store: &Store<Object>,
    namespace: &str,
    name: &str,
    wanted: Option<&str>,
    port: u16,
) -> Vec<SocketAddr> {
    let snapshot = store.snapshot(SLICES);
    let of_service = snapshot
        .namespace(namespace)
        .filter(|entry| entry.value.header().label(OF_SERVICE) == Some(name))
        .map(|entry| entry.value.stored_document(entry.revision.get()));
    let mut found = Vec::new();
    for slice in of_service {
        let Some(port) = target_port(&slice["ports"], wanted, port) else { continue };
        let endpoints = slice["endpoints"].as_array().into_iter().flatten();
        let ready = endpoints.filter(|one| one["conditions"]["ready"] != Value::Bool(false));
        let addresses = ready.flat_map(|one| one["addresses"].as_array().into_iter().flatten());
        found.extend(addresses.filter_map(|one| socket(one, port)));
    }
    found
}

fn of_endpoints(endpoints: &Value, wanted: Option<&str>, port: u16) -> Vec<SocketAddr> {
    let subsets = endpoints["subsets"].as_array().into_iter().flatten();
    let addresses = subsets.filter_map(|subset| {
        let port = target_port(&subset["ports"], wanted, port)?;
        Some((subset["addresses"].as_array()?, port))
    });
    addresses.flat_map(|(list, port)| list.iter().filter_map(move |one| socket(&one["ip"], port))).collect()
}

/// The port of the name that the Service gives it; without a Service, the port of that number or the only one.
fn target_port(ports: &Value, wanted: Option<&str>, port: u16) -> Option<u16> {
    let ports = ports.as_array()?;
    let found = match (wanted, ports.as_slice()) {
        (Some(name), _) => ports.iter().find(|one| one["name"].as_str().unwrap_or("") == name),
        (None, [only]) => Some(only),
        (None, several) => several.iter().find(|one| one["port"].as_u64() == Some(u64::from(port))),
    };
    found.and_then(|one| u16::try_from(one["port"].as_u64()?).ok())
}

fn socket(address: &Value, port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::new(address.as_str()?.parse().ok()?, port))
}
