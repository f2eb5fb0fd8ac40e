//! Nodes: a new one takes no pods until it has reported ready.

use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Taints a new node (TaintNodesByCondition).
pub(super) fn complete(value: &mut Value) {
    let taints = value["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let there = taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule");
    if !there {
        let mut taints = taints;
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        value["spec"]["taints"] = Value::from(taints);
    }
}
