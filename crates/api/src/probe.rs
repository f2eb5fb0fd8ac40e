//! What a machine's agent tells the machine's doctor over its read-only sockets: one JSON document of readings per
//! connection, and the records of the kernel log as they come.
//!
//! The sockets take no input, so whoever may read them can still do nothing.

use serde::{Deserialize, Serialize};

/// Name of the socket of the kernel log, beside that of the readings. Every connection is told what the kernel still
/// keeps, then what comes, record after record in the form of `/dev/kmsg`
/// (Documentation/ABI/testing/dev-kmsg). Who reads too slowly misses records, and sees it in their numbers.
pub const KMSG_SOCKET: &str = "doctor-kmsg.sock";

/// Disks a document of readings tells of at most.
pub const DISKS_KEPT: usize = 128;

/// The state of the machine's own services and parts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Readings {
    /// The kernel's identity of this boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// The container runtime; absent where the machine carries none, or none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeReading>,
    /// What the disks say of themselves; only those that were asked and answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskHealth>,
}

/// What a disk says of its own health: SMART of ATA disks, the health log of NVMe disks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskHealth {
    /// Kernel name (`sda`, `nvme0n1`).
    pub name: String,
    /// The disk's own verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// Sectors that were replaced by spare ones (ATA attribute 5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reallocated: Option<u64>,
    /// Sectors that could not be read and wait for being written (ATA attribute 197).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// Sectors that could not be read in the disk's own scan (ATA attribute 198).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncorrectable: Option<u64>,
    /// Bits of the NVMe critical warning (NVM Express base specification, SMART log page).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical_warning: Option<u64>,
    /// Errors of data integrity that an NVMe disk did not recover from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_errors: Option<u64>,
    /// Spare blocks left, in percent of the original ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spare_percent: Option<u64>,
    /// Spare blocks below which the disk warns, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spare_threshold_percent: Option<u64>,
}

/// One question to the container runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeReading {
    /// Whether it answered.
    pub state: RuntimeState,
    /// What was seen, for people.
    pub detail: String,
    /// How long the question took, in milliseconds.
    pub took_ms: u64,
}

/// Whether a runtime answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuntimeState {
    /// It answered.
    Answers,
    /// It took the connection and did not answer in time.
    Hung,
    /// It took no connection.
    Gone,
}
