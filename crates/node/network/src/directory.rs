//! Services and their endpoints as one immutable picture; the proxy plans from it, the DNS answers from it.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::view::{
    AddressType, Endpoint, EndpointPort, EndpointSlice, SERVICE_NAME_LABEL, Service, ServiceType,
};

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    pub namespace: String,
    pub name: String,
}

/// What a Service's `clusterIP` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterAddress {
    Address(Ipv4Addr),
    /// `None`: names lead straight to the endpoints.
    Headless,
    /// Not assigned yet, IPv6, or a type without an address.
    Missing,
}

/// A Service with its slices.
#[derive(Clone, Debug)]
pub struct Entry {
    pub service: Arc<Service>,
    pub slices: Vec<Arc<EndpointSlice>>,
}

/// The picture. Slices without a Service are not in it.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    entries: BTreeMap<ServiceKey, Entry>,
    by_address: HashMap<Ipv4Addr, Vec<ServiceKey>>,
}

impl Directory {
    pub fn new(
        services: impl IntoIterator<Item = Arc<Service>>,
        slices: impl IntoIterator<Item = Arc<EndpointSlice>>,
    ) -> Self {
        let mut directory = Self::default();
        for service in services {
            let Some(key) = ServiceKey::of(&service) else { continue };
            directory.entries.insert(key, Entry { service, slices: Vec::new() });
        }
        for slice in slices {
            let Some(key) = ServiceKey::of_slice(&slice) else { continue };
            if slice.address_type == AddressType::IPv4
                && let Some(entry) = directory.entries.get_mut(&key)
            {
                entry.slices.push(slice);
            }
        }
        directory.index();
        directory
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<&Entry> {
        self.entries.get(&ServiceKey { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Entry)> {
        self.entries.iter()
    }

    pub fn has_namespace(&self, namespace: &str) -> bool {
        let first = ServiceKey { namespace: namespace.to_owned(), name: String::new() };
        self.entries.range(first..).next().is_some_and(|(key, _)| key.namespace == namespace)
    }

    /// The Services with this cluster address or, headless, an endpoint of this address.
    pub fn at(&self, address: Ipv4Addr) -> impl Iterator<Item = (&ServiceKey, &Entry)> {
        let keys = self.by_address.get(&address).map(Vec::as_slice).unwrap_or_default();
        keys.iter().filter_map(|key| self.entries.get_key_value(key))
    }

    fn index(&mut self) {
        let mut by_address: HashMap<Ipv4Addr, Vec<ServiceKey>> = HashMap::new();
        for (key, entry) in &mut self.entries {
            entry.slices.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
            let mut addresses = match entry.address() {
                ClusterAddress::Address(address) => vec![address],
                ClusterAddress::Headless => {
                    entry.published().filter_map(|(_, endpoint)| address(endpoint)).collect()
                }
                ClusterAddress::Missing => Vec::new(),
            };
            addresses.sort_unstable();
            addresses.dedup();
            for address in addresses {
                by_address.entry(address).or_default().push(key.clone());
            }
        }
        self.by_address = by_address;
    }
}

impl ServiceKey {
    fn of(service: &Service) -> Option<Self> {
        let meta = &service.metadata;
        Some(Self { namespace: meta.namespace.clone()?, name: meta.name.clone()? })
    }

    fn of_slice(slice: &EndpointSlice) -> Option<Self> {
        let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
        Some(Self { namespace: slice.metadata.namespace.clone()?, name: name.clone() })
    }
}

impl Entry {
    pub fn address(&self) -> ClusterAddress {
        let spec = &self.service.spec;
        if spec.kind == ServiceType::ExternalName {
            return ClusterAddress::Missing;
        }
        if spec.cluster_ip == "None" {
            return ClusterAddress::Headless;
        }
        spec.cluster_ip.parse().map_or(ClusterAddress::Missing, ClusterAddress::Address)
    }

    /// Every endpoint with the ports of its slice.
    pub fn endpoints(&self) -> impl Iterator<Item = (&[EndpointPort], &Endpoint)> {
        self.slices.iter().flat_map(|slice| slice.endpoints.iter().map(|e| (slice.ports.as_slice(), e)))
    }

    /// The endpoints that names may lead to.
    pub fn published(&self) -> impl Iterator<Item = (&[EndpointPort], &Endpoint)> {
        let unready_too = self.service.spec.publish_not_ready_addresses;
        self.endpoints().filter(move |(_, endpoint)| unready_too || endpoint.conditions.is_ready())
    }
}

/// The address of an endpoint. All addresses of one endpoint mean the same (discovery.k8s.io/v1), so the first will do.
pub fn address(endpoint: &Endpoint) -> Option<Ipv4Addr> {
    endpoint.addresses.first()?.parse().ok()
}
