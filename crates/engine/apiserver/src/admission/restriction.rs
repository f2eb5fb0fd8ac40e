//! A node's agent makes objects of its own machine only (upstream: NodeRestriction). The name of what is created stands in
//! the object alone, so authorization could not see it.

use serde_json::Value;

use crate::authz::node_of;
use crate::rest::{Call, Target, meta};
use crate::status::Refusal;

/// Kinds whose objects bear their node's name.
const OWN: &[&str] = &["nodes", "leases.coordination.k8s.io", "inventories.muster.dev"];

pub(super) fn create(call: &Call, target: &Target, value: &Value) -> Result<(), Refusal> {
    let Some(node) = node_of(&call.who) else { return Ok(()) };
    let name = meta::text(value, "/metadata/name");
    if !OWN.contains(&&*target.served.resource) || name == node {
        return Ok(());
    }
    let kind = &target.served.kind.gvk.kind;
    let why = format!("node '{node}' is not allowed to create the {kind} of '{name}'");
    Err(Refusal::forbidden(target.served.about(), name, &why))
}
