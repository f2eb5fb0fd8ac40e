//! Namespaces: nothing is created in one that is absent or on its way out.

use muster_store::Key;
use serde_json::{Value, json};

use crate::object::Deletion;
use crate::rest::{NAMESPACES, Target};
use crate::server::ApiServer;
use crate::status::{Cause, Refusal};

const LASTING: &[&str] = &["default", "kube-system", "kube-public"];

/// The namespace must be there, and stay.
pub(super) fn check_parent(server: &ApiServer, target: &Target, value: &Value) -> Result<(), Refusal> {
    if !target.served.namespaced() {
        return Ok(());
    }
    let namespace = target.namespace.as_str();
    let Some(found) = server.store().get(&Key::new("namespaces", "", namespace)) else {
        return Err(Refusal::not_found(NAMESPACES, namespace));
    };
    if found.value.header().deletion == Deletion::None {
        return Ok(());
    }
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let cause = Cause::new(
        "NamespaceTerminating",
        &format!("namespace {namespace} is being terminated"),
        "metadata.namespace",
    );
    Err(Refusal::forbidden(target.served.about(), name, &why).with_causes(vec![cause]))
}

/// What a new namespace begins with.
pub(super) fn complete(value: &mut Value) {
    label(value);
    value["spec"] = json!({"finalizers": ["kubernetes"]});
    value["status"] = json!({"phase": "Active"});
}

fn label(value: &mut Value) {
    let name = value["metadata"]["name"].clone();
    value["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
}

/// What an update of a namespace cannot change: its finalizers have a subresource of their own.
pub(super) fn keep(old: &Value, new: &mut Value) {
    label(new);
    if let Some(spec) = old.get("spec") {
        new["spec"] = spec.clone();
    }
}

/// Some namespaces cannot be deleted.
pub(super) fn check_delete(target: &Target) -> Result<(), Refusal> {
    if &*target.served.resource == "namespaces" && LASTING.contains(&target.name.as_str()) {
        let why = "this namespace may not be deleted";
        return Err(Refusal::forbidden(NAMESPACES, &target.name, why));
    }
    Ok(())
}
