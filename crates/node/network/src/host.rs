//! What the node itself must have: two sysctls, the bridge, the route to the Services, the DNS address, the CNI file.
//!
//! The bridge is made here and not left to the CNI plugin, since the route to the Services takes its address as the
//! source before there is a pod.
//! The DNS address is on the loopback device with scope host: pods and the node reach it on every node without a
//! translation, and the node never takes it as the source of traffic that leaves.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::cni::{self, HostPorts};
use crate::command::{CommandError, IP, Tool};
use crate::config::Config;
use crate::owned::{Effect, Record, RecordError, write_whole};

mod host_ports;
mod undo;

pub use undo::{UndoError, undo};

const IP_LIMIT: Duration = Duration::from_secs(10);
const LOOPBACK: &str = "lo";
const MODPROBE: Tool = Tool { program: "modprobe", package: "kmod" };

/// Bridged packets must pass the nftables hooks, else a client and an endpoint on one bridge do not find each other.
const SYSCTLS: [&str; 2] = ["net/ipv4/ip_forward", BRIDGE_NF];
const BRIDGE_NF: &str = "net/bridge/bridge-nf-call-iptables";

/// Why the node was not made ready for pods.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("reading the sysctl {key}")]
    ReadSysctl {
        key: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the kernel has no {BRIDGE_NF}; load the module br_netfilter")]
    NoBridgeFilter(#[source] CommandError),
    #[error("setting the sysctl {key} to 1; set it as root")]
    WriteSysctl {
        key: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the sysctl {key} was set to 1 but reads {found:?}; something else on this machine sets it")]
    Reverted { key: &'static str, found: String },
    #[error("{step}")]
    Command {
        step: String,
        #[source]
        source: CommandError,
    },
    #[error("`{command}` answered something that is not its JSON")]
    Answer {
        command: String,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "there is a device {name} that Muster did not make; `ip link del {name}` or set another network.bridge"
    )]
    ForeignBridge { name: String },
    #[error(
        "{network} is already routed to {device}, not by Muster; remove that route or choose another network"
    )]
    ForeignRoute { network: String, device: String },
    #[error("writing the CNI configuration {path}")]
    Conflist {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Makes all of it, in this order; what is there already is left alone. Each effect is in `record` before it is made.
///
/// What `record` holds of former settings (another bridge, another network) is undone first.
pub async fn ensure(config: &Config, record: &mut Record) -> Result<(), HostError> {
    undo::undo_former(record, &wanted(config)).await;
    for key in SYSCTLS {
        ensure_sysctl(key, record).await?;
    }
    ensure_bridge(config, record).await?;
    ensure_route(config, record).await?;
    ensure_dns_address(config, record).await?;
    ensure_conflist(config, record)
}

/// The effects of these settings, but for sysctls (made only where the value differs).
fn wanted(config: &Config) -> [Effect; 7] {
    [
        Effect::Bridge { name: config.bridge.clone() },
        Effect::Route { network: config.service_cidr.trunc(), device: LOOPBACK.to_owned() },
        Effect::Address { address: config.dns.address, device: LOOPBACK.to_owned() },
        Effect::Folder { path: cni::reservations(config) },
        Effect::File { path: config.cni_conf_dir.join(cni::FILE) },
        Effect::HostPorts,
        Effect::Table,
    ]
}

async fn ensure_sysctl(key: &'static str, record: &mut Record) -> Result<(), HostError> {
    if key == BRIDGE_NF && !sysctl_path(key).exists() {
        MODPROBE.run(&["br_netfilter"], "", IP_LIMIT).await.map_err(HostError::NoBridgeFilter)?;
    }
    let former = read_sysctl(key)?;
    if former == "1" {
        return Ok(());
    }
    // Written down once: after a restart our own value must not become the former one.
    let known =
        record.effects().iter().any(|effect| matches!(effect, Effect::Sysctl { key: k, .. } if k == key));
    if !known {
        record.add(Effect::Sysctl { key: key.to_owned(), former, value: "1".to_owned() })?;
    }
    fs::write(sysctl_path(key), "1").map_err(|source| HostError::WriteSysctl { key, source })?;
    match read_sysctl(key)? {
        found if found == "1" => Ok(()),
        found => Err(HostError::Reverted { key, found }),
    }
}

fn sysctl_path(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key)
}

fn read_sysctl(key: &'static str) -> Result<String, HostError> {
    let value =
        fs::read_to_string(sysctl_path(key)).map_err(|source| HostError::ReadSysctl { key, source })?;
    Ok(value.trim().to_owned())
}

async fn ensure_bridge(config: &Config, record: &mut Record) -> Result<(), HostError> {
    let name = config.bridge.as_str();
    let effect = Effect::Bridge { name: name.to_owned() };
    let links: Vec<Link> = ip_list(&["-j", "link", "show"]).await?;
    let exists = links.iter().any(|link| link.ifname == name);
    if exists && !record.owns(&effect) {
        return Err(HostError::ForeignBridge { name: name.to_owned() });
    }
    record.add(effect)?;
    let gateway = config.gateway();
    if !exists {
        // A fixed hardware address: otherwise the bridge takes that of its lowest port, and with every pod that comes
        // or goes the others' neighbour entries break.
        let [a, b, c, d] = gateway.addr().octets();
        let mac = format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
        ip(&["link", "add", "name", name, "address", &mac, "type", "bridge"]).await?;
    }
    // The plugin refuses a bridge whose first address is not its gateway, as after a change of the network.
    let holders: Vec<Holder> = ip_list(&["-j", "-4", "address", "show", "dev", name]).await?;
    for address in holders.iter().flat_map(|holder| &holder.addr_info) {
        let other = format!("{}/{}", address.local, address.prefixlen);
        if other != gateway.to_string() {
            ip(&["address", "del", &other, "dev", name]).await?;
        }
    }
    ip(&["address", "replace", &gateway.to_string(), "dev", name]).await?;
    ip(&["link", "set", name, "up"]).await
}

/// Without a route the node's own traffic to Services never reaches the output hook. It leads to the loopback device
/// and not to the bridge: what a pod sends there and is refused would leave by the device it came in on, the kernel would
/// send a redirect first, and that uses up the rate limit of the ICMP refusal.
async fn ensure_route(config: &Config, record: &mut Record) -> Result<(), HostError> {
    let network = config.service_cidr.trunc();
    let text = network.to_string();
    let effect = Effect::Route { network, device: LOOPBACK.to_owned() };
    let routes: Vec<Route> = ip_list(&["-j", "-4", "route", "show", "exact", &text]).await?;
    if let Some(route) = routes.first()
        && !(record.owns(&effect) && route.dev == LOOPBACK)
    {
        return Err(HostError::ForeignRoute { network: text, device: route.dev.clone() });
    }
    record.add(effect)?;
    let source = config.gateway().addr().to_string();
    ip(&["route", "replace", &text, "dev", LOOPBACK, "src", &source]).await
}

async fn ensure_dns_address(config: &Config, record: &mut Record) -> Result<(), HostError> {
    let address = config.dns.address;
    record.add(Effect::Address { address, device: LOOPBACK.to_owned() })?;
    ip(&["address", "replace", &format!("{address}/32"), "dev", LOOPBACK, "scope", "host"]).await
}

fn ensure_conflist(config: &Config, record: &mut Record) -> Result<(), HostError> {
    let path = config.cni_conf_dir.join(cni::FILE);
    let host_ports = HostPorts::probe(&config.cni_bin_dir);
    let conflist = cni::conflist(config, host_ports);
    let bytes = format!("{conflist:#}\n").into_bytes();
    record.add(Effect::Folder { path: cni::reservations(config) })?;
    match host_ports {
        HostPorts::Mapped => record.add(Effect::HostPorts)?,
        HostPorts::Unavailable => {}
    }
    record.add(Effect::File { path: path.clone() })?;
    match fs::read(&path) {
        Ok(found) if found == bytes => Ok(()),
        Ok(_) | Err(_) => write_whole(&path, &bytes).map_err(|source| HostError::Conflist { path, source }),
    }
}

#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    link_netns: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Holder {
    #[serde(default)]
    addr_info: Vec<HeldAddress>,
}

#[derive(Debug, Deserialize)]
struct HeldAddress {
    local: Ipv4Addr,
    prefixlen: u8,
}

#[derive(Debug, Deserialize)]
struct Route {
    #[serde(default)]
    dev: String,
}

async fn ip(arguments: &[&str]) -> Result<(), HostError> {
    IP.run(arguments, "", IP_LIMIT).await.map(drop).map_err(|source| command_error(arguments, source))
}

/// `ip -j` writes nothing at all, not `[]`, for some empty lists.
async fn ip_list<T: for<'de> Deserialize<'de>>(arguments: &[&str]) -> Result<Vec<T>, HostError> {
    let answer = IP.run(arguments, "", IP_LIMIT).await.map_err(|source| command_error(arguments, source))?;
    if answer.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let command = || format!("ip {}", arguments.join(" "));
    serde_json::from_slice(&answer).map_err(|source| HostError::Answer { command: command(), source })
}

fn command_error(arguments: &[&str], source: CommandError) -> HostError {
    HostError::Command { step: format!("preparing the node's network: ip {}", arguments.join(" ")), source }
}
