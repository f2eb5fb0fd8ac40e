//! The leave to take a machine out of service.

pub mod budget;
pub mod ledger;
pub mod pause;

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::Phase;

/// Who wants to disturb which machine, what for, and how long at most.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Disruption",
    status = "DisruptionStatus",
    derive = "PartialEq",
    doc = "The leave to take a machine out of service; asked for by anyone, decided by one leader.",
    category = "muster",
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.machine"),
    printcolumn(name = "Purpose", type_ = "string", json_path = ".spec.purpose"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Waits-For", type_ = "string", json_path = ".status.blockedBy"),
    printcolumn(name = "Look-Again-At", type_ = "string", json_path = ".status.lookAgainAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Run", type_ = "string", json_path = ".spec.run", priority = 1),
    printcolumn(name = "Act", type_ = "string", json_path = ".spec.act", priority = 1),
    printcolumn(name = "Held-Since", type_ = "string", json_path = ".status.heldSince", priority = 1)
)]
#[x_kube(validation = Rule::new("has(self.act) == has(self.phase)").message("'act' and 'phase' belong together: what destroys names the phase the machine must be in"))]
#[x_kube(validation = Rule::new("has(self.act) == has(oldSelf.act)").message("the act of a Disruption never changes; ask for another"))]
#[x_kube(validation = Rule::new("has(self.intends) == has(oldSelf.intends)").message("what a Disruption intends never changes; ask for another"))]
#[x_kube(validation = Rule::new("!has(self.act) || !has(self.intends)").message("'act' is asked for now and 'intends' later: one Disruption has one of them"))]
pub struct DisruptionSpec {
    /// The one machine, by name: never empty, never a pattern.
    #[x_kube(validation = Rule::new("self == oldSelf").message("the machine of a Disruption never changes; ask for another"))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("must name exactly one Machine"))]
    pub machine: String,
    /// What for.
    pub purpose: Purpose,
    /// What is destroyed; absent = nothing is. It is granted to few machines of a role and a rack at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the act of a Disruption never changes; ask for another"))]
    pub act: Option<Destruction>,
    /// The phase the machine must be in for `act`; in another one the request is denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self in ['Registered', 'Inspecting', 'Disrupted', 'Failed', 'Quarantined']").message("nothing is destroyed on a machine that serves: Registered, Inspecting, Disrupted, Failed or Quarantined"))]
    pub phase: Option<Phase>,
    /// What leave to destroy will be asked for under this grant: it is not given before there would be that leave too, so
    /// that no machine is taken out of service to wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("what a Disruption intends never changes; ask for another"))]
    pub intends: Option<Destruction>,
    /// Run that asks; empty for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// The grant ends by itself then, its holder alive or not.
    pub until: Timestamp,
    /// Given back by its holder.
    #[serde(default)]
    pub released: bool,
}

/// What cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Destruction {
    /// Its disks are erased.
    Erase,
    /// Another image is written over what is there.
    Reimage,
}

impl Destruction {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erase => "erase",
            Self::Reimage => "reimage",
        }
    }
}

/// What a machine is disturbed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// First installation.
    Provision,
    /// Repair of a problem.
    Repair,
    /// New software.
    Upgrade,
    /// Emptying a node.
    Drain,
    /// A person's own reason.
    Person,
}

/// The answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DisruptionPhase {
    /// Not now; looked at again.
    #[default]
    Waiting,
    /// Granted.
    Granted,
    /// Never as asked.
    Denied,
    /// Given back, or run out.
    Released,
}

/// The failure domains a grant counts in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// Site.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// Rack within the site.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rack: String,
    /// Role.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionStatus {
    /// The answer.
    #[serde(default)]
    pub phase: DisruptionPhase,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When a waiting one is looked at again at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_again_at: Option<Timestamp>,
    /// What a waiting one waits for, as a stable word: `DisruptionBudget/a`, `Site/b`, `Pause/everywhere`, `handsOff` …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub blocked_by: String,
    /// When it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Timestamp>,
    /// When the grant ends by itself: `spec.until`, and the time it was held beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// Since when a pause or `handsOff` holds the grant; nothing is begun under it until this is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Timestamp>,
    /// The batch of the ledger it was granted in last.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: i64,
    /// When it was denied or released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Where the machine stood when it was granted: the grant counts there, and where the machine is moved to as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// The resourceVersion of the Machine that was looked at when the grant ended: who knows only an older one reads anew.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine_version: String,
}
