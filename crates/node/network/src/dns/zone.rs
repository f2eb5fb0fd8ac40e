//! The names the cluster DNS answers for by itself.

use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record};
use ipnet::Ipv4Net;

use crate::directory::{ServiceKey, address};
use crate::view::Endpoint;

/// Seconds for which an answer may be kept; negative ones too.
pub const TTL_S: u32 = 5;

/// The cluster's domain and the addresses whose reverse names lie in it.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Lower case, without a dot at the end.
    domain: String,
    origin: Name,
    reverse: Name,
    server: Ipv4Addr,
    networks: [Ipv4Net; 2],
}

/// Where a question belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the cluster's domain; the labels before it, lower case, first label first.
    Inside(Vec<String>),
    /// The reverse name of an address.
    Reverse(Ipv4Addr),
    Elsewhere,
}

impl Zone {
    /// `None` if `domain` is not a domain name.
    pub fn new(domain: &str, server: Ipv4Addr, networks: [Ipv4Net; 2]) -> Option<Self> {
        let domain = domain.to_ascii_lowercase();
        let origin = Name::from_ascii(format!("{domain}.")).ok()?;
        let reverse = Name::from_ascii("in-addr.arpa.").ok()?;
        Some(Self { domain, origin, reverse, server, networks })
    }

    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The address of the DNS itself.
    pub fn server(&self) -> Ipv4Addr {
        self.server
    }

    pub fn place(&self, name: &Name) -> Place {
        let labels: Vec<String> =
            name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
        if let Some(before) = labels.len().checked_sub(self.domain.split('.').count())
            && labels[before..].iter().map(String::as_str).eq(self.domain.split('.'))
        {
            return Place::Inside(labels[..before].to_vec());
        }
        match labels.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [d, c, b, a, "in-addr", "arpa"] => {
                format!("{a}.{b}.{c}.{d}").parse().map_or(Place::Elsewhere, Place::Reverse)
            }
            _ => Place::Elsewhere,
        }
    }

    /// Whether a reverse name without a Service is known not to exist, rather than somebody else's.
    pub fn is_ours(&self, address: Ipv4Addr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    pub fn service_name(&self, key: &ServiceKey) -> Option<Name> {
        Name::from_ascii(format!("{}.{}.svc.{}.", key.name, key.namespace, self.domain)).ok()
    }

    pub fn endpoint_name(&self, key: &ServiceKey, endpoint: &Endpoint) -> Option<Name> {
        let label = endpoint_label(endpoint)?;
        Name::from_ascii(format!("{label}.{}.{}.svc.{}.", key.name, key.namespace, self.domain)).ok()
    }

    pub fn name_of_server(&self) -> Option<Name> {
        Name::from_ascii(format!("ns.dns.{}.", self.domain)).ok()
    }

    /// The record that must be with every negative answer (RFC 2308): a resolver without it asks again at once.
    pub fn soa(&self, place: &Place) -> Option<Record> {
        let owner = match place {
            Place::Reverse(_) => &self.reverse,
            Place::Inside(_) | Place::Elsewhere => &self.origin,
        };
        let responsible = Name::from_ascii(format!("hostmaster.{}.", self.domain)).ok()?;
        let soa = SOA::new(self.name_of_server()?, responsible, 1, 7200, 1800, 86_400, TTL_S);
        Some(Record::from_rdata(owner.clone(), TTL_S, RData::SOA(soa)))
    }
}

/// The label of an endpoint below its headless Service: its hostname, else its address with dashes.
pub fn endpoint_label(endpoint: &Endpoint) -> Option<String> {
    match endpoint.hostname.as_deref() {
        Some(hostname) if !hostname.is_empty() => Some(hostname.to_ascii_lowercase()),
        Some(_) | None => Some(address(endpoint)?.to_string().replace('.', "-")),
    }
}
