//! The first objects themselves.

use serde_json::{Value, json};

use crate::server::Config;

/// The namespaces that are there from the start.
pub(super) const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

pub(super) fn namespaces() -> Vec<Value> {
    let namespace = |name: &&str| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        })
    };
    NAMESPACES.iter().map(namespace).collect()
}

pub(super) fn priority_classes() -> Vec<Value> {
    let class = |(name, value, about): &(&str, i64, &str)| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "preemptionPolicy": "PreemptLowerPriority", "description": about,
        })
    };
    [
        ("system-cluster-critical", 2_000_000_000, "For pods that the cluster needs, on whichever node."),
        ("system-node-critical", 2_000_001_000, "For pods that their node needs."),
    ]
    .iter()
    .map(class)
    .collect()
}

/// The `kubernetes` Service: the API as pods reach it.
pub(super) fn service(config: &Config) -> Value {
    let address = config.api_service_address().to_string();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.advertise.port()}],
        },
        "status": {"loadBalancer": {}},
    })
}

/// Where that Service leads.
pub(super) fn endpoint_slice(config: &Config) -> Value {
    let family = if config.advertise.is_ipv4() { "IPv4" } else { "IPv6" };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family,
        "endpoints": [{"addresses": [config.advertise.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": config.advertise.port(), "protocol": "TCP"}],
    })
}

/// The same in the older form, for clients that have not learnt of slices.
pub(super) fn endpoints(config: &Config) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": [{"ip": config.advertise.ip().to_string()}],
            "ports": [{"name": "https", "port": config.advertise.port(), "protocol": "TCP"}],
        }],
    })
}
