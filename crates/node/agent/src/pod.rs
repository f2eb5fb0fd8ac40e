//! Pods: what the API wants, what the runtime has, and the steps between.
//!
//! One worker per pod uid runs passes: observe, [`plan::plan`], act, write the status. Everything a pass needs to know is
//! read back from the runtime and the API, so that the agent may die at any line and go on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use muster_base::clock::SharedClock;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::cgroup::Cgroups;
use crate::runtime::{Runtime, proto};

mod act;
pub(crate) mod container;
mod driver;
mod events;
pub(crate) mod field;
pub(crate) mod objects;
pub mod plan;
mod probe;
mod resources;
pub(crate) mod sandbox;
mod status;
mod worker;

pub use driver::Driver;
pub use events::Teller;
pub use resources::Qos;

/// The node as its pods see it.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    pub ip: String,
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    /// Empty: pods use the machine's own resolver.
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    pub host_dns: proto::DnsConfig,
    /// Volumes and small files, one directory per pod uid.
    pub pods_dir: PathBuf,
    pub logs_dir: PathBuf,
    pub cgroups: Cgroups,
}

/// What every worker shares.
pub struct Context {
    pub node: Node,
    pub runtime: Arc<dyn Runtime>,
    pub client: Client,
    pub clock: SharedClock,
    pub events: Teller,
    /// Bounds sandboxes and containers being started at a time: more is slower for all of them.
    pub starting: Semaphore,
    /// Variables every container gets: where the API is.
    pub services: Mutex<BTreeMap<String, String>>,
}

/// Starts beyond four at a time gain nothing on a small machine (the kernel's network namespace work is serial).
pub const STARTING_MAX: usize = 4;

#[cfg(test)]
mod tests;
