//! Settings, already valid.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address under which the API is reached, for the endpoints of the `kubernetes` Service.
    pub advertise: SocketAddr,
    /// First address of the Service range.
    pub service_network: Ipv4Addr,
    /// Length of the Service range's prefix, 12 to 28.
    pub service_prefix: u8,
    /// Ports for Services of type NodePort.
    pub node_ports: std::ops::RangeInclusive<u16>,
    /// Issuer of service-account tokens.
    pub issuer: String,
    /// Bytes of a request body, at most.
    pub body_bytes_max: usize,
    /// Seconds after which an Event is removed.
    pub event_ttl_seconds: i64,
    /// Version that clients are told (`v1.37.0+muster…`).
    pub git_version: String,
}

impl Config {
    /// The usual settings, for an API that is reached at `advertise`.
    pub fn new(advertise: SocketAddr) -> Self {
        Self {
            advertise,
            service_network: Ipv4Addr::new(10, 96, 0, 0),
            service_prefix: 16,
            node_ports: 30000..=32767,
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            body_bytes_max: 3 << 20,
            event_ttl_seconds: 3600,
            git_version: format!("v1.37.0+muster{}", env!("CARGO_PKG_VERSION")),
        }
    }

    /// The address of the `kubernetes` Service: the first of the range.
    pub fn api_service_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.service_network) + 1)
    }

    /// The addresses that the serving certificate must be for.
    pub fn serving_addresses(&self) -> Vec<IpAddr> {
        let mut addresses = vec![IpAddr::V4(self.api_service_address())];
        if !self.advertise.ip().is_unspecified() {
            addresses.push(self.advertise.ip());
        }
        addresses
    }
}
