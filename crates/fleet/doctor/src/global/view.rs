//! What the global doctor reads of kinds that are not Muster's.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use serde::Deserialize;

/// Where the heartbeats of nodes are, on every Kubernetes since 1.17.
pub(super) const HEARTBEATS: &str = "kube-node-lease";

/// A node's heartbeat: it bears the node's name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Lease {
    #[serde(deserialize_with = "muster_control::slim_metadata")]
    metadata: ObjectMeta,
    spec: LeaseSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaseSpec {
    renew_time: Option<Timestamp>,
}

impl Lease {
    pub(super) fn renewed(&self) -> Option<Timestamp> {
        self.spec.renew_time
    }
}

/// A node, as far as it speaks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    #[serde(deserialize_with = "muster_control::slim_metadata")]
    metadata: ObjectMeta,
    status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

impl Node {
    /// Whether it is ready or not is said by itself; that this is unknown was concluded by others from its silence.
    pub(super) fn speaks(&self) -> bool {
        let ready = self.status.conditions.iter().find(|condition| condition.r#type == "Ready");
        ready.is_some_and(|condition| condition.status != "Unknown")
    }
}

muster_control::view!(Lease: "coordination.k8s.io", "v1", "Lease", "leases", NamespaceResourceScope);
muster_control::view!(Node: "", "v1", "Node", "nodes", ClusterResourceScope);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_heartbeat_its_time_is_read_and_of_a_node_whether_it_speaks() {
        let lease = json!({"metadata": {"name": "m1"}, "spec": {"renewTime": "2026-11-01T14:05:00.000000Z"}});
        let lease: Lease = serde_json::from_value(lease).unwrap();
        assert_eq!(lease.renewed().unwrap().to_string(), "2026-11-01T14:05:00Z");
        let node = |conditions| {
            let node = json!({"metadata": {"name": "m1"}, "status": {"conditions": conditions}});
            serde_json::from_value::<Node>(node).unwrap().speaks()
        };
        assert!(node(json!([{"type": "Ready", "status": "False"}])));
        assert!(!node(json!([{"type": "Ready", "status": "Unknown"}])));
        assert!(!node(json!([])));
    }
}
