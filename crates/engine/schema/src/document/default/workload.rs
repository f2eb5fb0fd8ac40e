//! What makes pods.

use serde_json::{Value, json};

use super::{Object, child, present, set, text};

/// `RollingUpdate` unless said otherwise, with its parameters.
fn rolling(spec: &mut Object, field: &str, parameters: &[(&str, Value)]) {
    let Some(strategy) = child(spec, field) else { return };
    set(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = child(strategy, "rollingUpdate")
    {
        for (name, value) in parameters {
            set(rolling, name, value.clone());
        }
    }
}

pub(super) fn deployment(deployment: &mut Object) {
    let Some(spec) = child(deployment, "spec") else { return };
    set(spec, "replicas", 1);
    rolling(spec, "strategy", &[("maxUnavailable", "25%".into()), ("maxSurge", "25%".into())]);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
}

pub(super) fn daemon_set(set_: &mut Object) {
    let Some(spec) = child(set_, "spec") else { return };
    rolling(spec, "updateStrategy", &[("maxUnavailable", 1.into()), ("maxSurge", 0.into())]);
    set(spec, "revisionHistoryLimit", 10);
}

pub(super) fn stateful_set(set_: &mut Object) {
    let Some(spec) = child(set_, "spec") else { return };
    set(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = child(spec, "updateStrategy") {
        if !strategy.contains_key("type") {
            set(strategy, "type", "RollingUpdate");
            set(strategy, "rollingUpdate", json!({}));
        }
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = present(strategy, "rollingUpdate")
        {
            set(rolling, "partition", 0);
            set(rolling, "maxUnavailable", 1);
        }
    }
    if let Some(retention) = child(spec, "persistentVolumeClaimRetentionPolicy") {
        set(retention, "whenDeleted", "Retain");
        set(retention, "whenScaled", "Retain");
    }
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
}

pub(super) fn job(job: &mut Object) {
    let Some(spec) = child(job, "spec") else { return };
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        set(spec, "completions", 1);
    }
    set(spec, "parallelism", 1);
    let per_index = spec.contains_key("backoffLimitPerIndex");
    set(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    let failures = spec.contains_key("podFailurePolicy");
    set(spec, "podReplacementPolicy", if failures { "Failed" } else { "TerminatingOrFailed" });
    set(spec, "manualSelector", false);
    labels_from_template(job);
}

pub(super) fn replication_controller(controller: &mut Object) {
    let Some(labels) = template_labels(controller) else { return };
    if let Some(spec) = present(controller, "spec") {
        set(spec, "selector", labels);
    }
    labels_from_template(controller);
}

fn template_labels(object: &Object) -> Option<Value> {
    object.get("spec")?.pointer("/template/metadata/labels").filter(|labels| labels.is_object()).cloned()
}

fn labels_from_template(object: &mut Object) {
    if let Some(labels) = template_labels(object)
        && let Some(metadata) = child(object, "metadata")
    {
        set(metadata, "labels", labels);
    }
}
