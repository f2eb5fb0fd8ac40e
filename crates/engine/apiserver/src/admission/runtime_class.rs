//! Runtime classes: a pod that names one gets its overhead and its place.

use muster_store::Key;
use serde_json::Value;

use super::pod::map_at;
use crate::rest::Target;
use crate::server::ApiServer;
use crate::status::Refusal;

const CLASSES: &str = "runtimeclasses.node.k8s.io";

pub(super) fn complete(server: &ApiServer, target: &Target, value: &mut Value) -> Result<(), Refusal> {
    let named = value["spec"]["runtimeClassName"].as_str().unwrap_or("").to_owned();
    if named.is_empty() {
        return Ok(());
    }
    let Some(entry) = server.store().get(&Key::new(CLASSES, "", named.as_str())) else {
        let pod = value["metadata"]["name"].as_str().unwrap_or("");
        let why = format!("pod rejected: RuntimeClass \"{named}\" not found");
        return Err(Refusal::forbidden(target.served.about(), pod, &why));
    };
    let class = entry.value.stored_document(entry.revision.get());
    if let Some(overhead) = class["overhead"].get("podFixed") {
        let given = value["spec"].get("overhead").filter(|given| !given.is_null());
        if given.is_some_and(|given| given != overhead) {
            let pod = value["metadata"]["name"].as_str().unwrap_or("");
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return Err(Refusal::forbidden(target.served.about(), pod, why));
        }
        value["spec"]["overhead"] = overhead.clone();
    }
    for (key, wanted) in class["scheduling"]["nodeSelector"].as_object().into_iter().flatten() {
        let pod = value["metadata"]["name"].as_str().unwrap_or("").to_owned();
        let Some(selector) = map_at(&mut value["spec"], "nodeSelector") else { continue };
        let before = selector.insert(key.clone(), wanted.clone());
        if before.is_some_and(|before| before != *wanted) {
            let why =
                format!("conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted} and the pod's own");
            return Err(Refusal::forbidden(target.served.about(), &pod, &why));
        }
    }
    let mut tolerations = value["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    for toleration in class["scheduling"]["tolerations"].as_array().into_iter().flatten() {
        if !tolerations.contains(toleration) {
            tolerations.push(toleration.clone());
        }
    }
    if !tolerations.is_empty() {
        value["spec"]["tolerations"] = Value::from(tolerations);
    }
    Ok(())
}
