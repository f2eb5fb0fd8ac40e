//! Controllers of pods.

use serde_json::Value;

use super::age::human_duration;
use super::cells::{Cell, Row};
use super::{AGE, Head, NAME, col, selectors, wide};

pub(super) fn heads(group: &str, kind: &str) -> Option<&'static [Head]> {
    Some(match (group, kind) {
        ("apps", "Deployment") => DEPLOYMENT,
        ("apps", "ReplicaSet") => REPLICA_SET,
        ("", "ReplicationController") => REPLICATION_CONTROLLER,
        ("apps", "DaemonSet") => DAEMON_SET,
        ("apps", "StatefulSet") => STATEFUL_SET,
        ("apps", "ControllerRevision") => CONTROLLER_REVISION,
        ("batch", "Job") => JOB,
        ("batch", "CronJob") => CRON_JOB,
        ("policy", "PodDisruptionBudget") => DISRUPTION_BUDGET,
        ("autoscaling", "HorizontalPodAutoscaler") => AUTOSCALER,
        ("autoscaling", "Scale") => SCALE,
        ("", "PodTemplate") => POD_TEMPLATE,
        _ => return None,
    })
}

const TEMPLATE: &str = "/spec/template/spec/containers";
const CONTAINERS: Head =
    wide("Containers", Cell::Containers(TEMPLATE), "Names of each container in the template.");
const IMAGES: Head =
    wide("Images", Cell::Images(TEMPLATE), "Images referenced by each container in the template.");
const SELECTOR: Head = wide("Selector", Cell::Selector("/spec/selector"), "/spec/selector");

