//! What a doctor found.

pub mod canary;
mod episode;
pub mod repair;

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

pub use episode::EpisodeKey;

/// How many pieces of evidence a problem keeps.
pub const EVIDENCE_KEPT: usize = 16;

/// What the classes of a parent begin with: one Problem for many machines that fail together.
pub const CORRELATED: &str = "correlated.";

/// Which fault, where. The name is `MACHINE.CLASS` or `MACHINE.CLASS.COMPONENT`; of a Problem of many machines,
/// `CLASS.COMPONENT`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Problem",
    status = "ProblemStatus",
    derive = "PartialEq",
    doc = "What a doctor found wrong with a machine; written by doctors alone.",
    category = "muster",
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.machine"),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.class"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Count", type_ = "integer", json_path = ".status.count"),
    printcolumn(name = "Last-Seen", type_ = "date", json_path = ".status.lastSeen"),
    printcolumn(name = "Component", type_ = "string", json_path = ".spec.component", priority = 1),
    printcolumn(name = "Evidence", type_ = "string", json_path = ".status.evidence[0].text", priority = 1),
    validation = Rule::new("self.spec == oldSelf.spec").message("the key of a Problem (machine, component, class) never changes"),
)]
#[x_kube(validation = Rule::new("(has(self.machine) && self.machine != '') != self.class.startsWith('correlated.')").message("'machine' must name a Machine, except in classes correlated.*, which are of many"))]
#[x_kube(validation = Rule::new("!self.class.startsWith('correlated.') || (has(self.component) && self.component != '')").message("a class correlated.* needs 'component': what is suspected"))]
pub struct ProblemSpec {
    /// Machine that has it; empty where many fail together.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// Part of the machine, such as `containerd` or `sda`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
    /// Class of the fault, dotted lower case: `runtime.hung`.
    #[x_kube(validation = Rule::new("self.matches('^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$')").message("must be dotted lower case, such as runtime.hung"))]
    pub class: String,
}

/// Whether the fault is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// Evidence is there, not yet enough of it.
    #[default]
    Suspect,
    /// The fault is there.
    Open,
    /// The fault was there and is gone.
    Clear,
    /// Evidence stopped arriving.
    Unknown,
}

impl State {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspect => "Suspect",
            Self::Open => "Open",
            Self::Clear => "Clear",
            Self::Unknown => "Unknown",
        }
    }
}

/// What is seen of a problem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemStatus {
    /// Whether it is there.
    #[serde(default)]
    pub state: State,
    /// Counts the times it opened; a repair belongs to one episode.
    #[serde(default)]
    pub episode: i64,
    /// Pieces of evidence in this episode.
    #[serde(default)]
    pub count: u64,
    /// First evidence of this episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// When it opened in this episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
    /// Last evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// When it was seen to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Timestamp>,
    /// Boot in which it was seen.
    #[serde(default, rename = "bootID", skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
    /// The last pieces of evidence, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Rule that found it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// Pieces of evidence in this episode that came faster than they are taken in; they are part of `count`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: u64,
    /// What many machines that fail together have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<Suspect>,
    /// Problem that explains this one; it is then held.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Comes and goes.
    #[serde(default)]
    pub flapping: bool,
    /// Until when the doctor vouches for the state; later it counts as unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Timestamp>,
    /// Observed facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What machines that fail together have in common. Problems of machines it covers are held while it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suspect {
    /// What is suspected.
    pub kind: SuspectKind,
    /// Its name: of a rack, a feed, a site, an image, a firmware or a rule.
    pub name: String,
    /// Site it is in, where it is a rack or a feed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// Machines that failed within the window.
    #[serde(default)]
    pub machines: u32,
    /// Machines that it could have reached.
    #[serde(default)]
    pub of: u32,
}

/// What may be suspected of having many machines fail.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum SuspectKind {
    /// A rack: its switch or its feeds.
    #[default]
    Rack,
    /// A power feed of several racks.
    Power,
    /// A site, or the way to it.
    Site,
    /// An operating system image.
    Image,
    /// A firmware.
    Firmware,
    /// The rule that found them.
    Rule,
}

impl SuspectKind {
    /// Every kind, the narrowest place first.
    pub const ALL: [Self; 6] = [Self::Rack, Self::Power, Self::Site, Self::Image, Self::Firmware, Self::Rule];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rack => "rack",
            Self::Power => "power",
            Self::Site => "site",
            Self::Image => "image",
            Self::Firmware => "firmware",
            Self::Rule => "rule",
        }
    }
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// When.
    pub at: Timestamp,
    /// What was seen.
    pub text: String,
}

/// The name of the problem of that key. What a component has that no name may have is written as `-`.
pub fn name(machine: &str, class: &str, component: &str) -> String {
    let class = class.replace('_', "-");
    let component = label(component);
    [machine, &class, &component].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
}

fn label(component: &str) -> String {
    let kept = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    component.chars().map(kept).collect::<String>().trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_the_key_and_are_legal() {
        assert_eq!(name("m1", "runtime.hung", "containerd"), "m1.runtime.hung.containerd");
        assert_eq!(name("m1", "disk.media_error", "/dev/SDA"), "m1.disk.media-error.dev-sda");
        assert_eq!(name("m1", "machine.silent", ""), "m1.machine.silent");
        assert_eq!(name("", "correlated.rack", "a/r1"), "correlated.rack.a-r1");
    }
}
