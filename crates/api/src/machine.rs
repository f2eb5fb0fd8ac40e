//! A machine: what it is meant to be, and how far it is.

pub mod claim;
pub mod join;
pub mod profile;

use jiff::Timestamp;
use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// How many transitions a machine's status keeps; older ones stand in the history.
pub const TRANSITIONS_KEPT: usize = 32;

/// What a machine is meant to be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Machine",
    status = "MachineStatus",
    derive = "PartialEq",
    doc = "A machine: what it is meant to be, and how far it is.",
    category = "muster",
    printcolumn(name = "Site", type_ = "string", json_path = ".spec.site"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
    printcolumn(name = "Rack", type_ = "string", json_path = ".spec.rack", priority = 1),
    printcolumn(name = "Serial", type_ = "string", json_path = ".spec.serial", priority = 1),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.node", priority = 1),
    printcolumn(name = "Run", type_ = "string", json_path = ".status.run", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
pub struct MachineSpec {
    /// Site the machine stands in.
    #[x_kube(validation = Rule::new("self != ''").message("must name a Site"))]
    pub site: String,
    /// Rack within the site.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rack: String,
    /// Serial number on the label, to be compared with the one the firmware tells.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// MachineRole it is to carry; none yet = it stays Registered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// HardwareProfile it must match.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Its baseboard management controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmc: Option<Bmc>,
    /// Planned maintenance; what happens within is expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<Maintenance>,
    /// Keeps every actor away until a given time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hands_off: Option<HandsOff>,
}

/// Where a machine's baseboard management controller answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bmc {
    /// `redfish://HOST[:PORT]/SYSTEM` or `ipmi://HOST[:PORT]`.
    #[x_kube(validation = Rule::new("self.startsWith('redfish://') || self.startsWith('ipmi://')").message("must be redfish://HOST[:PORT]/SYSTEM or ipmi://HOST[:PORT]"))]
    pub address: String,
    /// Name of the Secret with its credentials.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret_ref: String,
}

impl Bmc {
    /// The address in one spelling: two controllers are the same exactly if these are equal. Host names in lower case,
    /// the port always there (443 and 623 by default), no slash at the end.
    pub fn identity(&self) -> String {
        let (scheme, rest) = self.address.split_once("://").unwrap_or(("", &self.address));
        let (authority, system) = rest.split_once('/').unwrap_or((rest, ""));
        let authority = authority.to_ascii_lowercase();
        let bracketed = authority.ends_with(']');
        let default = if scheme == "ipmi" { "623" } else { "443" };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !bracketed => (host, port),
            Some(_) | None => (authority.as_str(), default),
        };
        format!("{scheme}://{host}:{port}/{}", system.trim_end_matches('/'))
    }
}

/// A window of planned maintenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("timestamp(self.from) < timestamp(self.to)").message("'from' must lie before 'to'"))]
pub struct Maintenance {
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// Why.
    pub reason: String,
}

/// A request to leave a machine alone, with an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandsOff {
    /// When it ends.
    pub until: Timestamp,
    /// Who asked.
    #[x_kube(validation = Rule::new("self != ''").message("must say who asks"))]
    pub by: String,
    /// Why.
    #[x_kube(validation = Rule::new("self != ''").message("must say why"))]
    pub reason: String,
}

/// How far a machine is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Phase {
    /// Known by name.
    #[default]
    Registered,
    /// Its facts are being read.
    Inspecting,
    /// Its role is being installed.
    Provisioning,
    /// It proves itself.
    Probation,
    /// It serves.
    Healthy,
    /// Taken out of service under a grant.
    Disrupted,
    /// What was tried did not help.
    Failed,
    /// Kept away from service until a person decides.
    Quarantined,
    /// Its life is over.
    Retired,
}

impl Phase {
    /// Every phase, in the order of life.
    pub const ALL: [Self; 9] = [
        Self::Registered,
        Self::Inspecting,
        Self::Provisioning,
        Self::Probation,
        Self::Healthy,
        Self::Disrupted,
        Self::Failed,
        Self::Quarantined,
        Self::Retired,
    ];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "Registered",
            Self::Inspecting => "Inspecting",
            Self::Provisioning => "Provisioning",
            Self::Probation => "Probation",
            Self::Healthy => "Healthy",
            Self::Disrupted => "Disrupted",
            Self::Failed => "Failed",
            Self::Quarantined => "Quarantined",
            Self::Retired => "Retired",
        }
    }

    /// Whether a machine may go from this phase to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        use Phase::{
            Disrupted, Failed, Healthy, Inspecting, Probation, Provisioning, Quarantined, Registered, Retired,
        };
        match (self, next) {
            (Retired, _) => false,
            (_, Retired) => true,
            (Registered, Inspecting)
            // Its role was taken back before anything was installed.
            | (Inspecting, Registered | Provisioning | Failed)
            | (Provisioning, Probation | Failed)
            | (Probation, Healthy | Disrupted | Failed)
            | (Healthy, Disrupted)
            | (Disrupted, Probation | Failed | Quarantined)
            | (Failed, Inspecting | Provisioning | Disrupted | Quarantined)
            | (Quarantined, Inspecting | Provisioning) => true,
            (_, _) => false,
        }
    }
}

