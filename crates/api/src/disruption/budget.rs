//! How many machines may be out of service at once.

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bound on the machines of one failure domain that may be down or under disruption at the same time.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "DisruptionBudget",
    status = "DisruptionBudgetStatus",
    derive = "PartialEq",
    doc = "How many machines of one failure domain may be out of service at once.",
    category = "muster",
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.max"),
    printcolumn(name = "Max-Percent", type_ = "integer", json_path = ".spec.maxPercent"),
    printcolumn(name = "In-Use", type_ = "integer", json_path = ".status.inUse"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waiting"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("has(self.max) || has(self.maxPercent)").message("set max or maxPercent: a budget without a bound allows nothing to be counted"))]
pub struct DisruptionBudgetSpec {
    /// Which machines it counts.
    pub scope: Scope,
    /// At most so many machines at once; 0 forbids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// At most this share of them; the smaller bound counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self <= 100").message("must be between 0 and 100"))]
    pub max_percent: Option<u32>,
    /// Times in which nothing is granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<Freeze>,
}

/// A failure domain: exactly one of its fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.machine), has(self.rack), has(self.site), has(self.role)].filter(x, x).size() == 1").message("set exactly one of machine, rack, site, role"))]
pub struct Scope {
    /// One machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The machines of a rack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// The machines of a site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The machines of a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// A time in which nothing is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("timestamp(self.from) < timestamp(self.to)").message("'from' must lie before 'to'"))]
pub struct Freeze {
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// Why.
    pub reason: String,
}

/// How much of a budget is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionBudgetStatus {
    /// Machines that count as down now.
    #[serde(default)]
    pub in_use: u32,
    /// Requests that wait for it.
    #[serde(default)]
    pub waiting: u32,
}
