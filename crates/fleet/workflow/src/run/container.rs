//! The pods of container steps: on the node of the machine, in a namespace of their own, gone when they are done.

use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, Client};
use muster_api::MACHINE_LABEL;
use muster_api::workflow::ContainerTemplate;
use muster_control::rest::{Removal, Rest, path};
use muster_control::{is_conflict, is_not_found};
use serde_json::{Value, json};

use super::plan::ContainerSeen;

/// Where the pods live.
pub(crate) const NAMESPACE: &str = "muster-runs";
/// Annotation: run, step and attempt.
const KEY: &str = "muster.dev/run-step-attempt";
const TAIL_LINES: i64 = 20;
const TAIL_BYTES: i64 = 1024;

/// A pod that is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPlan {
    pub name: String,
    pub node: String,
    pub key: String,
    pub machine: String,
    pub container: ContainerTemplate,
    /// The node ends it after so many seconds.
    pub seconds: u64,
}

fn pod(plan: &PodPlan) -> Value {
    let what = &plan.container;
    let env: Vec<Value> =
        what.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut container = json!({"name": "step", "image": what.image, "env": env});
    if !what.command.is_empty() {
        container["command"] = json!(what.command);
    }
    if !what.args.is_empty() {
        container["args"] = json!(what.args);
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": plan.name, "namespace": NAMESPACE,
            "labels": {MACHINE_LABEL: plan.machine}, "annotations": {KEY: plan.key},
        },
        "spec": {
            "nodeName": plan.node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": plan.seconds,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 5,
            // A node that is cordoned or tainted is where repairs happen.
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
        },
    })
}

/// Creates the pod, and its namespace where that is not there yet.
pub(crate) async fn create(client: &Client, plan: &PodPlan) -> Result<(), kube::Error> {
    let rest = Rest::new(client.clone());
    match rest.create(&path("v1", NAMESPACE, "pods", ""), &pod(plan)).await {
        Ok(_) => Ok(()),
        Err(error) if is_conflict(&error) => Ok(()),
        Err(error) if is_not_found(&error) => {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
            match rest.create(&path("v1", "", "namespaces", ""), &namespace).await {
                Err(other) if !is_conflict(&other) => Err(other),
                // The pod is created when the driver tries again.
                Ok(_) | Err(_) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn remove(client: &Client, name: &str) -> Result<(), kube::Error> {
    let rest = Rest::new(client.clone());
    let removal = Removal { grace_seconds: Some(0), ..Removal::default() };
    match rest.delete(&path("v1", NAMESPACE, "pods", name), &removal).await {
        Err(error) if !is_not_found(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// How far a pod is, as the API says now.
pub(crate) async fn look(client: &Client, name: &str) -> Result<Option<ContainerSeen>, kube::Error> {
    let rest = Rest::new(client.clone());
    let found = match rest.get(&path("v1", NAMESPACE, "pods", name)).await {
        Ok(pod) => pod,
        Err(error) if is_not_found(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let seen = seen(&found);
    let ContainerSeen::Ended { code: Some(code), .. } = seen else { return Ok(Some(seen)) };
    let params =
        LogParams { tail_lines: Some(TAIL_LINES), limit_bytes: Some(TAIL_BYTES), ..LogParams::default() };
    let log = Api::<Pod>::namespaced(client.clone(), NAMESPACE).logs(name, &params).await;
    let tail = log
        .unwrap_or_else(|error| format!("(its log could not be read: {})", muster_control::explain(&error)));
    Ok(Some(ContainerSeen::Ended { code: Some(code), tail }))
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn seen(pod: &Value) -> ContainerSeen {
    let state = "/status/containerStatuses/0/state";
    let code = pod.pointer(&format!("{state}/terminated/exitCode")).and_then(Value::as_i64);
    if let Some(code) = code {
        let code = Some(i32::try_from(code).unwrap_or(-1));
        return ContainerSeen::Ended { code, tail: String::new() };
    }
    let phase = text(pod, "/status/phase");
    let why = format!("{} {}", text(pod, "/status/reason"), text(pod, "/status/message"));
    match phase.as_str() {
        "Failed" => return ContainerSeen::Ended { code: None, tail: why.trim().to_owned() },
        "Succeeded" => return ContainerSeen::Ended { code: Some(0), tail: String::new() },
        _ => {}
    }
    if let Ok(since) = text(pod, &format!("{state}/running/startedAt")).parse() {
        return ContainerSeen::Running(since);
    }
    let waiting = format!(
        "{} {}",
        text(pod, &format!("{state}/waiting/reason")),
        text(pod, &format!("{state}/waiting/message"))
    );
    let waiting = waiting.trim();
    ContainerSeen::Waiting(if waiting.is_empty() { "not started yet".to_owned() } else { waiting.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_bound_to_its_node_ends_by_itself_and_bears_its_key() {
        let container = ContainerTemplate { image: "fw:1".into(), ..ContainerTemplate::default() };
        let plan = PodPlan {
            name: "run-1".into(),
            node: "n1".into(),
            key: "r/s/1".into(),
            machine: "m1".into(),
            container,
            seconds: 60,
        };
        let pod = pod(&plan);
        assert_eq!(text(&pod, "/spec/nodeName"), "n1");
        assert_eq!(pod["spec"]["activeDeadlineSeconds"], 60);
        assert_eq!(pod["metadata"]["annotations"][KEY], "r/s/1");
        assert_eq!(pod["spec"]["containers"][0].get("command"), None);
    }

    #[test]
    fn what_a_pod_tells_is_read() {
        let state = |state: Value| seen(&json!({"status": {"containerStatuses": [{"state": state}]}}));
        assert_eq!(
            state(json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}})),
            ContainerSeen::Waiting("ErrImagePull no such image".into())
        );
        assert_eq!(
            state(json!({"running": {"startedAt": "2026-11-01T14:05:00Z"}})),
            ContainerSeen::Running("2026-11-01T14:05:00Z".parse().unwrap())
        );
        assert_eq!(
            state(json!({"terminated": {"exitCode": 3}})),
            ContainerSeen::Ended { code: Some(3), tail: String::new() }
        );
        assert_eq!(
            seen(&json!({"status": {"phase": "Failed", "reason": "DeadlineExceeded"}})),
            ContainerSeen::Ended { code: None, tail: "DeadlineExceeded".into() }
        );
    }
}
