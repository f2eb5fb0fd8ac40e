//! What a model of machine must be made of.

use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Condition of a machine: whether what was observed is what its profile demands.
pub const MATCHES_PROFILE: &str = "MatchesProfile";

/// The parts every machine of the profile must have. What is not named is not demanded; of disks and network cards, what
/// is found beyond the rows is surplus as soon as there is a row.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "HardwareProfile",
    status = "HardwareProfileStatus",
    derive = "PartialEq",
    doc = "What a model of machine must be made of.",
    category = "muster",
    printcolumn(name = "Cores", type_ = "integer", json_path = ".spec.cpuCores"),
    printcolumn(name = "Memory-GiB", type_ = "integer", json_path = ".spec.memoryGiB"),
    printcolumn(name = "Matching", type_ = "integer", json_path = ".status.matching"),
    printcolumn(name = "Differing", type_ = "integer", json_path = ".status.differing"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model", priority = 1),
    printcolumn(name = "Firmware", type_ = "string", json_path = ".spec.firmware", priority = 1)
)]
pub struct HardwareProfileSpec {
    /// Cores of all processors, at least.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_cores: u32,
    /// Memory in GiB, at least. What firmware keeps for itself is to be left out of it.
    #[serde(default, rename = "memoryGiB", skip_serializing_if = "is_zero")]
    pub memory_gib: u32,
    /// Disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskDemand>,
    /// Network cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<NicDemand>,
    /// Model name the firmware must tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// What serial numbers of the model look like: `*` stands for any letters, `?` for one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial_pattern: String,
    /// Firmware version it must have.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub firmware: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// So many disks of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskDemand {
    /// How many.
    #[x_kube(validation = Rule::new("1 <= self").message("must be at least 1"))]
    pub count: u32,
    /// Size in GB (10⁹ bytes, as on the label), at least.
    #[serde(default, rename = "sizeGB", skip_serializing_if = "is_zero")]
    pub size_gb: u32,
    /// Type; absent = any.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<DiskKind>,
}

/// A type of disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskKind {
    /// It spins.
    Hdd,
    /// It does not spin, whatever its bus.
    Ssd,
    /// It does not spin and is an NVMe device.
    Nvme,
}

impl DiskKind {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hdd => "hdd",
            Self::Ssd => "ssd",
            Self::Nvme => "nvme",
        }
    }
}

/// So many network cards of a speed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NicDemand {
    /// How many.
    #[x_kube(validation = Rule::new("1 <= self").message("must be at least 1"))]
    pub count: u32,
    /// Link speed in Mbit/s, at least. A card that tells no speed (no link) does not reach any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub speed_mbps: u32,
}

/// What is seen of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HardwareProfileStatus {
    /// Machines of the profile that were observed and have all of it.
    #[serde(default)]
    pub matching: u32,
    /// Machines of the profile that were observed and lack something or have too much.
    #[serde(default)]
    pub differing: u32,
}
