//! The CNI configuration: pods hang on a bridge, host ports are mapped where iptables is there.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::Config;

/// The file's name below the configuration folder. Runtimes take the first in order of names.
pub const FILE: &str = "10-muster.conflist";

/// Whether host ports can be mapped: the plugin calls the `iptables` program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPorts {
    Mapped,
    Unavailable,
}

impl HostPorts {
    /// Looks for the plugin in `cni_bin_dir` and for `iptables` in the folders of system programs.
    pub fn probe(cni_bin_dir: &Path) -> Self {
        let iptables = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
        let has_iptables = iptables.iter().any(|folder| Path::new(folder).join("iptables").exists());
        if has_iptables && cni_bin_dir.join("portmap").exists() { Self::Mapped } else { Self::Unavailable }
    }
}

/// Where the address reservations of the `host-local` plugin are.
pub fn reservations(config: &Config) -> PathBuf {
    config.data_dir.join("cni")
}

/// The content of [`FILE`].
pub fn conflist(config: &Config, host_ports: HostPorts) -> Value {
    let mut plugins = vec![json!({
        "type": "bridge",
        "bridge": config.bridge,
        "isGateway": true,
        // The proxy's table masquerades, and it knows what lies within the cluster.
        "ipMasq": false,
        "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "dataDir": reservations(config),
            "ranges": [[{ "subnet": config.pod_cidr }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        },
    })];
    match host_ports {
        HostPorts::Mapped => {
            plugins
                .push(json!({ "type": "portmap", "capabilities": { "portMappings": true }, "snat": true }));
        }
        HostPorts::Unavailable => {}
    }
    json!({ "cniVersion": "0.4.0", "name": "muster", "plugins": plugins })
}
