//! From Services and endpoints to the elements the table should hold.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;

use super::assign::assign;
use super::element::{Buckets, Elements, Front, Key, NodePort, Source, Value, Way};
use crate::config::Config;
use crate::directory::{self, ClusterAddress, Directory, Entry};
use crate::view::{Policy, ServicePort, ServiceType};

#[cfg(test)]
mod tests;

/// What the plan must know of the node it is for.
#[derive(Clone, Debug)]
pub struct Here {
    pub node: String,
    pub pod_cidr: Ipv4Net,
    /// Service addresses that this node itself answers on (the DNS): the proxy leaves them alone.
    pub own_addresses: Vec<Ipv4Addr>,
}

impl Here {
    pub fn of(config: &Config) -> Self {
        Self { node: config.node.clone(), pod_cidr: config.pod_cidr, own_addresses: vec![config.dns.address] }
    }
}

/// The elements for `directory`. `applied` is what the table holds now: buckets stay with their owners where they can.
///
/// A port without an endpoint yields no element: what is left addressed to the service network is refused by a rule.
pub fn plan(directory: &Directory, here: &Here, applied: &Elements) -> Elements {
    let mut plan = Plan { here, applied, elements: Elements::new() };
    for (_, entry) in directory.iter() {
        let ClusterAddress::Address(address) = entry.address() else { continue };
        if !here.own_addresses.contains(&address) {
            plan.service(entry, address);
        }
    }
    plan.elements
}

struct Plan<'a> {
    here: &'a Here,
    applied: &'a Elements,
    elements: Elements,
}

impl Plan<'_> {
    fn service(&mut self, entry: &Entry, address: Ipv4Addr) {
        let spec = &entry.service.spec;
        let external: Vec<Ipv4Addr> = spec.external_ips.iter().filter_map(|ip| ip.parse().ok()).collect();
        let has_node_ports = matches!(spec.kind, ServiceType::NodePort | ServiceType::LoadBalancer);
        for port in &spec.ports {
            let inside = self.targets(entry, port, spec.internal_traffic_policy);
            let way = way_to(entry, &inside, Source::Kept);
            self.front(Front { address, protocol: port.protocol, port: port.port }, way, &inside);
            if external.is_empty() && !has_node_ports {
                continue;
            }
            let outside = self.targets(entry, port, spec.external_traffic_policy);
            let way = way_to(entry, &outside, source_outside(spec.external_traffic_policy));
            for address in &external {
                self.front(
                    Front { address: *address, protocol: port.protocol, port: port.port },
                    way,
                    &outside,
                );
            }
            if has_node_ports && port.node_port != 0 {
                self.node_port(NodePort { protocol: port.protocol, port: port.node_port }, way, &outside);
            }
        }
    }

    fn front(&mut self, front: Front, way: Way, targets: &[SocketAddrV4]) {
        self.insert(Key::Front(front), way, targets, |bucket| Key::FrontBucket(front, way.source, bucket));
    }

    fn node_port(&mut self, port: NodePort, way: Way, targets: &[SocketAddrV4]) {
        self.insert(Key::NodePort(port), way, targets, |bucket| {
            Key::NodePortBucket(port, way.source, bucket)
        });
    }

    /// The first Service in order of names keeps what two of them claim (an external address).
    fn insert(&mut self, key: Key, way: Way, targets: &[SocketAddrV4], bucket_key: impl Fn(u16) -> Key) {
        if targets.is_empty() || self.elements.contains_key(&key) {
            return;
        }
        let applied = self.applied;
        let former = |bucket| match applied.get(&bucket_key(bucket))? {
            Value::Target(target) => Some(*target),
            Value::Way(_) | Value::Present => None,
        };
        let owners = assign(targets, way.buckets, former);
        self.elements.insert(key, Value::Way(way));
        self.elements
            .extend((0..).zip(owners).map(|(bucket, owner)| (bucket_key(bucket), Value::Target(owner))));
        let local = targets.iter().map(SocketAddrV4::ip).filter(|ip| self.here.pod_cidr.contains(*ip));
        self.elements.extend(local.map(|ip| (Key::Hairpin(*ip), Value::Present)));
    }

    /// Ready endpoints, sorted; none ready: those that still serve while they end (KEP-1669).
    fn targets(&self, entry: &Entry, port: &ServicePort, policy: Policy) -> Vec<SocketAddrV4> {
        let mut ready = BTreeSet::new();
        let mut ending = BTreeSet::new();
        for (ports, endpoint) in entry.endpoints() {
            let is_here = endpoint.node_name.as_deref() == Some(self.here.node.as_str());
            let wanted = match policy {
                Policy::Cluster => true,
                Policy::Local => is_here,
            };
            let same = ports.iter().find(|p| p.name == port.name && p.protocol == port.protocol);
            let (true, Some(number), Some(ip)) =
                (wanted, same.and_then(|p| p.port), directory::address(endpoint))
            else {
                continue;
            };
            let target = SocketAddrV4::new(ip, number);
            if endpoint.conditions.is_ready() {
                ready.insert(target);
            } else if endpoint.conditions.is_serving_terminating() {
                ending.insert(target);
            }
        }
        if ready.is_empty() { ending } else { ready }.into_iter().collect()
    }
}

fn way_to(entry: &Entry, targets: &[SocketAddrV4], source: Source) -> Way {
    let buckets = Buckets::for_endpoints(targets.len());
    Way { affinity: entry.service.spec.session_affinity, source, buckets }
}

/// An endpoint on this node can answer an outside client directly; one elsewhere answers through here.
fn source_outside(policy: Policy) -> Source {
    match policy {
        Policy::Cluster => Source::Masqueraded,
        Policy::Local => Source::Kept,
    }
}
