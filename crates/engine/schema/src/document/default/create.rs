//! What a new object gets besides its defaults.

use serde_json::{Value, json};

use super::{Object, child, each};
use crate::decode::finish;
use crate::kind::Kind;
use crate::types::Shape;

/// Completes a new object of a built-in kind: the namespace's finalizer, the pod's first status. To be called once,
/// on create, after [`apply`](super::apply); what the client sent as status is dropped where status is a
/// subresource.
pub fn prepare_create(kind: &Kind, value: &mut Value) {
    let Some(object) = value.as_object_mut() else { return };
    // A node reports itself while it registers.
    if kind.has_status() && kind.gvk.kind != "Node" {
        object.remove("status");
    }
    match (kind.gvk.group.as_str(), kind.gvk.kind.as_str()) {
        ("", "Namespace") => {
            object.insert("status".to_owned(), json!({"phase": "Active"}));
            if let Some(spec) = child(object, "spec") {
                let finalizers = spec.entry("finalizers").or_insert_with(|| json!([]));
                if let Some(list) = finalizers.as_array_mut()
                    && !list.iter().any(|finalizer| finalizer == "kubernetes")
                {
                    list.push("kubernetes".into());
                }
            }
        }
        ("", "Pod") => {
            let class = quality_of_service(object);
            object.insert("status".to_owned(), json!({"phase": "Pending", "qosClass": class}));
        }
        ("", "PersistentVolume" | "PersistentVolumeClaim") => {
            object.insert("status".to_owned(), json!({"phase": "Pending"}));
        }
        ("", "Service") => {
            object.insert("status".to_owned(), json!({"loadBalancer": {}}));
        }
        _ => {}
    }
    if let Shape::Object { definition: Some(_), .. } = &kind.schema.node().shape {
        finish(&kind.schema, kind.schema.node(), object);
        super::apply(kind, value);
    }
}

/// `Guaranteed` if every container's limits of cpu and memory equal its requests, `BestEffort` if none has any.
fn quality_of_service(pod: &mut Object) -> &'static str {
    let Some(spec) = child(pod, "spec") else { return "BestEffort" };
    let (mut any, mut all_equal) = (false, true);
    for field in ["containers", "initContainers"] {
        for container in each(spec, field) {
            let amount = |set: &str, name: &str| {
                let resources = container.get("resources");
                let value = resources.and_then(|resources| resources[set][name].as_str()).unwrap_or("0");
                value.parse::<muster_base::quantity::Quantity>().map_or(0, |quantity| quantity.milli())
            };
            for name in ["cpu", "memory"] {
                let (limit, request) = (amount("limits", name), amount("requests", name));
                any |= limit > 0 || request > 0;
                all_equal &= limit > 0 && limit == request;
            }
        }
    }
    match (any, all_equal) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
