//! The variables that tell a container of the services of its namespace, as Docker links once did.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort};

/// The variables of all services that have an address of their own.
pub(super) fn of(services: &[Service]) -> BTreeMap<String, String> {
    services.iter().flat_map(of_one).collect()
}

fn of_one(service: &Service) -> Vec<(String, String)> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let address = spec.cluster_ip.as_deref().filter(|address| !["", "None"].contains(address));
    let ports = spec.ports.as_deref().unwrap_or_default();
    let (Some(address), [first, ..]) = (address, ports) else { return Vec::new() };
    let name = upper(service.metadata.name.as_deref().unwrap_or_default());
    let mut pairs = vec![
        (format!("{name}_SERVICE_HOST"), address.to_owned()),
        (format!("{name}_SERVICE_PORT"), first.port.to_string()),
        (format!("{name}_PORT"), url(address, first)),
    ];
    for port in ports {
        if let Some(named) = port.name.as_deref().filter(|named| !named.is_empty()) {
            pairs.push((format!("{name}_SERVICE_PORT_{}", upper(named)), port.port.to_string()));
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol(port));
        pairs.push((prefix.clone(), url(address, port)));
        pairs.push((format!("{prefix}_PROTO"), protocol(port).to_lowercase()));
        pairs.push((format!("{prefix}_PORT"), port.port.to_string()));
        pairs.push((format!("{prefix}_ADDR"), address.to_owned()));
    }
    pairs
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn protocol(port: &ServicePort) -> String {
    port.protocol.as_deref().unwrap_or("TCP").to_uppercase()
}

fn url(address: &str, port: &ServicePort) -> String {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("{}://{host}:{}", protocol(port).to_lowercase(), port.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, address: &str, ports: &[(&str, i32)]) -> Service {
        let ports: Vec<_> =
            ports.iter().map(|(name, port)| serde_json::json!({"name": name, "port": port})).collect();
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name}, "spec": {"clusterIP": address, "ports": ports},
        }))
        .unwrap()
    }

    #[test]
    fn a_service_is_told_by_its_address_and_each_of_its_ports() {
        let found = of(&[service("my-db", "10.96.0.7", &[("", 80), ("adm-in", 81)])]);
        let pairs: Vec<String> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            pairs,
            [
                "MY_DB_PORT=tcp://10.96.0.7:80",
                "MY_DB_PORT_80_TCP=tcp://10.96.0.7:80",
                "MY_DB_PORT_80_TCP_ADDR=10.96.0.7",
                "MY_DB_PORT_80_TCP_PORT=80",
                "MY_DB_PORT_80_TCP_PROTO=tcp",
                "MY_DB_PORT_81_TCP=tcp://10.96.0.7:81",
                "MY_DB_PORT_81_TCP_ADDR=10.96.0.7",
                "MY_DB_PORT_81_TCP_PORT=81",
                "MY_DB_PORT_81_TCP_PROTO=tcp",
                "MY_DB_SERVICE_HOST=10.96.0.7",
                "MY_DB_SERVICE_PORT=80",
                "MY_DB_SERVICE_PORT_ADM_IN=81",
            ]
        );
    }

    #[test]
    fn a_service_without_an_address_is_not_told() {
        assert_eq!(
            of(&[service("headless", "None", &[("", 80)]), service("new", "", &[("", 80)])]),
            BTreeMap::new()
        );
        assert_eq!(of(&[service("no-port", "10.96.0.8", &[])]), BTreeMap::new());
    }
}
