//! Pods: what their containers are doing, in one word.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::human_duration;
use super::cells::{Cell, Row};
use super::{AGE, Head, NAME, col, wide};
use crate::kind::Kind;

pub(super) fn heads(group: &str, kind: &str) -> Option<&'static [Head]> {
    ((group, kind) == ("", "Pod")).then_some(POD)
}

const POD: &[Head] = &[
    NAME,
    col(
        "Ready",
        "string",
        Cell::Call(ready),
        "The aggregate readiness state of this pod for accepting traffic.",
    ),
    col("Status", "string", Cell::Call(status), "The aggregate status of the containers in this pod."),
    col(
        "Restarts",
        "string",
        Cell::Call(restarts),
        "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
    ),
    AGE,
    wide("IP", Cell::TextOr("/status/podIPs/0/ip", "<none>"), "/status/podIP"),
    wide("Node", Cell::TextOr("/spec/nodeName", "<none>"), "/spec/nodeName"),
    wide("Nominated Node", Cell::TextOr("/status/nominatedNodeName", "<none>"), "/status/nominatedNodeName"),
    wide("Readiness Gates", Cell::Call(gates), "/spec/readinessGates"),
];

/// A pod that ended says so beside its cells.
pub(super) fn conditions(kind: &Kind, object: &Value) -> Option<Value> {
    if kind.gvk.kind != "Pod" || !kind.gvk.group.is_empty() {
        return None;
    }
    let (reason, message) = match object["status"]["phase"].as_str() {
        Some("Succeeded") => ("Succeeded", "The pod has completed successfully."),
        Some("Failed") => ("Failed", "The pod failed."),
        Some(_) | None => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

fn ready(row: &Row<'_>) -> String {
    let summary = summary(row);
    format!("{}/{}", summary.ready, summary.total)
}

fn status(row: &Row<'_>) -> String {
    summary(row).reason
}

fn restarts(row: &Row<'_>) -> String {
    let summary = summary(row);
    match summary.last_restart {
        Some(last) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, human_duration(row.now.duration_since(last)))
        }
        Some(_) | None => summary.restarts.to_string(),
    }
}

fn gates(row: &Row<'_>) -> String {
    let gates = row.list("/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates
        .iter()
        .filter(|gate| gate["conditionType"].as_str().and_then(|name| row.condition(name)) == Some("True"));
    format!("{}/{}", open.count(), gates.len())
}

/// An init container that goes on running beside the others.
fn is_sidecar(row: &Row<'_>, name: &Value) -> bool {
    let found = row.list("/spec/initContainers").iter().find(|container| container["name"] == *name);
    found.is_some_and(|container| container["restartPolicy"] == "Always")
}

fn last_end(container: &Value) -> Option<Timestamp> {
    container.pointer("/lastState/terminated/finishedAt")?.as_str()?.parse().ok()
}

fn summary(row: &Row<'_>) -> Summary {
    let gated = row
        .list("/status/conditions")
        .iter()
        .any(|condition| condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated");
    let reason =
        if gated { "SchedulingGated" } else { row.text_or("/status/reason", row.text("/status/phase")) };
    let sidecars =
        row.list("/spec/initContainers").iter().filter(|container| container["restartPolicy"] == "Always");
    let mut summary = Summary {
        ready: 0,
        total: row.list("/spec/containers").len() + sidecars.count(),
        reason: reason.to_owned(),
        restarts: 0,
        last_restart: None,
    };
    let (initializing, of_sidecars) = init_containers(row, &mut summary);
    if !initializing || row.condition("Initialized") == Some("True") {
        (summary.restarts, summary.last_restart) = of_sidecars;
        containers(row, &mut summary);
    }
    if row.is_deleting() && row.text("/status/reason") == "NodeLost" {
        summary.reason = "Unknown".to_owned();
    } else if row.is_deleting() && !["Succeeded", "Failed"].contains(&row.text("/status/phase")) {
        summary.reason = "Terminating".to_owned();
    }
    summary
}

/// Whether an init container is still to finish, and the restarts of sidecars alone.
fn init_containers(row: &Row<'_>, summary: &mut Summary) -> (bool, (i64, Option<Timestamp>)) {
    let mut of_sidecars = (0, None);
    for (index, container) in row.list("/status/initContainerStatuses").iter().enumerate() {
        let count = container["restartCount"].as_i64().unwrap_or(0);
        let sidecar = is_sidecar(row, &container["name"]);
        summary.restarts += count;
        summary.last_restart = summary.last_restart.max(last_end(container));
        if sidecar {
            of_sidecars = (of_sidecars.0 + count, of_sidecars.1.max(last_end(container)));
        }
        let state = &container["state"];
        let terminated = state.get("terminated").filter(|state| state.is_object());
        if terminated.is_some_and(|state| state["exitCode"].as_i64().unwrap_or(0) == 0) {
            continue;
        }
        if sidecar && container["started"] == true {
            summary.ready += usize::from(container["ready"] == true);
            continue;
        }
        let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
        summary.reason = match terminated {
            Some(state) => format!("Init:{}", ended(state)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{index}/{}", row.list("/spec/initContainers").len()),
        };
        return (true, of_sidecars);
    }
    (false, of_sidecars)
}

fn ended(state: &Value) -> String {
    match (state["reason"].as_str().unwrap_or_default(), state["signal"].as_i64().unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", state["exitCode"].as_i64().unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn containers(row: &Row<'_>, summary: &mut Summary) {
    let (mut running, mut error) = (false, String::new());
    for container in row.list("/status/containerStatuses").iter().rev() {
        summary.restarts += container["restartCount"].as_i64().unwrap_or(0);
        summary.last_restart = summary.last_restart.max(last_end(container));
        let state = &container["state"];
        let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
        if !waiting.is_empty() {
            summary.reason = waiting.to_owned();
        } else if state["terminated"].is_object() {
            summary.reason = ended(&state["terminated"]);
            if state["terminated"]["exitCode"].as_i64().unwrap_or(0) != 0 {
                error.clone_from(&summary.reason);
            }
        } else if container["ready"] == true && state["running"].is_object() {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" {
        if running && row.condition("Ready") == Some("True") {
            summary.reason = "Running".to_owned();
        } else if !error.is_empty() {
            summary.reason = error;
        } else if running {
            summary.reason = "NotReady".to_owned();
        }
    }
}
