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
    printcolumn(name = "Allows", type_ = "integer", json_path = ".status.allows"),
    printcolumn(name = "In-Use", type_ = "integer", json_path = ".status.inUse"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waiting"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("has(self.max) || has(self.maxPercent)").message("set max or maxPercent: a budget without a bound allows nothing to be counted"))]
#[x_kube(validation = Rule::new("!has(self.destruction) || has(self.scope.role) || has(self.scope.rack)").message("'destruction' is approved for a role or a rack"))]
pub struct DisruptionBudgetSpec {
    /// Which machines it counts.
    pub scope: Scope,
    /// At most so many machines at once; 0 forbids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// At most this share of them, rounded down: 10 % of 9 machines is none. The smaller bound counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self <= 100").message("must be between 0 and 100"))]
    pub max_percent: Option<u32>,
    /// Times in which nothing is granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<Freeze>,
    /// A person's word that more may be destroyed within a day than the guard lets through by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destruction: Option<Approval>,
}

/// A person's word for a number of machines, with an end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// So many machines of the scope within 24 hours.
    pub max: u32,
    /// Who says so.
    #[x_kube(validation = Rule::new("self != ''").message("must name the person"))]
    pub by: String,
    /// Why.
    #[x_kube(validation = Rule::new("self != ''").message("must say why"))]
    pub reason: String,
    /// When it ends.
    pub until: Timestamp,
}

/// A failure domain: one machine, one rack of one site, one site, or one role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.machine), has(self.site), has(self.role)].filter(x, x).size() == 1").message("set exactly one of machine, rack, site, role"))]
#[x_kube(validation = Rule::new("!has(self.rack) || has(self.site)").message("a rack is named together with its site: rack names are unique within a site only"))]
pub struct Scope {
    /// One machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self != '' && !self.contains('*')").message("must be one name"))]
    pub machine: Option<String>,
    /// The machines of a rack of `site`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self != '' && !self.contains('*')").message("must be one name"))]
    pub rack: Option<String>,
    /// The machines of a site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self != '' && !self.contains('*')").message("must be one name"))]
    pub site: Option<String>,
    /// The machines of a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self != '' && !self.contains('*')").message("must be one name"))]
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
    /// Machines that may be down at once, as things stand.
    #[serde(default)]
    pub allows: u32,
    /// Machines that count as down now.
    #[serde(default)]
    pub in_use: u32,
    /// Requests that wait for it.
    #[serde(default)]
    pub waiting: u32,
}
