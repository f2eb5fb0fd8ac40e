//! A pod, as the controllers see it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Affinity, Toleration};
use serde::Deserialize;

use super::{Condition, Object};

pub type Pod = Object<PodSpec, PodStatus>;

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: Option<String>,
    pub hostname: Option<String>,
    pub subdomain: Option<String>,
    pub tolerations: Vec<Toleration>,
    pub affinity: Option<Box<Affinity>>,
    pub containers: Vec<Container>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Container {
    pub ports: Vec<ContainerPort>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    pub name: Option<String>,
    pub container_port: i32,
    pub protocol: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Phase,
    pub conditions: Vec<Condition>,
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    pub container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodIp {
    pub ip: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    pub restart_count: i32,
}

/// Ordered by how little is lost when such a pod is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Phase {
    #[default]
    Pending,
    Unknown,
    Running,
    Succeeded,
    Failed,
}

impl Pod {
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Counts as a replica: neither finished nor leaving.
    pub fn is_active(&self) -> bool {
        !self.is_finished() && !self.is_leaving()
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.r#type == kind)
    }

    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.status == "True")
    }

    pub fn ready_since(&self) -> Option<Timestamp> {
        self.condition("Ready").filter(|c| c.status == "True").and_then(|c| c.last_transition_time)
    }

    /// Since when the pod counts as available: ready for `min_ready`. A moment in the future means not yet.
    pub fn available_from(&self, min_ready: Duration) -> Option<Timestamp> {
        if !self.is_ready() {
            return None;
        }
        if min_ready.is_zero() {
            return Some(Timestamp::MIN);
        }
        self.ready_since()?.checked_add(min_ready).ok()
    }

    pub fn is_available(&self, min_ready: Duration, now: Timestamp) -> bool {
        self.available_from(min_ready).is_some_and(|from| from <= now)
    }

    pub fn restarts(&self) -> i32 {
        self.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or(0)
    }

    pub fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Every address, also from a kubelet that fills only the old field.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let old = if self.status.pod_ips.is_empty() { self.status.pod_ip.as_deref() } else { None };
        let listed = self.status.pod_ips.iter().map(|address| address.ip.as_str());
        listed.chain(old).filter(|address| !address.is_empty())
    }
}
