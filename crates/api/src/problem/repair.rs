//! What is done about a class of problem, in which order, and when a person is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::duration::GoDuration;

/// Rows of measured fix rates that a policy's status keeps: those with the most doings.
pub const RATES_KEPT: usize = 256;

/// The ladder for some classes of problem. Of two policies for one class the one that names the machine's site counts.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "RepairPolicy",
    plural = "repairpolicies",
    status = "RepairPolicyStatus",
    derive = "PartialEq",
    doc = "What is done about a class of problem, rung by rung, and when a person is asked.",
    category = "muster",
    printcolumn(name = "Classes", type_ = "string", json_path = ".spec.classes"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Rungs", type_ = "string", json_path = ".spec.rungs[*].action"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Sites", type_ = "string", json_path = ".spec.sites", priority = 1)
)]
pub struct RepairPolicySpec {
    /// Problem classes it is for, by name.
    #[schemars(length(min = 1, max = 64), inner(length(max = 63)))]
    #[x_kube(validation = Rule::new("self.all(c, c.matches('^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$') && !c.startsWith('correlated.'))").message("classes are dotted lower case, such as runtime.hung; correlated.* are for people"))]
    pub classes: Vec<String>,
    /// Sites it is for. Absent: all that no other policy names for the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 253)))]
    pub sites: Option<Vec<String>>,
    /// How far it goes by itself.
    #[serde(default)]
    pub mode: Mode,
    /// The rungs, the mildest first. After the last comes `quarantine`, written or not.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self.all(r, self.exists_one(o, o.action == r.action))").message("each action stands on one rung"))]
    #[x_kube(validation = Rule::new("!self.exists(r, r.action == 'observe') || self[0].action == 'observe'").message("'observe' can only be the first rung"))]
    #[x_kube(validation = Rule::new("!self.exists(r, r.action == 'quarantine') || self[size(self) - 1].action == 'quarantine'").message("nothing comes after 'quarantine'"))]
    pub rungs: Vec<Rung>,
    /// A repair has succeeded when the class has not come back for so long; what comes back sooner enters at the next
    /// rung. 168h unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_after: Option<GoDuration>,
    /// When repairs of one class on one machine are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_after: Option<PersonAfter>,
    /// When a rung is skipped because it does not help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<Skip>,
    /// Where a person is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// What a Problem of many machines holds is tried, one machine first, when that has not grown for so long. 30m unless
    /// told; 0s never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub try_held_after: Option<GoDuration>,
}

impl RepairPolicySpec {
    /// How long the class must stay away.
    pub fn success_after(&self) -> Duration {
        self.success_after.map_or(Duration::from_secs(7 * 24 * 3600), |told| told.0)
    }

    /// When repairs are enough.
    pub fn person_after(&self) -> PersonAfter {
        self.person_after.unwrap_or_default()
    }

    /// How long a Problem of many must not have grown before what it holds is tried; `None`: it never is.
    pub fn try_held_after(&self) -> Option<Duration> {
        let after = self.try_held_after.map_or(Duration::from_secs(1800), |told| told.0);
        Some(after).filter(|after| !after.is_zero())
    }

    /// When a rung is skipped.
    pub fn skip(&self) -> Skip {
        self.skip.unwrap_or_default()
    }
}

/// How far a policy goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It says what it would do.
    #[default]
    Observe,
    /// A person confirms each doing.
    Approve,
    /// It acts.
    Act,
}

impl Mode {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Approve => "approve",
            Self::Act => "act",
        }
    }
}

/// One rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.action != 'observe' || !(has(self.workflow) || has(self.verify))").message("'observe' does nothing: it has no workflow and nothing to verify"))]
pub struct Rung {
    /// What is done.
    pub action: RungAction,
    /// The workflow that does it; absent: the built-in one of the action.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub workflow: String,
    /// Values for the workflow's parameters; `component` is told by itself where the workflow has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// How often it may be done before the next rung comes. 1 unless told.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 10))]
    pub limit: u32,
    /// How long it may take; of `observe`, how long the problem is watched.
    pub deadline: GoDuration,
    /// CEL over `machine`, `inventory`, `node` and `problems` that must hold after it, besides a clear problem and the
    /// checks of the role.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048))]
    pub verify: String,
}

