//! A node and its heartbeat.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use serde::Deserialize;

use super::{Condition, Object};

pub type Node = Object<NodeSpec, NodeStatus>;

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    pub conditions: Vec<Condition>,
}

/// What the node last said of itself, or what was concluded from its silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    NotReady,
    Unknown,
}

impl Node {
    /// A node that has never said anything is not ready.
    pub fn readiness(&self) -> Readiness {
        let ready = self.status.conditions.iter().find(|condition| condition.r#type == "Ready");
        match ready.map(|condition| condition.status.as_str()) {
            Some("True") => Readiness::Ready,
            Some("Unknown") => Readiness::Unknown,
            Some(_) | None => Readiness::NotReady,
        }
    }

    pub fn zone(&self) -> Option<&str> {
        self.label("topology.kubernetes.io/zone")
    }
}

pub type Lease = Object<LeaseSpec, super::Unread>;

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    pub renew_time: Option<Timestamp>,
}
