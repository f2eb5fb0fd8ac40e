//! Pods: service account, priority, tolerations, first status.

use muster_base::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::{priority, runtime_class, service_account};
use crate::rest::Target;
use crate::server::ApiServer;
use crate::status::Refusal;

const TOLERATED_SECONDS: i64 = 300;

pub(super) fn complete(server: &ApiServer, target: &Target, value: &mut Value) -> Result<(), Refusal> {
    service_account::complete(server, target, value)?;
    priority::complete(server, target, value)?;
    runtime_class::complete(server, target, value)?;
    tolerate(value);
    value["status"] = json!({"phase": "Pending", "qosClass": quality(&value["spec"])});
    Ok(())
}

/// A pod stays on a node in trouble for five minutes, unless it says otherwise (DefaultTolerationSeconds).
pub(super) fn tolerate(value: &mut Value) {
    let mut tolerations = value["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let there = tolerations.iter().any(|one| {
            let fits_key = one["key"] == key || one["key"].as_str().unwrap_or("").is_empty();
            let fits_effect = one["effect"] == "NoExecute" || one["effect"].as_str().unwrap_or("").is_empty();
            fits_key && fits_effect
        });
        if !there {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATED_SECONDS,
            }));
        }
    }
    value["spec"]["tolerations"] = Value::from(tolerations);
}

/// The quality-of-service class, from requests and limits of CPU and memory.
fn quality(spec: &Value) -> &'static str {
    let containers: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .flat_map(|key| spec[*key].as_array().into_iter().flatten())
        .collect();
    let get = |container: &Value, kind: &str, resource: &str| -> Option<Quantity> {
        let text = container["resources"][kind].get(resource)?;
        let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
        text.parse::<Quantity>().ok()
    };
    let any = containers.iter().any(|container| {
        ["requests", "limits"].iter().any(|kind| {
            ["cpu", "memory"]
                .iter()
                .any(|resource| get(container, kind, resource).is_some_and(|quantity| quantity.milli() > 0))
        })
    });
    let guaranteed = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|resource| {
            let limit = get(container, "limits", resource);
            let request = get(container, "requests", resource);
            limit.as_ref().is_some_and(|limit| request.as_ref().is_none_or(|request| request == limit))
        })
    });
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A map in place, made where it is missing.
pub(super) fn map_at<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    value.as_object_mut()?.entry(key).or_insert_with(|| json!({})).as_object_mut()
}
