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

/// The first that tells one machine from another; never nothing. An image that many machines boot has no id of its own,
/// nor has an empty installation: then the firmware's, and last that of this boot.
fn machine_id(boot_id: &str, read: impl Fn(&str) -> String) -> String {
    let plain = |text: &str| text.trim().replace('-', "").to_lowercase();
    let is_id = |text: &String| text.len() == 32 && text.chars().all(|letter| letter.is_ascii_hexdigit());
    let places = ["/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid"];
    let told = places.into_iter().map(|place| plain(&read(place)));
    told.chain([plain(boot_id)]).find(is_id).unwrap_or_default()
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
            machine_id: machine_id(&seen.boot_id, text),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_an_id_of_its_own_is_told_by_its_firmware_and_last_by_its_boot() {
        let boot = "01234567-89ab-cdef-0123-456789abcdef";
        let firmware = "4C4C4544-0042-3510-8054-B4C04F4E3132\n";
        let reading = |files: &[(&str, &str)]| {
            let files: BTreeMap<String, String> =
                files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
            machine_id(boot, |path| files.get(path).cloned().unwrap_or_default())
        };
        let own = ("/etc/machine-id", "abcdefabcdefabcdefabcdefabcdefab\n");
        let dmi = ("/sys/class/dmi/id/product_uuid", firmware);
        assert_eq!(reading(&[own, dmi]), "abcdefabcdefabcdefabcdefabcdefab");
        assert_eq!(
            reading(&[("/etc/machine-id", "uninitialized\n"), dmi]),
            "4c4c4544004235108054b4c04f4e3132"
        );
        assert_eq!(reading(&[]), "0123456789abcdef0123456789abcdef");
    }
}
