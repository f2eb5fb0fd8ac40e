//! What a machine can be made to carry.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;

mod content;

pub use content::{
    CONTENT_BYTES_MAX, FILES_MAX, File, FileFault, PACKAGES_MAX, Package, PackageFault, SERVICES_MAX,
    ServiceFault, ServiceState, SystemService,
};

/// What has to be true of a machine that carries a role, and how it is proved before it serves.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "MachineRole",
    status = "MachineRoleStatus",
    derive = "PartialEq",
    doc = "What a machine can be made to carry.",
    category = "muster",
    printcolumn(name = "Runtime", type_ = "string", json_path = ".spec.runtime"),
    printcolumn(name = "Probation", type_ = "string", json_path = ".spec.probation.duration"),
    printcolumn(name = "Machines", type_ = "integer", json_path = ".status.machines"),
    printcolumn(name = "Healthy", type_ = "integer", json_path = ".status.phases.Healthy"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("!has(self.files) || self.files.all(f, self.files.exists_one(g, g.path == f.path))").message("'files' has two of one path"))]
#[x_kube(validation = Rule::new(content::unreserved()).message("'files' has one in a directory of /etc that decides who may become root, what root runs or what is installed"))]
#[x_kube(validation = Rule::new(content::harmless()).message("'services' has one that ends or opens the machine when it is started"))]
#[x_kube(validation = Rule::new("!has(self.services) || self.services.all(s, self.services.exists_one(t, t.name == s.name))").message("'services' has two of one name"))]
pub struct MachineRoleSpec {
    /// The image a machine of the role may be installed from anew, over all that is on it. Absent: it may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Container runtime the role needs.
    #[serde(default)]
    pub runtime: Runtime,
    /// Features of the kernel that must be there (`overlayfs`, `br_netfilter`, `nf_tables`, `veth`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_features: Vec<String>,
    /// Packages of the distribution, `NAME` or `NAME=VERSION`. Missing ones are installed; what is installed is left alone,
    /// and nothing is ever removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        inner(
            length(max = 256),
            regex(pattern = r"^[a-z0-9][a-z0-9+.-]*[a-z0-9+.](=([0-9]+:)?[0-9][A-Za-z0-9.+~-]*)?$")
        )
    )]
    pub packages: Vec<String>,
    /// Files with settings. What stood in their place comes back when the node ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub files: Vec<File>,
    /// Kernel settings, by dotted name (`net.ipv4.ip_forward`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Services of the system that run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub services: Vec<SystemService>,
    /// Labels of the Node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_labels: BTreeMap<String, String>,
    /// Taints of the Node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_taints: Vec<Taint>,
    /// How the machine proves itself before it serves.
    #[serde(default)]
    pub probation: Probation,
}

/// Where the image of a role is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// URL for the virtual drive of the machine's management controller. Absent: the machine finds it by booting from
    /// the network.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[x_kube(validation = Rule::new("self == '' || self.startsWith('http://') || self.startsWith('https://')").message("must begin with http:// or https://"))]
    #[schemars(length(max = 2048))]
    pub media: String,
}

/// A container runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// None: the role runs no containers.
    None,
    /// containerd, supervised by the agent.
    #[default]
    Containerd,
}

/// A taint, as on a Node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What happens to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// No new pods.
    NoSchedule,
    /// New pods only if there is no other place.
    PreferNoSchedule,
    /// Running pods leave.
    NoExecute,
}

/// The time and the proofs between installation or repair and service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probation {
    /// How long no Problem may be open.
    pub duration: GoDuration,
    /// What is tried for real.
    #[serde(default)]
    pub checks: Vec<Check>,
}

impl Default for Probation {
    fn default() -> Self {
        Self { duration: GoDuration(std::time::Duration::from_secs(10)), checks: vec![Check::ContainerStart] }
    }
}

/// Something tried for real on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// A sandbox and a container are started, seen running and removed.
    ContainerStart,
}

/// What is seen of a role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineRoleStatus {
    /// Machines that are to carry the role.
    #[serde(default)]
    pub machines: u32,
    /// These machines by phase.
    #[serde(default)]
    pub phases: BTreeMap<String, u32>,
}