const fn one() -> u32 {
    1
}

const fn is_one(limit: &u32) -> bool {
    *limit == 1
}

impl Rung {
    /// A rung with the built-in workflow, done once.
    pub const fn new(action: RungAction, deadline: Duration) -> Self {
        Self {
            action,
            workflow: String::new(),
            parameters: BTreeMap::new(),
            limit: 1,
            deadline: GoDuration(deadline),
            verify: String::new(),
        }
    }

    /// The workflow that does it; `observe` has none.
    pub fn workflow(&self) -> Option<&str> {
        if self.workflow.is_empty() { self.action.workflow() } else { Some(&self.workflow) }
    }
}

/// What a rung does, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RungAction {
    /// Waits whether it clears by itself.
    Observe,
    /// Restarts the service that is ill.
    RestartService,
    /// Makes room.
    CleanUp,
    /// Resets the device that is ill.
    ResetDevice,
    /// Has the operating system boot anew.
    Reboot,
    /// Takes the power away and gives it back.
    PowerCycle,
    /// Installs the machine anew.
    Reimage,
    /// Keeps the machine away from service and tells a person.
    Quarantine,
}

impl RungAction {
    /// Every action, the mildest first.
    pub const ALL: [Self; 8] = [
        Self::Observe,
        Self::RestartService,
        Self::CleanUp,
        Self::ResetDevice,
        Self::Reboot,
        Self::PowerCycle,
        Self::Reimage,
        Self::Quarantine,
    ];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::RestartService => "restartService",
            Self::CleanUp => "cleanUp",
            Self::ResetDevice => "resetDevice",
            Self::Reboot => "reboot",
            Self::PowerCycle => "powerCycle",
            Self::Reimage => "reimage",
            Self::Quarantine => "quarantine",
        }
    }

    /// Name of the built-in workflow that does it.
    pub const fn workflow(self) -> Option<&'static str> {
        match self {
            Self::Observe => None,
            Self::RestartService => Some("restart-runtime"),
            Self::CleanUp => Some("clean-up"),
            Self::ResetDevice => Some("reset-device"),
            Self::Reboot => Some("reboot"),
            Self::PowerCycle => Some("power-cycle"),
            Self::Reimage => Some("reimage"),
            Self::Quarantine => Some("quarantine"),
        }
    }

    /// Whether what runs on the machine is interrupted. (Containers live on when the runtime restarts.)
    pub const fn is_disruptive(self) -> bool {
        match self {
            Self::ResetDevice | Self::Reboot | Self::PowerCycle | Self::Reimage => true,
            Self::Observe | Self::RestartService | Self::CleanUp | Self::Quarantine => false,
        }
    }
}

/// When repairs of one class on one machine are enough: the one that would be the `repairs`th within `within` goes to
/// a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonAfter {
    /// How many.
    #[schemars(range(min = 1, max = 100))]
    pub repairs: u32,
    /// Within which time.
    pub within: GoDuration,
}

impl Default for PersonAfter {
    fn default() -> Self {
        Self { repairs: 3, within: GoDuration(Duration::from_secs(24 * 3600)) }
    }
}

/// When a rung is skipped: at least `samples` doings on machines of the same class, model and image (of the same class
/// alone, where that kind has not been seen so often) make it 95 % sure that it fixes less than `below_percent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Skip {
    /// Percent; 0 never skips.
    #[schemars(range(min = 0, max = 100))]
    pub below_percent: u32,
    /// Doings that must be known.
    #[schemars(range(min = 1, max = 100_000))]
    pub samples: u32,
}

impl Default for Skip {
    fn default() -> Self {
        Self { below_percent: 33, samples: 12 }
    }
}

