//! Default values: hand-written rows for built-in types, `default` of the schema for custom resources.
//!
//! Rows are kept per type, not per kind, so a pod template is completed the same wherever it stands. A document is
//! expected as [`decode`](crate::decode) gives it: absent and zero are one where the type says so.

mod create;
mod pod;
mod rows;
mod service;
mod various;
mod workload;

use serde_json::{Map, Value};

use crate::kind::Kind;
use crate::structural;
use crate::types::{Node, Schema, Shape};
pub use create::prepare_create;

type Object = Map<String, Value>;

/// Completes an object that was read, on create and on update alike.
pub fn apply(kind: &Kind, value: &mut Value) {
    match &kind.schema.node().shape {
        Shape::Object { definition: Some(_), .. } => built_in(&kind.schema, kind.schema.node(), value),
        Shape::Object { .. } | Shape::Any | Shape::Scalar(_) | Shape::List { .. } | Shape::Map { .. } => {
            structural::default(&kind.schema, value);
        }
    }
}

/// Parents before children: a parent's row may create what a child's row completes.
fn built_in(schema: &Schema, node: &Node, value: &mut Value) {
    match (&node.shape, value) {
        (Shape::Object { fields, definition, .. }, Value::Object(object)) => {
            if let Some(definition) = definition {
                row(definition, object);
            }
            for (name, value) in object.iter_mut() {
                if let Some(field) = fields.get(name.as_str()) {
                    built_in(schema, schema.at(field.node), value);
                }
            }
        }
        (Shape::List { items, .. }, Value::Array(list)) => {
            list.iter_mut().for_each(|item| built_in(schema, schema.at(*items), item));
        }
        (Shape::Map { values, .. }, Value::Object(map)) => {
            map.values_mut().for_each(|value| built_in(schema, schema.at(*values), value));
        }
        _ => {}
    }
}

fn row(definition: &str, object: &mut Object) {
    let Some(name) = definition.strip_prefix("io.k8s.api.") else { return various::crd(definition, object) };
    match name {
        "core.v1.Pod" => pod::pod(object),
        "core.v1.PodSpec" => pod::spec(object),
        "core.v1.Container" | "core.v1.EphemeralContainer" => pod::container(object),
        "core.v1.Volume" => pod::volume(object),
        "core.v1.PodStatus" => pod::status(object),
        "core.v1.Service" => service::service(object),
        "core.v1.ReplicationController" => workload::replication_controller(object),
        "apps.v1.Deployment" => workload::deployment(object),
        "apps.v1.DaemonSet" => workload::daemon_set(object),
        "apps.v1.StatefulSet" => workload::stateful_set(object),
        "batch.v1.Job" => workload::job(object),
        "core.v1.Secret" => various::secret(object),
        "storage.v1.CSIDriverSpec" => various::csi_driver(object),
        "admissionregistration.v1.MutatingWebhook" => set(object, "reinvocationPolicy", "Never"),
        "core.v1.Namespace" => various::namespace(object),
        "core.v1.NodeStatus" => various::node_status(object),
        "core.v1.LimitRangeItem" => various::limit_range_item(object),
        "networking.v1.NetworkPolicySpec" => various::network_policy(object),
        "networking.v1.IngressClassSpec" => various::ingress_class(object),
        "rbac.v1.Subject" => various::subject(object),
        "autoscaling.v2.HorizontalPodAutoscalerSpec" => various::autoscaler(object),
        _ => {}
    }
    rows::constants(name, object);
}

/// Sets an absent field.
fn set(object: &mut Object, field: &str, value: impl Into<Value>) {
    if !object.contains_key(field) {
        object.insert(field.to_owned(), value.into());
    }
}

/// A struct field, created empty if it is absent; `None` if something else stands there.
fn child<'a>(object: &'a mut Object, field: &str) -> Option<&'a mut Object> {
    object.entry(field).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

/// A struct field that is there.
fn present<'a>(object: &'a mut Object, field: &str) -> Option<&'a mut Object> {
    object.get_mut(field).and_then(Value::as_object_mut)
}

fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or("")
}

/// The structs of a list field.
fn each<'a>(object: &'a mut Object, field: &str) -> impl Iterator<Item = &'a mut Object> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests;
