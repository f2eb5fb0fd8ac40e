//! What the Node object says.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::{Value, json};

use crate::inventory::{self, Roots};
use crate::runtime::Version;

/// The unchanging facts of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub name: String,
    pub ip: String,
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub pods_max: u32,
    pub pod_cidr: String,
    pub kernel: String,
    pub os_image: String,
    pub machine_id: String,
    pub boot_id: String,
    /// Where logs are served.
    pub port: u16,
}

/// What a role puts on a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registration {
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

/// The version Kubernetes tools see; they compare it with the API server's.
const KUBELET_VERSION: &str = "v1.37.0+muster";

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Facts {
    /// Reads what the machine itself tells.
    pub fn read(roots: &Roots, name: String, ip: String, pod_cidr: String, port: u16) -> Self {
        let seen = inventory::observe(roots, jiff::Timestamp::UNIX_EPOCH);
        let text = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
        let os = text("/etc/os-release");
        let pretty = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
        Self {
            name,
            ip,
            cpu_milli: i64::from(seen.cpu.threads) * 1000,
            memory_bytes: i64::try_from(inventory::memory_bytes(roots)).unwrap_or(i64::MAX),
            pods_max: 110,
            pod_cidr,
            kernel: seen.kernel,
            os_image: pretty.trim_matches('"').to_owned(),
            machine_id: text("/etc/machine-id").trim().to_owned(),
            boot_id: seen.boot_id,
            port,
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("kubernetes.io/hostname", self.name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture()),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", architecture()),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

pub(super) fn node(facts: &Facts, registration: &Registration) -> Node {
    let mut labels = facts.labels();
    labels.extend(registration.labels.clone());
    let mut spec = json!({ "taints": registration.taints });
    // Else the cluster gives the node its part of the pod addresses.
    if !facts.pod_cidr.is_empty() {
        spec["podCIDR"] = json!(facts.pod_cidr);
        spec["podCIDRs"] = json!([facts.pod_cidr]);
    }
    let object = json!({
        "metadata": {"name": facts.name, "labels": labels},
        "spec": spec,
        "status": status(facts, None),
    });
    serde_json::from_value(object).expect("a node made of these fields")
}

/// The merge patch that brings labels and taints of `found` to those of `wanted`; nothing of others is taken away.
pub(super) fn difference(found: &Node, wanted: &Node) -> Option<Value> {
    let old = found.metadata.labels.clone().unwrap_or_default();
    let mut labels = wanted.metadata.labels.clone().unwrap_or_default();
    labels.retain(|key, value| old.get(key) != Some(value));
    let mut taints = found.spec.clone().unwrap_or_default().taints.unwrap_or_default();
    let before = taints.clone();
    for taint in wanted.spec.clone().unwrap_or_default().taints.unwrap_or_default() {
        taints.retain(|old| (&old.key, &old.effect) != (&taint.key, &taint.effect));
        taints.push(taint);
    }
    let mut patch = json!({});
    if !labels.is_empty() {
        patch["metadata"] = json!({ "labels": labels });
    }
    if taints != before {
        patch["spec"] = json!({ "taints": taints });
    }
    (patch != json!({})).then_some(patch)
}

/// All of the status but the conditions.
pub(super) fn status(facts: &Facts, version: Option<&Version>) -> Value {
    let amounts = json!({
        "cpu": format!("{}m", facts.cpu_milli),
        "memory": format!("{}Ki", facts.memory_bytes / 1024),
        "pods": facts.pods_max.to_string(),
    });
    let runtime =
        version.map_or_else(|| "containerd://unknown".to_owned(), |v| format!("{}://{}", v.name, v.version));
    json!({
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": [{"type": "InternalIP", "address": facts.ip}, {"type": "Hostname", "address": facts.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": facts.port}},
        "nodeInfo": {
            "architecture": architecture(),
            "bootID": facts.boot_id,
            "containerRuntimeVersion": runtime,
            "kernelVersion": facts.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": KUBELET_VERSION,
            "machineID": facts.machine_id,
            "operatingSystem": "linux",
            "osImage": facts.os_image,
            "systemUUID": facts.machine_id,
        },
    })
}
