//! Whether an object is right: metadata of every kind, hand-written rules of the built-in kinds in use, and the
//! schema of custom resources. Texts and paths are those of the reference implementation: clients and its own tests
//! look at them.
//!
//! Built-in kinds without rules here are checked by their types (while decoding) and their metadata only.

mod api_service;
mod meta;
mod names;
mod pod;
mod rbac;
mod selector;
mod service;
mod spot;
mod various;
mod webhooks;
mod workload;

use serde_json::Value;

use crate::crd;
use crate::error::FieldError;
use crate::kind::Kind;
use crate::types::Shape;
use spot::Spot;

/// Everything wrong with an object that is decoded and defaulted; `old` is the stored object of an update.
pub fn validate(kind: &Kind, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    meta::check(kind, new, old, &mut errors);
    if let Shape::Object { definition: None, .. } = &kind.schema.node().shape {
        errors.extend(crd::validate(kind, new, old));
        return errors;
    }
    let object = Spot::root(new);
    match (kind.gvk.group.as_str(), kind.gvk.kind.as_str()) {
        ("", "Pod") => pod::check(&object, old, &mut errors),
        ("", "PodTemplate") => pod::template(&object.child("template"), &mut errors),
        ("", "Service") => service::check(&object, old, &mut errors),
        ("", "ConfigMap") => various::config_map(&object, old, &mut errors),
        ("", "Secret") => various::secret(&object, old, &mut errors),
        ("", "Node") => various::node(&object, &mut errors),
        ("", "Event") => various::event(&object, &mut errors),
        ("", "ReplicationController") => workload::replication_controller(&object, &mut errors),
        ("apps", "Deployment") => workload::deployment(&object, old, &mut errors),
        ("apps", "ReplicaSet") => workload::replica_set(&object, old, &mut errors),
        ("apps", "DaemonSet") => workload::daemon_set(&object, old, &mut errors),
        ("apps", "StatefulSet") => workload::stateful_set(&object, old, &mut errors),
        ("batch", "Job") => workload::job(&object, old, &mut errors),
        ("batch", "CronJob") => workload::cron_job(&object, &mut errors),
        ("coordination.k8s.io", "Lease") => various::lease(&object.child("spec"), &mut errors),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => webhooks::check(&object, old, &mut errors),
        ("apiregistration.k8s.io", "APIService") => api_service::check(&object, &mut errors),
        ("rbac.authorization.k8s.io", _) => rbac::check(kind, &object, old, &mut errors),
        _ => {}
    }
    errors
}

/// `field is immutable`, where the value at `path` changed.
fn immutable(new: &Spot<'_>, old: &Value, errors: &mut Vec<FieldError>) {
    if new.value != old {
        errors.push(new.invalid("field is immutable"));
    }
}

#[cfg(test)]
mod tests;
