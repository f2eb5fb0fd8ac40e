//! A pod as the scheduler reasons about it: parsed once, at the edge.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use muster_base::quantity::QuantityError;
use muster_control::matching::Labels;

use crate::resources::Resources;
use crate::view::{Container, PodSpec, PodStatus};

/// What an unstated request counts for when nodes are compared (never when they are filtered).
const UNSTATED_CPU_MILLI: i64 = 100;
const UNSTATED_MEMORY_BYTES: i64 = 200 << 20;

/// Where a pod is in its life, as far as placement is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waits for gates to be lifted before it may be placed.
    Gated,
    /// May be placed, or has been.
    Open,
    /// Is being deleted: keeps what it uses, is not placed any more.
    Leaving,
    /// Succeeded or failed: uses nothing.
    Finished,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub port: u16,
    pub protocol: Arc<str>,
    /// `None` for every address.
    pub address: Option<Arc<str>>,
}

impl HostPort {
    pub fn clashes(&self, other: &HostPort) -> bool {
        let same_address = match (&self.address, &other.address) {
            (Some(a), Some(b)) => a == b,
            (None, _) | (_, None) => true,
        };
        self.port == other.port && self.protocol == other.protocol && same_address
    }
}

#[derive(Debug, Clone)]
pub struct Pod {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
    pub labels: Labels,
    /// The uid of the controlling owner.
    pub owner: Option<Arc<str>>,
    pub created: Option<Timestamp>,
    pub stage: Stage,
    pub node: Option<Arc<str>>,
    pub priority: i32,
    pub requests: Resources,
    /// `requests` with a guess for what is unstated; only for comparing nodes.
    pub weight: Resources,
    pub ports: Vec<HostPort>,
    pub node_selector: Labels,
    pub affinity: Option<Box<Affinity>>,
    pub tolerations: Vec<Toleration>,
    pub spread: Vec<TopologySpreadConstraint>,
    /// Message of `PodScheduled=False` as the API has it now.
    pub told: Option<String>,
}

impl Pod {
    /// # Errors
    /// A request that is no quantity; the API server refuses such a pod.
    pub fn parse(meta: &ObjectMeta, spec: &PodSpec, status: &PodStatus) -> Result<Pod, QuantityError> {
        let requests = requests(spec)?;
        Ok(Pod {
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            labels: meta.labels.clone().unwrap_or_default(),
            owner: controller(meta),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            stage: stage(meta, spec, status),
            node: spec.node_name.as_deref().filter(|name| !name.is_empty()).map(Arc::from),
            priority: spec.priority.unwrap_or(0),
            weight: weight(&requests),
            requests,
            ports: spec.containers.iter().flat_map(host_ports).collect(),
            node_selector: spec.node_selector.clone(),
            affinity: spec.affinity.clone(),
            tolerations: spec.tolerations.clone(),
            spread: spec.topology_spread_constraints.clone(),
            told: status
                .conditions
                .iter()
                .find(|c| c.r#type == "PodScheduled" && c.status == "False")
                .and_then(|c| c.message.clone()),
        })
    }

    /// Whether this pod takes room on its node.
    pub fn occupies(&self) -> bool {
        match self.stage {
            Stage::Finished => false,
            Stage::Gated | Stage::Open | Stage::Leaving => true,
        }
    }
}

fn controller(meta: &ObjectMeta) -> Option<Arc<str>> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str().into())
}

fn stage(meta: &ObjectMeta, spec: &PodSpec, status: &PodStatus) -> Stage {
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        Stage::Finished
    } else if meta.deletion_timestamp.is_some() {
        Stage::Leaving
    } else if spec.scheduling_gates.is_empty() {
        Stage::Open
    } else {
        Stage::Gated
    }
}

/// The most a pod needs at any time, start-up included (KEP-753 for restartable init containers).
fn requests(spec: &PodSpec) -> Result<Resources, QuantityError> {
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in &spec.init_containers {
        let own = Resources::parse(&container.resources.requests)?;
        let mut now = sidecars.clone();
        now.add(&own);
        starting.at_least(&now);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = now;
        }
    }
    let mut total = sidecars;
    for container in &spec.containers {
        total.add(&Resources::parse(&container.resources.requests)?);
    }
    total.at_least(&starting);
    let whole_pod = Resources::parse(&spec.resources.requests)?;
    total.replace_named(&whole_pod, &spec.resources.requests);
    total.add(&Resources::parse(&spec.overhead)?);
    Ok(total)
}

fn weight(requests: &Resources) -> Resources {
    let or = |stated: i64, guess: i64| if stated == 0 { guess } else { stated };
    Resources {
        cpu_milli: or(requests.cpu_milli, UNSTATED_CPU_MILLI),
        memory_bytes: or(requests.memory_bytes, UNSTATED_MEMORY_BYTES),
        ..Resources::default()
    }
}

fn host_ports(container: &Container) -> impl Iterator<Item = HostPort> + '_ {
    container.ports.iter().filter(|port| port.host_port > 0).map(|port| HostPort {
        port: port.host_port,
        protocol: port.protocol.as_deref().unwrap_or("TCP").into(),
        address: port.host_ip.as_deref().filter(|a| !a.is_empty() && *a != "0.0.0.0").map(Arc::from),
    })
}
