//! Service accounts of pods: the default one, and the volume with its token.

use muster_store::Key;
use serde_json::{Value, json};

use super::pod::map_at;
use crate::rest::Target;
use crate::server::ApiServer;
use crate::status::Refusal;

const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR: &str = "kubernetes.io/config.mirror";
const TOKEN_SECONDS: i64 = 3607;

pub(super) fn complete(server: &ApiServer, target: &Target, value: &mut Value) -> Result<(), Refusal> {
    if value["metadata"]["annotations"].get(MIRROR).is_some() {
        return Ok(());
    }
    let named = value["spec"]["serviceAccountName"].as_str().unwrap_or("");
    let name = if named.is_empty() { "default".to_owned() } else { named.to_owned() };
    let key = Key::new("serviceaccounts", target.namespace.as_str(), name.as_str());
    let Some(entry) = server.store().get(&key) else {
        let pod = value["metadata"]["name"].as_str().unwrap_or("");
        let why = format!(
            "error looking up service account {}/{name}: serviceaccount \"{name}\" not found",
            target.namespace
        );
        return Err(Refusal::forbidden(target.served.about(), pod, &why));
    };
    let account = entry.value.stored_document(entry.revision.get());
    if let Some(spec) = map_at(value, "spec") {
        spec.insert("serviceAccountName".into(), json!(name));
        spec.insert("serviceAccount".into(), json!(name));
        let secrets =
            spec.get("imagePullSecrets").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if let Some(inherited) = account.get("imagePullSecrets").filter(|_| !secrets) {
            spec.insert("imagePullSecrets".into(), inherited.clone());
        }
    }
    let own = value["spec"]["automountServiceAccountToken"].as_bool();
    if own.or_else(|| account["automountServiceAccountToken"].as_bool()).unwrap_or(true) {
        mount(value);
    }
    Ok(())
}

fn mount(value: &mut Value) {
    let suffix: String = value["metadata"]["uid"].as_str().unwrap_or("").chars().take(5).collect();
    let volume = format!("kube-api-access-{suffix}");
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in value["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let mut mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            if mounts.iter().any(|mount| mount["mountPath"] == MOUNT) {
                continue;
            }
            used = true;
            mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT}));
            container["volumeMounts"] = Value::from(mounts);
        }
    }
    if !used {
        return;
    }
    let mut volumes = value["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    volumes.push(json!({"name": volume, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}}));
    value["spec"]["volumes"] = Value::from(volumes);
}
