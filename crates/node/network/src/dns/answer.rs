//! From a question and the picture to the records of the answer.

use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::{A, CNAME, NS, PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::zone::{Place, TTL_S, Zone, endpoint_label};
use crate::directory::{ClusterAddress, Directory, Entry, ServiceKey, address};
use crate::view::{Protocol, ServiceType};

#[cfg(test)]
mod tests;

/// The version of the specification that is served.
const SCHEMA_VERSION: &str = "1.1.0";

/// What is known about a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Records {
        answers: Vec<Record>,
        additionals: Vec<Record>,
    },
    /// The name exists, without records of this type.
    NoData,
    NoName,
    /// The name is an alias of one outside the cluster's domain.
    Alias {
        alias: Box<Record>,
        target: Box<Name>,
    },
    /// Others know.
    Elsewhere,
}

/// The answer to `name`, `kind`.
pub fn answer(zone: &Zone, directory: &Directory, name: &Name, kind: RecordType) -> Answer {
    let asked = Asked { zone, directory, name, kind };
    match zone.place(name) {
        Place::Elsewhere => Answer::Elsewhere,
        Place::Reverse(address) => asked.reverse(address),
        Place::Inside(labels) => asked.inside(&labels.iter().map(String::as_str).collect::<Vec<_>>()),
    }
}

struct Asked<'a> {
    zone: &'a Zone,
    directory: &'a Directory,
    name: &'a Name,
    kind: RecordType,
}

