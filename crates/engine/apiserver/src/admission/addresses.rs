//! Which addresses and ports the Services hold; derived from the Services, so nothing can leak.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use muster_store::Key;

use crate::object::{Seen, View};

/// Addresses and node ports in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    by_service: BTreeMap<Key, Held>,
    addresses: BTreeMap<Ipv4Addr, Key>,
    ports: BTreeMap<(u16, String), Key>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    addresses: Vec<Ipv4Addr>,
    ports: Vec<(u16, String)>,
}

impl Addresses {
    /// What the view is derived from.
    pub(crate) const FOLLOWED: &'static [&'static str] = &["services"];

    /// Whether nobody but `me` holds an address.
    pub(super) fn is_free(&self, address: Ipv4Addr, me: &Key) -> bool {
        self.addresses.get(&address).is_none_or(|holder| holder == me)
    }

    /// Whether nobody but `me` holds a node port for a protocol.
    pub(super) fn is_port_free(&self, port: u16, protocol: &str, me: &Key) -> bool {
        self.ports.get(&(port, protocol.to_owned())).is_none_or(|holder| holder == me)
    }

    fn release(&mut self, key: &Key) {
        let Some(held) = self.by_service.remove(key) else { return };
        for address in held.addresses {
            self.addresses.remove(&address);
        }
        for port in held.ports {
            self.ports.remove(&port);
        }
    }
}

impl View for Addresses {
    fn apply(&mut self, seen: Seen<'_>) {
        let entry = match seen {
            Seen::Gone(entry) => return self.release(&entry.key),
            Seen::Put(entry) => entry,
        };
        self.release(&entry.key);
        let document = entry.value.stored_document(entry.revision.get());
        let list = |pointer: &str| {
            document.pointer(pointer).and_then(|value| value.as_array()).into_iter().flatten()
        };
        let addresses: Vec<Ipv4Addr> =
            list("/spec/clusterIPs").filter_map(|address| address.as_str()?.parse().ok()).collect();
        let ports: Vec<(u16, String)> = list("/spec/ports")
            .filter_map(|port| {
                let number = u16::try_from(port["nodePort"].as_u64()?).ok()?;
                Some((number, port["protocol"].as_str().unwrap_or("TCP").to_owned()))
            })
            .filter(|(number, _)| *number != 0)
            .collect();
        for address in &addresses {
            self.addresses.insert(*address, entry.key.clone());
        }
        for port in &ports {
            self.ports.insert(port.clone(), entry.key.clone());
        }
        self.by_service.insert(entry.key.clone(), Held { addresses, ports });
    }
}
