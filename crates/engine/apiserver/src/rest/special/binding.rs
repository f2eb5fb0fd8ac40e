//! Binding a pod to a node.

use http::StatusCode;
use serde_json::{Value, json};

use crate::extend::webhooks::{self, Message, Operation};
use crate::request::ResourcePath;
use crate::rest::{Call, Target, change, codec, meta};
use crate::server::{ApiServer, Reply, document};
use crate::status::{About, Refusal};

const BINDING: Message = Message { group: "", version: "v1", kind: "Binding" };

pub(super) async fn bind(server: &ApiServer, call: &mut Call, path: &ResourcePath) -> Result<Reply, Refusal> {
    let mut binding = codec::decode_message(call, "v1/Binding")?;
    let named = meta::text(&binding, "/metadata/name").to_owned();
    let name = if path.name.is_empty() { named } else { path.name.clone() };
    let registry = server.inner().registry.current();
    let served = registry.find("", "v1", "pods").ok_or_else(Refusal::no_such_resource)?;
    let target = Target::new(served, &path.namespace, &name, "binding");
    webhooks::admit_message(server, call, &target, (Operation::Create, BINDING), &mut binding, None).await?;
    let node = meta::text(&binding, "/target/name").to_owned();
    let kind = meta::text(&binding, "/target/kind");
    if node.is_empty() || !["", "Node"].contains(&kind) {
        return Err(Refusal::bad_request("target must name a Node"));
    }
    let now = meta::time(server.inner().clock.now());
    let uid = meta::text(&binding, "/metadata/uid").to_owned();
    change(server, call, &target, |old| {
        check(&target, old, &uid, &node)?;
        let mut new = old.clone();
        new["spec"]["nodeName"] = json!(node);
        copy_metadata(&binding, &mut new)?;
        scheduled(&mut new, &now);
        Ok(new)
    })
    .await?;
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(document(StatusCode::CREATED, &status, call.accept.syntax()))
}

fn check(target: &Target, old: &Value, uid: &str, node: &str) -> Result<(), Refusal> {
    let about = About { group: "", resource: "pods/binding" };
    let refuse = |why: &str| Err(Refusal::conflict(about, &target.name, why));
    let found = meta::text(old, "/metadata/uid");
    if !uid.is_empty() && uid != found {
        return refuse(&format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
        ));
    }
    if old.pointer("/metadata/deletionTimestamp").is_some() {
        return refuse(&format!("pod {} is being deleted, cannot be assigned to a host", target.name));
    }
    match meta::text(old, "/spec/nodeName") {
        "" => {}
        found if found == node => {
            return refuse(&format!("pod {} is already assigned to node {found:?}", target.name));
        }
        found => return refuse(&format!("pod {} is already assigned to node {found:?}", target.name)),
    }
    if old.pointer("/spec/schedulingGates").and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
        return refuse(&format!("pod {} has non-empty .spec.schedulingGates", target.name));
    }
    Ok(())
}

fn copy_metadata(binding: &Value, pod: &mut Value) -> Result<(), Refusal> {
    for key in ["annotations", "labels"] {
        let given = binding.pointer(&format!("/metadata/{key}")).and_then(Value::as_object).cloned();
        for (name, value) in given.into_iter().flatten() {
            let metadata = meta::metadata(pod)?;
            let map = metadata.entry(key).or_insert_with(|| json!({}));
            map[name] = value;
        }
    }
    Ok(())
}

fn scheduled(pod: &mut Value, now: &str) {
    let generation = pod["metadata"]["generation"].as_i64().unwrap_or(1);
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
        "observedGeneration": generation,
    });
    let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|one| one["type"] != "PodScheduled");
    conditions.push(condition);
    pod["status"]["conditions"] = Value::from(conditions);
}
