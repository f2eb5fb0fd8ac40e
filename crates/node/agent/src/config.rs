//! What the agent is told. All values are valid; files and settings are read elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::inventory::Roots;
use crate::logs::Tls;
use crate::runtime::proto::DnsConfig;

/// The settings of one agent.
#[derive(Debug, Clone)]
pub struct Config {
    pub node_name: String,
    /// The machine whose orders are taken and whose inventory is written.
    pub machine: String,
    pub node_ip: IpAddr,
    pub data_dir: PathBuf,
    pub pod_cidr: String,
    /// Empty: pods use the machine's own resolver.
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    pub host_dns: DnsConfig,
    pub cni_conf_dir: PathBuf,
    /// The cgroup all pods live below.
    pub cgroup_parent: String,
    pub runtime: RuntimeChoice,
    pub start: Start,
    pub fleet: Fleet,
    /// None: logs are read in-process only.
    pub logs: Option<LogServer>,
    pub roots: Roots,
    /// The kernel log.
    pub kmsg: PathBuf,
    pub reboot: Reboot,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// A containerd of our own below the data directory.
    Supervised,
    /// One that somebody else looks after.
    Endpoint(PathBuf),
}

/// When the runtime is started and the node registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    AtOnce,
    /// When a workflow orders it. What was started before goes on at once.
    OnOrder,
}

/// Whether the API has Muster's kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fleet {
    /// Take orders and report the inventory.
    Member,
    /// Pods only.
    None,
}

/// How the machine is booted anew on order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reboot {
    /// By systemd, where that runs it.
    Systemd,
    /// By a program.
    Program(PathBuf),
    /// Not at all, and why.
    Never(&'static str),
}

/// The endpoint a Kubernetes API server fetches logs from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogServer {
    pub address: SocketAddr,
    pub tls: Tls,
}

impl Config {
    /// The usual settings of a node below `data_dir`.
    pub fn new(node_name: &str, node_ip: IpAddr, data_dir: PathBuf) -> Self {
        Self {
            node_name: node_name.to_owned(),
            machine: node_name.to_owned(),
            node_ip,
            pod_cidr: "10.244.0.0/24".to_owned(),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            host_dns: DnsConfig::default(),
            cni_conf_dir: data_dir.join("cni"),
            data_dir,
            cgroup_parent: "/muster".to_owned(),
            runtime: RuntimeChoice::Supervised,
            start: Start::AtOnce,
            fleet: Fleet::Member,
            logs: None,
            roots: Roots::default(),
            kmsg: PathBuf::from("/dev/kmsg"),
            reboot: Reboot::Systemd,
        }
    }
}
