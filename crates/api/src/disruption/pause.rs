//! The big red button.

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// Name of the pause that stops everything everywhere.
pub const EVERYWHERE: &str = "everywhere";

/// While it is there, nothing disruptive begins where it holds; what was begun is brought to its end.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Pause",
    status = "PauseStatus",
    derive = "PartialEq",
    doc = "While it is there, nothing disruptive begins where it holds: the big red button.",
    category = "muster",
    printcolumn(name = "Site", type_ = "string", json_path = ".spec.site"),
    printcolumn(name = "Everywhere", type_ = "boolean", json_path = ".spec.everywhere"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.by"),
    printcolumn(name = "Held", type_ = "integer", json_path = ".status.held"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waiting"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason")
)]
#[x_kube(validation = Rule::new("has(self.site) != self.everywhere").message("set exactly one of site and everywhere: true; an empty pause means nothing, never everything"))]
pub struct PauseSpec {
    /// The one site it holds in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self != '' && !self.contains('*')").message("must name exactly one Site"))]
    pub site: Option<String>,
    /// It holds in every site.
    #[serde(default)]
    pub everywhere: bool,
    /// Who pressed the button.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What the disruption ledger saw of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseStatus {
    /// When the ledger first heeded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heeded_at: Option<Timestamp>,
    /// Grants it holds: what is not begun under them begins after a fresh look only.
    #[serde(default)]
    pub held: u32,
    /// Requests that wait for it.
    #[serde(default)]
    pub waiting: u32,
    /// Observed facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl PauseSpec {
    /// Whether it holds in that site.
    pub fn holds_in(&self, site: &str) -> bool {
        self.everywhere || self.site.as_deref() == Some(site)
    }
}

/// The name of the pause of a site, or of the one that holds everywhere.
pub fn name(site: Option<&str>) -> String {
    site.map_or_else(|| EVERYWHERE.to_owned(), |site| format!("site-{site}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_of_a_site_holds_there_alone_and_an_empty_one_nowhere() {
        let site = PauseSpec { site: Some("a".into()), ..PauseSpec::default() };
        let all = PauseSpec { everywhere: true, ..PauseSpec::default() };
        let told = |spec: &PauseSpec| ["a", "b", ""].map(|site| spec.holds_in(site));
        assert_eq!(told(&site), [true, false, false]);
        assert_eq!(told(&all), [true; 3]);
        assert_eq!(told(&PauseSpec::default()), [false; 3]);
        assert_eq!((name(None), name(Some("everywhere"))), ("everywhere".into(), "site-everywhere".into()));
    }
}