impl Asked<'_> {
    fn inside(&self, labels: &[&str]) -> Answer {
        match *labels {
            [] => self.apex(),
            ["svc" | "pod" | "dns"] => Answer::NoData,
            ["dns-version"] => {
                self.of_kind(RecordType::TXT, || vec![RData::TXT(TXT::new(vec![SCHEMA_VERSION.to_owned()]))])
            }
            ["ns", "dns"] => self.addresses(vec![self.zone.server()]),
            [namespace, "svc" | "pod"] if self.directory.has_namespace(namespace) => Answer::NoData,
            [address, _, "pod"] => match address.replace('-', ".").parse() {
                Ok(address) => self.addresses(vec![address]),
                Err(_) => Answer::NoName,
            },
            [.., name, namespace, "svc"] => match self.directory.get(namespace, name) {
                Some(entry) => self.below(&labels[..labels.len() - 3], entry),
                None => Answer::NoName,
            },
            _ => Answer::NoName,
        }
    }

    fn apex(&self) -> Answer {
        if self.kind == RecordType::SOA {
            let soa = self.zone.soa(&Place::Inside(Vec::new()));
            return Answer::Records { answers: soa.into_iter().collect(), additionals: Vec::new() };
        }
        self.of_kind(RecordType::NS, || {
            self.zone.name_of_server().map(|server| RData::NS(NS(server))).into_iter().collect()
        })
    }

    fn below(&self, labels: &[&str], entry: &Entry) -> Answer {
        if entry.service.spec.kind == ServiceType::ExternalName {
            return if labels.is_empty() { self.alias(entry) } else { Answer::NoName };
        }
        match *labels {
            [] => self.service(entry),
            [protocol] if protocol.starts_with('_') => match self.has_ports(entry, protocol) {
                true => Answer::NoData,
                false => Answer::NoName,
            },
            [label] => self.endpoint(entry, label),
            [port, protocol] => self.port(entry, port, protocol),
            _ => Answer::NoName,
        }
    }

    fn alias(&self, entry: &Entry) -> Answer {
        let target = entry.service.spec.external_name.trim_end_matches('.');
        let Ok(target) = Name::from_ascii(format!("{target}.")) else { return Answer::NoData };
        let alias = self.record(self.name.clone(), RData::CNAME(CNAME(target.clone())));
        if self.kind == RecordType::CNAME {
            return Answer::Records { answers: vec![alias], additionals: Vec::new() };
        }
        // An alias of a name in the cluster is followed one step, so that two that name each other end.
        match answer_without_alias(self.zone, self.directory, &target, self.kind) {
            Answer::Records { mut answers, additionals } => {
                answers.insert(0, alias);
                Answer::Records { answers, additionals }
            }
            Answer::Elsewhere => Answer::Alias { alias: Box::new(alias), target: Box::new(target) },
            Answer::NoData | Answer::NoName | Answer::Alias { .. } => {
                Answer::Records { answers: vec![alias], additionals: Vec::new() }
            }
        }
    }

    fn service(&self, entry: &Entry) -> Answer {
        match entry.address() {
            ClusterAddress::Address(address) => self.addresses(vec![address]),
            ClusterAddress::Missing => Answer::NoData,
            ClusterAddress::Headless => {
                let mut addresses: Vec<Ipv4Addr> =
                    entry.published().filter_map(|(_, e)| address(e)).collect();
                addresses.sort_unstable();
                addresses.dedup();
                self.addresses(addresses)
            }
        }
    }

    fn endpoint(&self, entry: &Entry, label: &str) -> Answer {
        if entry.address() != ClusterAddress::Headless {
            return Answer::NoName;
        }
        let named =
            entry.published().filter(|(_, endpoint)| endpoint_label(endpoint).as_deref() == Some(label));
        let mut addresses: Vec<Ipv4Addr> = named.filter_map(|(_, endpoint)| address(endpoint)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() { Answer::NoName } else { self.addresses(addresses) }
    }

    fn has_ports(&self, entry: &Entry, protocol: &str) -> bool {
        let ports = &entry.service.spec.ports;
        protocol_of(protocol)
            .is_some_and(|wanted| ports.iter().any(|p| p.protocol == wanted && !p.name.is_empty()))
    }

    fn port(&self, entry: &Entry, port: &str, protocol: &str) -> Answer {
        let (Some(port), Some(protocol)) = (port.strip_prefix('_'), protocol_of(protocol)) else {
            return Answer::NoName;
        };
        let matches =
            |name: &str, p: Protocol| !name.is_empty() && name.eq_ignore_ascii_case(port) && p == protocol;
        let Some(front) = entry.service.spec.ports.iter().find(|p| matches(&p.name, p.protocol)) else {
            return Answer::NoName;
        };
        let Some(key) = self.key(entry) else { return Answer::NoName };
        let mut targets: Vec<(Name, Ipv4Addr, u16)> = Vec::new();
        match entry.address() {
            ClusterAddress::Address(ip) => {
                targets.extend(self.zone.service_name(&key).map(|name| (name, ip, front.port)));
            }
            ClusterAddress::Missing => {}
            ClusterAddress::Headless => {
                for (ports, endpoint) in entry.published() {
                    let number = ports.iter().find(|p| matches(&p.name, p.protocol)).and_then(|p| p.port);
                    let name = self.zone.endpoint_name(&key, endpoint);
                    if let (Some(number), Some(name), Some(ip)) = (number, name, address(endpoint)) {
                        targets.push((name, ip, number));
                    }
                }
            }
        }
        self.srv(targets)
    }

    fn srv(&self, mut targets: Vec<(Name, Ipv4Addr, u16)>) -> Answer {
        if self.kind != RecordType::SRV || targets.is_empty() {
            return Answer::NoData;
        }
        targets.sort_unstable();
        targets.dedup();
        let srv = |(name, _, port): &(Name, Ipv4Addr, u16)| {
            self.record(self.name.clone(), RData::SRV(SRV::new(0, 100, *port, name.clone())))
        };
        let answers = targets.iter().map(srv).collect();
        let additionals =
            targets.iter().map(|(name, ip, _)| self.record(name.clone(), RData::A(A(*ip)))).collect();
        Answer::Records { answers, additionals }
    }

    fn reverse(&self, ip: Ipv4Addr) -> Answer {
        let mut names: Vec<Name> = Vec::new();
        for (key, entry) in self.directory.at(ip) {
            match entry.address() {
                ClusterAddress::Address(_) => names.extend(self.zone.service_name(key)),
                ClusterAddress::Headless => {
                    let here = entry.published().filter(|(_, endpoint)| address(endpoint) == Some(ip));
                    names.extend(here.filter_map(|(_, endpoint)| self.zone.endpoint_name(key, endpoint)));
                }
                ClusterAddress::Missing => {}
            }
        }
        names.sort_unstable();
        names.dedup();
        match (names.is_empty(), self.zone.is_ours(ip)) {
            (true, true) => Answer::NoName,
            (true, false) => Answer::Elsewhere,
            (false, _) => self
                .of_kind(RecordType::PTR, || names.into_iter().map(|name| RData::PTR(PTR(name))).collect()),
        }
    }

    fn addresses(&self, addresses: Vec<Ipv4Addr>) -> Answer {
        self.of_kind(RecordType::A, || addresses.into_iter().map(|ip| RData::A(A(ip))).collect())
    }

    fn of_kind(&self, kind: RecordType, data: impl FnOnce() -> Vec<RData>) -> Answer {
        if self.kind != kind {
            return Answer::NoData;
        }
        let answers: Vec<Record> =
            data().into_iter().map(|data| self.record(self.name.clone(), data)).collect();
        if answers.is_empty() { Answer::NoData } else { Answer::Records { answers, additionals: Vec::new() } }
    }

    fn record(&self, owner: Name, data: RData) -> Record {
        Record::from_rdata(owner, TTL_S, data)
    }

    fn key(&self, entry: &Entry) -> Option<ServiceKey> {
        let meta = &entry.service.metadata;
        Some(ServiceKey { namespace: meta.namespace.clone()?, name: meta.name.clone()? })
    }
}

fn answer_without_alias(zone: &Zone, directory: &Directory, name: &Name, kind: RecordType) -> Answer {
    if let Place::Inside(labels) = zone.place(name)
        && let [service, namespace, "svc"] = labels.iter().map(String::as_str).collect::<Vec<_>>()[..]
        && let Some(entry) = directory.get(namespace, service)
        && entry.service.spec.kind == ServiceType::ExternalName
    {
        return Answer::NoData;
    }
    answer(zone, directory, name, kind)
}

fn protocol_of(label: &str) -> Option<Protocol> {
    Protocol::by_name(label.strip_prefix('_')?)
}
