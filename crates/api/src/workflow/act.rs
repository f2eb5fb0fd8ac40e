//! What steps do.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;
use crate::order::{Arguments, Verb};

/// Environment variables, headers and parameters that one step may set.
pub const ENV_MAX: usize = 64;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Takes the disruption grant for the machine and sets it Disrupted, where it serves.
    Disrupt,
    /// Gives the grant back.
    Release,
    /// Keeps new pods off the node.
    Cordon,
    /// Moves the pods of the node elsewhere by eviction, as far as their disruption budgets allow.
    Drain,
    /// Lets new pods on the node again, if this run had cordoned it.
    Uncordon,
    /// Tells the agent or the management controller's actor something and waits for the answer.
    Order,
    /// Runs a container on the machine to its end.
    Container,
    /// Calls a web service.
    Webhook,
    /// Waits until an expression holds.
    Wait,
    /// Waits for the word of a person.
    Approve,
    /// Sees whether an expression holds, or the checks of the role pass; it changes nothing.
    Verify,
    /// Does another workflow as a part of this one.
    Run,
    /// Puts the machine on probation: the role's checks for real, and no open problem for its time.
    Probation,
    /// Sets the machine Healthy.
    Healthy,
    /// Sets the machine Quarantined, until a person decides.
    Quarantine,
    /// Tells a person, where the repair policy of the run says so.
    Ticket,
    /// Sets the machine Retired, for good.
    Retire,
}

impl Action {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disrupt => "disrupt",
            Self::Release => "release",
            Self::Cordon => "cordon",
            Self::Drain => "drain",
            Self::Uncordon => "uncordon",
            Self::Order => "order",
            Self::Container => "container",
            Self::Webhook => "webhook",
            Self::Wait => "wait",
            Self::Approve => "approve",
            Self::Verify => "verify",
            Self::Run => "run",
            Self::Probation => "probation",
            Self::Healthy => "healthy",
            Self::Quarantine => "quarantine",
            Self::Ticket => "ticket",
            Self::Retire => "retire",
        }
    }
}

/// An order as a workflow writes it; what is absent comes from the machine's role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderTemplate {
    /// What is to be done.
    pub verb: Verb,
    /// With what, beyond what the role says.
    #[serde(default)]
    pub arguments: Arguments,
}

/// A container that runs to its end on the node of the machine. It is removed afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerTemplate {
    /// Image.
    #[x_kube(validation = Rule::new("self != ''").message("must name an image"))]
    #[schemars(length(max = 512))]
    pub image: String,
    /// What to run instead of the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// A web service that is told to do something, once per key: the header `Idempotency-Key` is `RUN/STEP/ATTEMPT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookTemplate {
    /// Where; `http://` or `https://`.
    #[x_kube(validation = Rule::new("self.startsWith('http://') || self.startsWith('https://') || self.startsWith('${')").message("must begin with http:// or https://"))]
    #[schemars(length(max = 2048))]
    pub url: String,
    /// What is sent, by POST.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16384))]
    pub body: String,
    /// Headers besides the key; `Content-Type` is `application/json` unless told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Statuses of success; any of 200 to 299 unless told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub expect: Vec<u16>,
    /// How long the answer may take. 10s unless told, a minute at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// The certificate authority of the service, PEM; the system's unless told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 65536))]
    pub ca: String,
}

/// A workflow done as a part of another, on the same machine, under the same fence and grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChildTemplate {
    /// Which.
    #[schemars(length(min = 1, max = 253))]
    pub workflow: String,
    /// Values for its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// What takes a step back, once the run is to be undone. Harmless where it was done already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.action in ['order', 'container', 'webhook', 'cordon', 'uncordon']").message("must be order, container, webhook, cordon or uncordon"))]
#[x_kube(validation = Rule::new("(self.action == 'order') == has(self.order)").message("'order' belongs to action order, and to no other"))]
#[x_kube(validation = Rule::new("(self.action == 'container') == has(self.container)").message("'container' belongs to action container, and to no other"))]
#[x_kube(validation = Rule::new("(self.action == 'webhook') == has(self.webhook)").message("'webhook' belongs to action webhook, and to no other"))]
pub struct Undo {
    /// What it does.
    pub action: Action,
    /// For action `order`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderTemplate>,
    /// For action `container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerTemplate>,
    /// For action `webhook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookTemplate>,
    /// How long it may take; as the step unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<GoDuration>,
}
