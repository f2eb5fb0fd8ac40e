//! What a machine was seen to be made of.

use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod bmc;

/// There is nothing to intend: an inventory is observed only.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Inventory",
    plural = "inventories",
    status = "InventoryStatus",
    derive = "PartialEq",
    doc = "What a machine was seen to be made of; it bears its machine's name and is written by the agent or the inspector alone.",
    category = "muster",
    printcolumn(name = "CPU", type_ = "integer", json_path = ".status.cpu.threads"),
    printcolumn(name = "Memory-GiB", type_ = "integer", json_path = ".status.memoryGiB"),
    printcolumn(name = "Serial", type_ = "string", json_path = ".status.serial"),
    printcolumn(name = "Kernel", type_ = "string", json_path = ".status.kernel"),
    printcolumn(name = "Observed", type_ = "date", json_path = ".status.observedAt"),
    printcolumn(name = "Model", type_ = "string", json_path = ".status.model", priority = 1),
    printcolumn(name = "Missing", type_ = "string", json_path = ".status.missing", priority = 1),
    printcolumn(name = "Boot-ID", type_ = "string", json_path = ".status.bootID", priority = 1)
)]
pub struct InventorySpec {}

/// The hardware facts of one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryStatus {
    /// When the facts were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// The kernel's identity of this boot (`/proc/sys/kernel/random/boot_id`).
    #[serde(default, rename = "bootID", skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
    /// Kernel release.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernel: String,
    /// Operating system image: what `/etc/os-release` calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Processors.
    #[serde(default)]
    pub cpu: Cpu,
    /// Memory, in GiB rounded down.
    #[serde(default, rename = "memoryGiB")]
    pub memory_gib: u32,
    /// Block devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// Network cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<Nic>,
    /// Serial number of the machine; empty where the firmware tells none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Model name, as the firmware tells it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Version of the firmware.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub firmware: String,
    /// How much it does, lately; absent where nobody measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// Parts the profile demands that were not found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Parts found that the profile does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surplus: Vec<String>,
}

/// The processors of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    /// Model name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Physical packages.
    #[serde(default)]
    pub sockets: u32,
    /// Cores of all packages.
    #[serde(default)]
    pub cores: u32,
    /// Hardware threads of all cores.
    #[serde(default)]
    pub threads: u32,
}

/// What a machine was measured to do, so that it can be compared with its like. A figure is told anew when it moved by 5 %.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Speed {
    /// Steps of a fixed piece of arithmetic in a microsecond of one core.
    pub cpu_steps_per_us: u32,
    /// Megabytes copied in a second by one core, from memory to memory.
    #[serde(rename = "memoryMBps")]
    pub memory_mbps: u32,
    /// Version of the program that measured: others may measure otherwise.
    pub by: String,
}

/// A block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Kernel name (`sda`, `nvme0n1`).
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Whether it spins.
    #[serde(default)]
    pub rotational: bool,
    /// Model, where the device tells one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Serial number, where the device tells one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
}

/// A network card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Nic {
    /// Kernel name (`eth0`).
    pub name: String,
    /// Hardware address.
    pub mac: String,
    /// Link speed in Mbit/s, where the driver tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_mbps: Option<u32>,
    /// Driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
}
