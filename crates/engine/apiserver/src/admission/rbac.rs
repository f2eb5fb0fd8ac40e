//! Roles and bindings: nobody grants what they do not hold.

use serde_json::Value;

use crate::authz::Grant;
use crate::rest::{Call, Target};
use crate::server::ApiServer;
use crate::status::Refusal;

const FIELDS: &[&str] = &["rules", "aggregationRule", "roleRef", "subjects"];

pub(super) fn check(
    server: &ApiServer,
    call: &Call,
    target: &Target,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Refusal> {
    if target.served.kind.gvk.group != "rbac.authorization.k8s.io" {
        return Ok(());
    }
    let unchanged = |old: &Value| FIELDS.iter().all(|field| old.get(*field) == new.get(*field));
    if old.is_some_and(unchanged) {
        return Ok(());
    }
    let grant =
        if target.served.kind.plural.ends_with("bindings") { Grant::Binding(new) } else { Grant::Role(new) };
    let name = new.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
    match server.inner().authorizer.escalation(&call.who, &target.namespace, name, &grant) {
        None => Ok(()),
        Some(why) => Err(Refusal::forbidden(target.served.about(), name, &why)),
    }
}