/// What is seen of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineStatus {
    /// How far it is.
    #[serde(default)]
    pub phase: Phase,
    /// When it entered the phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it must have left the phase; passing it raises an alert. Final phases have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What it waits for, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The Node it serves as.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Identity of the boot last seen.
    #[serde(default, rename = "bootID", skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
    /// The Run that has it in hand.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// Counts the Runs that had the machine in hand; orders carry it, and the agent refuses lower ones.
    #[serde(default)]
    pub fence: i64,
    /// The last changes of phase, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<Transition>,
    /// Observed facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One change of phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// From which phase; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Phase>,
    /// To which phase.
    pub to: Phase,
    /// Why, for people.
    pub reason: String,
    /// The Run that did it, where one did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
}

impl MachineStatus {
    /// Enters a phase: notes the transition and sets its time and deadline.
    ///
    /// # Errors
    /// [`IllegalPhase`] where the phases do not follow each other.
    pub fn enter(&mut self, transition: Transition, deadline: Option<Timestamp>) -> Result<(), IllegalPhase> {
        let from = self.transitions.last().map(|last| last.to);
        let begins = from.is_none() && transition.to == Phase::Registered;
        if !begins && !self.phase.may_become(transition.to) {
            return Err(IllegalPhase { from: self.phase, to: transition.to });
        }
        self.phase = transition.to;
        self.since = Some(transition.at);
        self.deadline = deadline;
        self.message.clone_from(&transition.reason);
        self.transitions.push(Transition { from, ..transition });
        let surplus = self.transitions.len().saturating_sub(TRANSITIONS_KEPT);
        self.transitions.drain(..surplus);
        Ok(())
    }
}

/// A machine cannot go from one phase to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("status.phase: a machine cannot go from {} to {}", .from.as_str(), .to.as_str())]
pub struct IllegalPhase {
    /// The phase it is in.
    pub from: Phase,
    /// The phase it was to enter.
    pub to: Phase,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(phase: Phase) -> Transition {
        Transition {
            at: "2026-11-01T14:05:00Z".parse().unwrap(),
            from: None,
            to: phase,
            reason: "test".into(),
            run: String::new(),
        }
    }

    #[test]
    fn a_life_is_noted_step_by_step() {
        let mut status = MachineStatus::default();
        for phase in
            [Phase::Registered, Phase::Inspecting, Phase::Provisioning, Phase::Probation, Phase::Healthy]
        {
            status.enter(to(phase), None).unwrap();
        }
        let told: Vec<_> = status.transitions.iter().map(|t| (t.from, t.to)).collect();
        assert_eq!(told[0], (None, Phase::Registered));
        assert_eq!(told[4], (Some(Phase::Probation), Phase::Healthy));
        assert_eq!(status.phase, Phase::Healthy);
    }

    #[test]
    fn an_illegal_step_is_refused_and_changes_nothing() {
        let mut status = MachineStatus::default();
        status.enter(to(Phase::Registered), None).unwrap();
        let before = status.clone();
        let error = status.enter(to(Phase::Healthy), None).unwrap_err();
        assert_eq!(error.to_string(), "status.phase: a machine cannot go from Registered to Healthy");
        assert_eq!(status, before);
    }

    #[test]
    fn nothing_follows_retired_and_no_phase_follows_itself() {
        for phase in Phase::ALL {
            assert!(!Phase::Retired.may_become(phase));
            assert!(!phase.may_become(phase), "{phase:?}");
        }
    }

    #[test]
    fn one_controller_has_one_identity_however_it_is_written() {
        let identity = |address: &str| Bmc { address: address.into(), secret_ref: String::new() }.identity();
        assert_eq!(identity("redfish://BMC-1/437X/"), identity("redfish://bmc-1:443/437X"));
        assert_eq!(identity("ipmi://10.0.0.1"), "ipmi://10.0.0.1:623/");
        assert_eq!(identity("ipmi://[fd00::1]"), "ipmi://[fd00::1]:623/");
        assert_ne!(identity("redfish://bmc-1/a"), identity("redfish://bmc-1/b"));
    }

    #[test]
    fn only_the_last_transitions_are_kept() {
        let mut status = MachineStatus { phase: Phase::Healthy, ..MachineStatus::default() };
        for _ in 0..40 {
            for phase in [Phase::Disrupted, Phase::Probation, Phase::Healthy] {
                status.enter(to(phase), None).unwrap();
            }
        }
        assert_eq!(status.transitions.len(), TRANSITIONS_KEPT);
    }
}