/// Where a person is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.webhook) || has(self.mail)").message("needs 'webhook' or 'mail'"))]
pub struct Ticket {
    /// `http://` or `https://`, told by POST with the header `Idempotency-Key`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[x_kube(validation = Rule::new("self == '' || self.startsWith('http://') || self.startsWith('https://')").message("must begin with http:// or https://"))]
    #[schemars(length(max = 2048))]
    pub webhook: String,
    /// Who gets an e-mail. Where a webhook is named too, both are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<Mail>,
    /// A Problem of many machines that holds problems of this policy is told when it has stood for so long. 10m unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_after: Option<GoDuration>,
}

impl Ticket {
    /// After how long a Problem of many machines is told.
    pub fn held_after(&self) -> Duration {
        self.held_after.map_or(Duration::from_secs(600), |told| told.0)
    }
}

/// An e-mail by SMTP (RFC 5321).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.secretRef) && self.secretRef != '' && has(self.tls) && self.tls == 'none')").message("'tls: none' sends the password of 'secretRef' in the clear"))]
pub struct Mail {
    /// `HOST:PORT` of the server that takes it.
    #[x_kube(validation = Rule::new("self.matches('^[^:]+:[0-9]{1,5}$')").message("must be HOST:PORT"))]
    #[schemars(length(max = 253))]
    pub server: String,
    /// From whom.
    #[x_kube(validation = Rule::new("self.matches('^[^@ \\t\\r\\n<>]+@[^@ \\t\\r\\n<>]+$')").message("must be an address"))]
    #[schemars(length(max = 253))]
    pub from: String,
    /// To whom.
    #[x_kube(validation = Rule::new("self.all(a, a.matches('^[^@ \\t\\r\\n<>]+@[^@ \\t\\r\\n<>]+$'))").message("must be addresses"))]
    #[schemars(length(min = 1, max = 16), inner(length(max = 253)))]
    pub to: Vec<String>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: MailTls,
    /// Secret in namespace `muster-system`: `username` and `password` for AUTH, both or neither, and `ca.crt`, PEM
    /// certificates that may vouch for the server besides those of the system.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub secret_ref: String,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MailTls {
    /// By STARTTLS (RFC 3207); nothing is said to a server that does not offer it.
    #[default]
    StartTls,
    /// From its first byte, as on port 465 (RFC 8314).
    Implicit,
    /// Not at all.
    None,
}

/// How well a policy does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepairPolicyStatus {
    /// What each rung fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub fix_rates: Vec<FixRate>,
    /// Observed facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What one rung fixed of one class, on one kind of machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FixRate {
    /// Class of the problem.
    pub class: String,
    /// What was done.
    pub action: RungAction,
    /// Model of the machine; empty where nobody knows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Its image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// How often it was done to its end.
    pub tried: u32,
    /// How often the class did not come back, so far.
    pub fixed: u32,
}

/// Which rung of which policy a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepairRef {
    /// The policy.
    pub policy: String,
    /// Class of the problem.
    pub class: String,
    /// What is done.
    pub action: RungAction,
    /// How long it may take from when it has its grant.
    pub deadline: GoDuration,
    /// How long the class must stay away for it to have succeeded.
    pub success_after: GoDuration,
    /// Whether a person confirms it first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirm: bool,
    /// CEL that must hold after it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verify: String,
    /// Model of the machine at the time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Its image at the time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Why this rung and no other.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl RepairRef {
    /// A rung that a policy has for a class, on a machine of which nothing is known.
    pub fn new(
        (policy, class): (&str, &str),
        action: RungAction,
        deadline: GoDuration,
        success_after: GoDuration,
    ) -> Self {
        Self {
            policy: policy.to_owned(),
            class: class.to_owned(),
            action,
            deadline,
            success_after,
            confirm: false,
            verify: String::new(),
            model: String::new(),
            image: String::new(),
            why: String::new(),
        }
    }
}
