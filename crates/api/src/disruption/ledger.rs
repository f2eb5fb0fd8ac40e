//! What fences the deciders of disruptions against each other.

use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DisruptionStatus;

/// Name of the one ledger.
pub const LEDGER: &str = "disruptions";

/// The book of the disruption ledger. Every batch of grants is written here first, against the version the decider had
/// read: of two deciders one is refused, whatever either believes about leadership.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Ledger",
    status = "LedgerStatus",
    derive = "PartialEq",
    doc = "What fences the deciders of disruptions against each other. Written by the machine database alone.",
    category = "muster",
    printcolumn(name = "Sequence", type_ = "integer", json_path = ".status.sequence"),
    printcolumn(name = "Decided", type_ = "date", json_path = ".status.decidedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct LedgerSpec {}

/// The last batch of grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerStatus {
    /// Counts the batches.
    #[serde(default)]
    pub sequence: i64,
    /// When the last one was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// The grants of the last batch. Whoever decides next writes first what its predecessor left unwritten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub batch: Vec<Entry>,
}

/// One grant of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Name of the Disruption.
    pub request: String,
    /// Its uid: a namesake that came later is not meant.
    pub uid: String,
    /// The status it gets.
    pub status: DisruptionStatus,
}
