//! Nodes, namespaces, configuration and events.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cells::{Cell, Row};
use super::{AGE, Head, NAME, col, wide};

pub(super) fn heads(group: &str, kind: &str) -> Option<&'static [Head]> {
    Some(match (group, kind) {
        ("", "Node") => NODE,
        ("", "Namespace") => NAMESPACE,
        ("", "ConfigMap") => CONFIG_MAP,
        ("", "Secret") => SECRET,
        ("", "ServiceAccount") => ONLY_AGE,
        ("" | "events.k8s.io", "Event") => EVENT,
        _ => return None,
    })
}

pub(super) const ONLY_AGE: &[Head] = &[NAME, AGE];
const NODE: &[Head] = &[
    NAME,
    col("Status", "string", Cell::Call(node_status), "The status of the node"),
    col("Roles", "string", Cell::Call(node_roles), "The roles of the node"),
    AGE,
    col(
        "Version",
        "string",
        Cell::Text("/status/nodeInfo/kubeletVersion"),
        "/status/nodeInfo/kubeletVersion",
    ),
    wide("Internal-IP", Cell::Call(|row| address(row, "InternalIP")), "/status/addresses"),
    wide("External-IP", Cell::Call(|row| address(row, "ExternalIP")), "/status/addresses"),
    wide("OS-Image", Cell::TextOr("/status/nodeInfo/osImage", "<unknown>"), "/status/nodeInfo/osImage"),
    wide("Kernel-Version", Cell::Call(kernel), "/status/nodeInfo/kernelVersion"),
    wide(
        "Container-Runtime",
        Cell::TextOr("/status/nodeInfo/containerRuntimeVersion", "<unknown>"),
        "/status/nodeInfo/containerRuntimeVersion",
    ),
];
const NAMESPACE: &[Head] =
    &[NAME, col("Status", "string", Cell::Text("/status/phase"), "The status of the namespace"), AGE];
const CONFIG_MAP: &[Head] = &[NAME, col("Data", "string", Cell::Number(entries), "/data"), AGE];
const SECRET: &[Head] = &[
    NAME,
    col("Type", "string", Cell::Text("/type"), "/type"),
    col("Data", "string", Cell::Count("/data"), "/data"),
    AGE,
];
const EVENT: &[Head] = &[
    col(
        "Last Seen",
        "string",
        Cell::Call(last_seen),
        "The time at which the most recent occurrence of this event was recorded.",
    ),
    col("Type", "string", Cell::Text("/type"), "/type"),
    col("Reason", "string", Cell::Text("/reason"), "/reason"),
    col("Object", "string", Cell::Call(event_object), "The object that this event is about."),
    wide(
        "Subobject",
        Cell::Call(|row| either(row, "/involvedObject/fieldPath", "/regarding/fieldPath")),
        "The part of the object that this event is about.",
    ),
    wide("Source", Cell::Call(event_source), "The component reporting this event."),
    col(
        "Message",
        "string",
        Cell::Call(|row| either(row, "/message", "/note").trim().to_owned()),
        "A human-readable description of the status of this operation.",
    ),
    wide("First Seen", Cell::Call(first_seen), "The time at which the event was first recorded."),
    wide("Count", Cell::Number(event_count), "The number of times this event has occurred."),
    Head {
        name: "Name",
        kind: "string",
        priority: 1,
        cell: Cell::Text("/metadata/name"),
        doc: "/metadata/name",
    },
];

fn node_status(row: &Row<'_>) -> String {
    let ready = match row.condition("Ready") {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = row.get("/spec/unschedulable").and_then(Value::as_bool) == Some(true);
    if cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

fn node_roles(row: &Row<'_>) -> String {
    let mut roles = BTreeSet::new();
    for (label, value) in row.get("/metadata/labels").and_then(Value::as_object).into_iter().flatten() {
        if let Some(role) = label.strip_prefix("node-role.kubernetes.io/") {
            roles.insert(role);
        } else if label == "kubernetes.io/role" {
            roles.extend(value.as_str());
        }
    }
    let roles: Vec<&str> = roles.into_iter().filter(|role| !role.is_empty()).collect();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn address(row: &Row<'_>, kind: &str) -> String {
    let found = row.list("/status/addresses").iter().find(|address| address["type"] == kind);
    found.and_then(|address| address["address"].as_str()).unwrap_or("<none>").to_owned()
}

fn kernel(row: &Row<'_>) -> String {
    let version = row.text_or("/status/nodeInfo/kernelVersion", "<unknown>");
    match row.text("/status/nodeInfo/architecture") {
        "" => version.to_owned(),
        architecture => format!("{version} ({architecture})"),
    }
}

fn entries(row: &Row<'_>) -> usize {
    row.count("/data") + row.count("/binaryData")
}

fn either(row: &Row<'_>, first: &str, second: &str) -> String {
    row.text_or(first, row.text(second)).to_owned()
}

fn first_seen(row: &Row<'_>) -> String {
    let path =
        ["/firstTimestamp", "/deprecatedFirstTimestamp"].into_iter().find(|path| row.get(path).is_some());
    row.since(path.unwrap_or("/eventTime"))
}

fn last_seen(row: &Row<'_>) -> String {
    let paths = ["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp"];
    match paths.into_iter().find(|path| row.get(path).is_some()) {
        Some(path) => row.since(path),
        None => first_seen(row),
    }
}

fn event_count(row: &Row<'_>) -> usize {
    let paths = ["/series/count", "/count", "/deprecatedCount"];
    let found = paths.into_iter().map(|path| row.int(path)).find(|count| *count != 0);
    usize::try_from(found.unwrap_or(1)).unwrap_or(0)
}

fn event_object(row: &Row<'_>) -> String {
    let kind = either(row, "/involvedObject/kind", "/regarding/kind").to_lowercase();
    match either(row, "/involvedObject/name", "/regarding/name") {
        name if name.is_empty() => kind,
        name => format!("{kind}/{name}"),
    }
}

fn event_source(row: &Row<'_>) -> String {
    let first = |paths: [&str; 4]| paths.into_iter().map(|path| row.text(path)).find(|text| !text.is_empty());
    let component = first([
        "/source/component",
        "/deprecatedSource/component",
        "/reportingComponent",
        "/reportingController",
    ]);
    let host = first(["/source/host", "/deprecatedSource/host", "/reportingInstance", ""]);
    match host {
        Some(host) => format!("{}, {host}", component.unwrap_or_default()),
        None => component.unwrap_or_default().to_owned(),
    }
}
