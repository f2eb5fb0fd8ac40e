//! Admission webhooks: other servers that may change an object or refuse a write, as configurations stored here say.
//!
//! An index of the webhooks is built when a configuration changes; a write to a kind that none names costs one look
//! into it.

mod call;
mod configuration;
mod dispatch;
pub(crate) mod options;
mod review;
mod rules;

pub(crate) use configuration::Webhooks;
pub(crate) use dispatch::{mutate, validate};

use serde_json::Value;

use crate::rest::{Call, Target};
use crate::server::{ApiServer, Served};
use crate::status::Refusal;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// Kind and version of what a subresource is sent, where it is not the object itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
}

/// A write that webhooks may judge.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) operation: Operation,
    pub(crate) target: &'a Target,
    /// The object's name, which `target` may lack on create.
    pub(crate) name: &'a str,
    pub(crate) message: Option<Message>,
    /// The object as it was.
    pub(crate) old: Option<&'a Value>,
    pub(crate) options: &'a Value,
}

impl<'a> Attempt<'a> {
    fn served(&self) -> &'a Served {
        &self.target.served
    }

    /// The namespace as webhooks see it: that of a Namespace is itself.
    fn namespace(&self) -> &'a str {
        if self.is_namespace() { self.name } else { &self.target.namespace }
    }

    fn is_namespace(&self) -> bool {
        &*self.served().resource == "namespaces"
    }
}

/// Whether a webhook may have a say in a write. None has in the server's own writes, nor in those of webhook
/// configurations, which could otherwise not be repaired.
pub(crate) fn concern(server: &ApiServer, call: &Call, target: &Target) -> bool {
    let exempt = call.info.verb.is_empty() || target.served.kind.gvk.group == "admissionregistration.k8s.io";
    !exempt && server.inner().webhooks.current().concern(&target.served.kind.plural)
}

/// Lets webhooks change and judge what a subresource is sent.
pub(crate) async fn admit_message(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    (operation, message): (Operation, Message),
    sent: &mut Value,
    old: Option<&Value>,
) -> Result<(), Refusal> {
    if !concern(server, call, target) {
        return Ok(());
    }
    let options = options::of(call, operation);
    let attempt =
        Attempt { operation, target, name: &target.name, message: Some(message), old, options: &options };
    mutate(server, call, &attempt, sent).await?;
    validate(server, call, &attempt, Some(sent)).await
}