const DEPLOYMENT: &[Head] = &[
    NAME,
    col("Ready", "string", Cell::Call(ready), "Number of the pod with ready state"),
    col("Up-to-date", "string", Cell::Int("/status/updatedReplicas"), "/status/updatedReplicas"),
    col("Available", "string", Cell::Int("/status/availableReplicas"), "/status/availableReplicas"),
    AGE,
    CONTAINERS,
    IMAGES,
    wide("Selector", Cell::Call(|row| selectors::selector(row.get("/spec/selector"))), "/spec/selector"),
];
const REPLICA_SET: &[Head] = &[
    NAME,
    col("Desired", "integer", Cell::Int("/spec/replicas"), "/spec/replicas"),
    col("Current", "integer", Cell::Int("/status/replicas"), "/status/replicas"),
    col("Ready", "integer", Cell::Int("/status/readyReplicas"), "/status/readyReplicas"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const REPLICATION_CONTROLLER: &[Head] = &[
    NAME,
    col("Desired", "integer", Cell::Int("/spec/replicas"), "/spec/replicas"),
    col("Current", "integer", Cell::Int("/status/replicas"), "/status/replicas"),
    col("Ready", "integer", Cell::Int("/status/readyReplicas"), "/status/readyReplicas"),
    AGE,
    CONTAINERS,
    IMAGES,
    wide("Selector", Cell::Labels("/spec/selector"), "/spec/selector"),
];
const DAEMON_SET: &[Head] = &[
    NAME,
    col("Desired", "integer", Cell::Int("/status/desiredNumberScheduled"), "/status/desiredNumberScheduled"),
    col("Current", "integer", Cell::Int("/status/currentNumberScheduled"), "/status/currentNumberScheduled"),
    col("Ready", "integer", Cell::Int("/status/numberReady"), "/status/numberReady"),
    col(
        "Up-to-date",
        "integer",
        Cell::Int("/status/updatedNumberScheduled"),
        "/status/updatedNumberScheduled",
    ),
    col("Available", "integer", Cell::Int("/status/numberAvailable"), "/status/numberAvailable"),
    col(
        "Node Selector",
        "string",
        Cell::Labels("/spec/template/spec/nodeSelector"),
        "/spec/template/spec/nodeSelector",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const STATEFUL_SET: &[Head] = &[
    NAME,
    col("Ready", "string", Cell::Call(ready), "Number of the pod with ready state"),
    AGE,
    CONTAINERS,
    IMAGES,
];
const CONTROLLER_REVISION: &[Head] = &[
    NAME,
    col("Controller", "string", Cell::Call(controller), "Controller of the object"),
    col("Revision", "string", Cell::Int("/revision"), "/revision"),
    AGE,
];
const JOB: &[Head] = &[
    NAME,
    col("Status", "string", Cell::Call(job_status), "Status of the job."),
    col("Completions", "string", Cell::Call(completions), "/status/succeeded"),
    col("Duration", "string", Cell::Call(job_duration), "Time required to complete the job."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const OF_JOB: &str = "/spec/jobTemplate/spec/template/spec/containers";
const CRON_JOB: &[Head] = &[
    NAME,
    col("Schedule", "string", Cell::Text("/spec/schedule"), "/spec/schedule"),
    col("Timezone", "string", Cell::TextOr("/spec/timeZone", "<none>"), "/spec/timeZone"),
    col("Suspend", "boolean", Cell::Call(suspended), "/spec/suspend"),
    col("Active", "integer", Cell::Count("/status/active"), "/status/active"),
    col("Last Schedule", "string", Cell::Call(last_schedule), "/status/lastScheduleTime"),
    AGE,
    wide("Containers", Cell::Containers(OF_JOB), "Names of each container in the template."),
    wide("Images", Cell::Images(OF_JOB), "Images referenced by each container in the template."),
    wide("Selector", Cell::Selector("/spec/jobTemplate/spec/selector"), "/spec/jobTemplate/spec/selector"),
];
const DISRUPTION_BUDGET: &[Head] = &[
    NAME,
    col(
        "Min Available",
        "string",
        Cell::Call(|row| int_or_string(row.get("/spec/minAvailable"))),
        "The minimum number of pods that must be available.",
    ),
    col(
        "Max Unavailable",
        "string",
        Cell::Call(|row| int_or_string(row.get("/spec/maxUnavailable"))),
        "The maximum number of pods that may be unavailable.",
    ),
    col(
        "Allowed Disruptions",
        "integer",
        Cell::Int("/status/disruptionsAllowed"),
        "Calculated number of pods that may be disrupted at this time.",
    ),
    AGE,
];
/// Of autoscaling/v2, for both versions: v1 has no such field.
const METRICS: &str = "metrics contains the specifications for which to use to calculate the desired replica count (the \
    maximum replica count across all metrics will be used).  The desired replica count is calculated \
    multiplying the ratio between the target value and the current value by the current number of pods.  \
    Ergo, metrics used must decrease as the pod count is increased, and vice-versa.  See the individual \
    metric source types for more information about how each type of metric must respond. If not set, the \
    default metric will be set to 80% average CPU utilization.";
const AUTOSCALER: &[Head] = &[
    NAME,
    col("Reference", "string", Cell::Call(scale_target), "/spec/scaleTargetRef"),
    col("Targets", "string", Cell::Call(metrics), METRICS),
    col("MinPods", "string", Cell::Call(min_pods), "/spec/minReplicas"),
    col("MaxPods", "string", Cell::Int("/spec/maxReplicas"), "/spec/maxReplicas"),
    col("Replicas", "string", Cell::Int("/status/currentReplicas"), "/status/currentReplicas"),
    AGE,
];
const SCALE: &[Head] = &[
    NAME,
    col("Desired", "integer", Cell::Int("/spec/replicas"), "/spec/replicas"),
    col("Available", "integer", Cell::Int("/status/replicas"), "/status/replicas"),
    AGE,
];
const POD_TEMPLATE: &[Head] = &[
    NAME,
    col(
        "Containers",
        "string",
        Cell::Containers("/template/spec/containers"),
        "Names of each container in the template.",
    ),
    col(
        "Images",
        "string",
        Cell::Images("/template/spec/containers"),
        "Images referenced by each container in the template.",
    ),
    col(
        "Pod Labels",
        "string",
        Cell::Labels("/template/metadata/labels"),
        "The labels for the pod template.",
    ),
];

fn ready(row: &Row<'_>) -> String {
    format!("{}/{}", row.int("/status/readyReplicas"), row.int("/spec/replicas"))
}

fn controller(row: &Row<'_>) -> String {
    let owner = row.list("/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true);
    let Some(owner) = owner else { return "<none>".to_owned() };
    let text = |field: &str| owner[field].as_str().unwrap_or_default();
    let kind = text("kind").to_lowercase();
    match text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", text("name")),
        None => format!("{kind}/{}", text("name")),
    }
}

fn job_status(row: &Row<'_>) -> String {
    let has = |name: &str| row.condition(name) == Some("True");
    let found = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if row.is_deleting() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    found.to_owned()
}

fn completions(row: &Row<'_>) -> String {
    let (succeeded, parallelism) = (row.int("/status/succeeded"), row.int("/spec/parallelism"));
    match row.get("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn job_duration(row: &Row<'_>) -> String {
    let time = |path: &str| {
        row.get(path).and_then(Value::as_str).and_then(|text| text.parse::<jiff::Timestamp>().ok())
    };
    match time("/status/startTime") {
        Some(start) => {
            human_duration(time("/status/completionTime").unwrap_or(row.now).duration_since(start))
        }
        None => String::new(),
    }
}

fn suspended(row: &Row<'_>) -> String {
    let word = match row.get("/spec/suspend").and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    word.to_owned()
}

fn last_schedule(row: &Row<'_>) -> String {
    match row.get("/status/lastScheduleTime") {
        Some(_) => row.since("/status/lastScheduleTime"),
        None => "<none>".to_owned(),
    }
}

fn int_or_string(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "N/A".to_owned(),
    }
}

fn scale_target(row: &Row<'_>) -> String {
    format!("{}/{}", row.text("/spec/scaleTargetRef/kind"), row.text("/spec/scaleTargetRef/name"))
}

fn min_pods(row: &Row<'_>) -> String {
    row.get("/spec/minReplicas").map_or_else(|| "<unset>".to_owned(), Value::to_string)
}

/// Metrics shown before the rest is counted.
const METRICS_SHOWN: usize = 2;

fn metrics(row: &Row<'_>) -> String {
    let wanted = row.list("/spec/metrics");
    if wanted.is_empty() {
        return "<none>".to_owned();
    }
    let current = row.list("/status/currentMetrics");
    let all: Vec<String> =
        wanted.iter().enumerate().map(|(index, metric)| one_metric(metric, current.get(index))).collect();
    let shown = all.iter().take(METRICS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match all.len().checked_sub(METRICS_SHOWN) {
        Some(more) if more > 0 => format!("{shown} + {more} more..."),
        Some(_) | None => shown,
    }
}

fn one_metric(metric: &Value, current: Option<&Value>) -> String {
    let (field, prefix) = match metric["type"].as_str() {
        Some("External") => ("external", String::new()),
        Some("Pods") => ("pods", String::new()),
        Some("Object") => ("object", String::new()),
        Some("Resource") => ("resource", resource_prefix(metric, "resource")),
        Some("ContainerResource") => ("containerResource", resource_prefix(metric, "containerResource")),
        Some(_) | None => return "<unknown type>".to_owned(),
    };
    let target = &metric[field]["target"];
    let value = |name: &str, unit: &str| match current.and_then(|current| current[field]["current"].get(name))
    {
        Some(Value::String(text)) => format!("{text}{unit}"),
        Some(found @ Value::Number(_)) => format!("{found}{unit}"),
        Some(_) | None => "<unknown>".to_owned(),
    };
    let average = if ["external", "object"].contains(&field) { " (avg)" } else { "" };
    if let Some(wanted) = target["averageValue"].as_str() {
        format!("{prefix}{}/{wanted}{average}", value("averageValue", ""))
    } else if prefix.is_empty() {
        format!("{}/{}", value("value", ""), target["value"].as_str().unwrap_or("0"))
    } else {
        let wanted = target["averageUtilization"].as_i64();
        let wanted = wanted.map_or_else(|| "<auto>".to_owned(), |percent| format!("{percent}%"));
        format!("{prefix}{}/{wanted}", value("averageUtilization", "%"))
    }
}

fn resource_prefix(metric: &Value, field: &str) -> String {
    format!("{}: ", metric[field]["name"].as_str().unwrap_or_default())
}
