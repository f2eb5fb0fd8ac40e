//! What the network of a node is made from. Valid once [`Config::check`] has accepted it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;

/// The settings of one node's network.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this node's Node object.
    pub node: String,
    /// Where the owner record and the address reservations are kept.
    pub data_dir: PathBuf,
    /// Where the container runtime looks for CNI configuration.
    pub cni_conf_dir: PathBuf,
    /// Where the CNI plugins are.
    pub cni_bin_dir: PathBuf,
    /// The bridge the pods of this node hang on.
    pub bridge: String,
    /// The addresses of this node's pods. The first is the bridge's.
    pub pod_cidr: Ipv4Net,
    /// The addresses of all pods; traffic to elsewhere leaves under this node's address.
    pub cluster_cidr: Ipv4Net,
    /// The addresses of Services.
    pub service_cidr: Ipv4Net,
    pub dns: DnsConfig,
    /// How often the table is compared with what it should be when nothing happens.
    pub sweep: Duration,
}

/// The settings of the cluster DNS.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// The Service address this node answers on: given to the loopback device of every node.
    pub address: Ipv4Addr,
    /// 53; another only where a test cannot have it.
    pub port: u16,
    /// Without a dot at the end.
    pub domain: String,
    /// Names of other domains are asked of the servers in here.
    pub resolv_conf: PathBuf,
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "network.bridge: {name:?} is no name for a device: 1 to 15 of a-z, 0-9, `-`, `_`; choose another"
    )]
    Bridge { name: String },
    #[error(
        "network.{field}: {network} leaves no room: it must hold at least {least} addresses; choose a wider one"
    )]
    TooSmall { field: &'static str, network: Ipv4Net, least: u32 },
    #[error("network.podCIDR: {pod_cidr} does not lie within network.clusterCIDR {cluster_cidr}")]
    PodsOutside { pod_cidr: Ipv4Net, cluster_cidr: Ipv4Net },
    #[error(
        "network.serviceCIDR: {service_cidr} overlaps network.clusterCIDR {cluster_cidr}; they must be apart"
    )]
    Overlap { service_cidr: Ipv4Net, cluster_cidr: Ipv4Net },
    #[error("network.dns.address: {address} does not lie within network.serviceCIDR {service_cidr}")]
    DnsOutside { address: Ipv4Addr, service_cidr: Ipv4Net },
    #[error("network.dns.domain: {domain:?} is not a domain name")]
    Domain { domain: String },
}

impl Config {
    /// Whether the settings fit together; all that is wrong at once.
    pub fn check(&self) -> Result<(), Vec<ConfigError>> {
        let Self { pod_cidr, cluster_cidr, service_cidr, .. } = *self;
        let mut errors = Vec::new();
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !(1..=15).contains(&self.bridge.len()) || !self.bridge.chars().all(named) {
            errors.push(ConfigError::Bridge { name: self.bridge.clone() });
        }
        for (field, network) in [("podCIDR", pod_cidr), ("serviceCIDR", service_cidr)] {
            if 29 < network.prefix_len() {
                errors.push(ConfigError::TooSmall { field, network, least: 8 });
            }
        }
        if !cluster_cidr.contains(&pod_cidr) {
            errors.push(ConfigError::PodsOutside { pod_cidr, cluster_cidr });
        }
        if cluster_cidr.contains(&service_cidr) || service_cidr.contains(&cluster_cidr) {
            errors.push(ConfigError::Overlap { service_cidr, cluster_cidr });
        }
        if !service_cidr.contains(&self.dns.address) {
            errors.push(ConfigError::DnsOutside { address: self.dns.address, service_cidr });
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| named(c) && c != '_')
                && !label.starts_with('-')
        };
        if !self.dns.domain.split('.').all(label) || 200 < self.dns.domain.len() {
            errors.push(ConfigError::Domain { domain: self.dns.domain.clone() });
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The bridge's own address, through which pods leave.
    pub fn gateway(&self) -> Ipv4Net {
        let address = self.pod_cidr.hosts().next().unwrap_or(self.pod_cidr.network());
        Ipv4Net::new(address, self.pod_cidr.prefix_len()).expect("the length is that of a network")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            node: "n1".into(),
            data_dir: "/data".into(),
            cni_conf_dir: "/data/cni".into(),
            cni_bin_dir: "/usr/lib/cni".into(),
            bridge: "muster0".into(),
            pod_cidr: "10.244.1.0/24".parse().unwrap(),
            cluster_cidr: "10.244.0.0/16".parse().unwrap(),
            service_cidr: "10.96.0.0/12".parse().unwrap(),
            dns: DnsConfig {
                address: "10.96.0.10".parse().unwrap(),
                port: 53,
                domain: "cluster.local".into(),
                resolv_conf: "/etc/resolv.conf".into(),
            },
            sweep: Duration::from_secs(300),
        }
    }

    #[test]
    fn settings_that_fit_are_accepted() {
        assert_eq!(config().check(), Ok(()));
        assert_eq!(config().gateway().to_string(), "10.244.1.1/24");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut config = config();
        config.bridge = "a-name-longer-than-15".into();
        config.pod_cidr = "10.1.1.0/30".parse().unwrap();
        config.service_cidr = "10.244.3.0/24".parse().unwrap();
        config.dns.domain = "cluster..local".into();
        let errors: Vec<String> = config.check().unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "network.bridge: \"a-name-longer-than-15\" is no name for a device: 1 to 15 of a-z, 0-9, `-`, `_`; \
                 choose another",
                "network.podCIDR: 10.1.1.0/30 leaves no room: it must hold at least 8 addresses; choose a wider one",
                "network.podCIDR: 10.1.1.0/30 does not lie within network.clusterCIDR 10.244.0.0/16",
                "network.serviceCIDR: 10.244.3.0/24 overlaps network.clusterCIDR 10.244.0.0/16; they must be apart",
                "network.dns.address: 10.96.0.10 does not lie within network.serviceCIDR 10.244.3.0/24",
                "network.dns.domain: \"cluster..local\" is not a domain name",
            ]
        );
    }
}
