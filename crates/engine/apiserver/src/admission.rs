//! What the server adds to an object, or refuses it for, because of other objects.

mod addresses;
mod namespace;
mod node;
mod pod;
mod priority;
mod rbac;
mod restriction;
mod runtime_class;
mod service;
mod service_account;
mod signing;

use serde_json::{Value, json};

pub(crate) use addresses::Addresses;

use crate::extend::custom;
use crate::rest::{Call, Target};
use crate::server::ApiServer;
use crate::status::Refusal;

/// Held until the write is done, so that two writers are not given the same address.
pub(crate) type Hold = tokio::sync::OwnedMutexGuard<()>;

/// Before a create: what the server itself fills in, and what the namespace and the kind have to say.
pub(crate) fn complete(server: &ApiServer, target: &Target, value: &mut Value) -> Result<(), Refusal> {
    namespace::check_parent(server, target, value)?;
    custom::check_open(server, target)?;
    match &*target.served.resource {
        "namespaces" => namespace::complete(value),
        "pods" => pod::complete(server, target, value)?,
        "nodes" => node::complete(value),
        "persistentvolumeclaims" | "persistentvolumes" => value["status"] = json!({"phase": "Pending"}),
        _ => {}
    }
    Ok(())
}

/// Before a create, with the object as webhooks left it.
pub(crate) async fn create(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    value: &mut Value,
) -> Result<Option<Hold>, Refusal> {
    restriction::create(call, target, value)?;
    match &*target.served.resource {
        signing::RESOURCE => signing::note_requestor(call, value),
        "services" => {
            value["status"] = json!({"loadBalancer": {}});
            return service::create(server, target, value).await.map(Some);
        }
        custom::RESOURCE => custom::admit(server, target, value, None)?,
        _ => rbac::check(server, call, target, value, None)?,
    }
    Ok(None)
}

/// Before an update.
pub(crate) async fn update(
    server: &ApiServer,
    call: &mut Call,
    target: &Target,
    old: &Value,
    new: &mut Value,
) -> Result<Option<Hold>, Refusal> {
    match &*target.served.resource {
        "namespaces" if target.subresource.is_empty() => namespace::keep(old, new),
        "services" if target.subresource.is_empty() => {
            return service::update(server, target, old, new).await.map(Some);
        }
        // As upstream, on updates too: who replaces the list does not take these away.
        "pods" if target.subresource.is_empty() => pod::tolerate(new),
        signing::RESOURCE => signing::update(server, call, target, old, new)?,
        custom::RESOURCE => custom::admit(server, target, new, Some(old))?,
        _ => rbac::check(server, call, target, new, Some(old))?,
    }
    Ok(None)
}

/// Before a delete.
pub(crate) fn delete(target: &Target) -> Result<(), Refusal> {
    namespace::check_delete(target)
}
